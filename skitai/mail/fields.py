"""Header fields as they stand in a message: folded, and encoded where they are not ASCII.

They are texts, each with the line end that it has there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from email.errors import HeaderParseError
from email.header import Header, decode_header, make_header
from time import localtime
from typing import TYPE_CHECKING

from skitai.mail.words import checked_text, quoted_string, shown

if TYPE_CHECKING:
    from skitai.mail.addresses import Address

#: RFC 5322, section 2.1.1: how long a line should be at most, and how long it must not be longer than.
LINE_WANTED, LINE_MAX = 78, 998

_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bqBQ]\?[^?\s]*\?=")
#: What needs no quotes in a name (RFC 5322, section 3.2.3).
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_FIELD_NAME = re.compile(r"[!-9;-~]+")
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: A text is folded before a space that has no other space before it.
_SPACE = re.compile(r"(?<=[^ ]) (?=[^ ])")
#: Longer words in a free text are encoded, so that they can be folded.
_WORD_MAX = 900


def field(name: str, body: str) -> str:
    """Return a header field; each line of ``body`` after the first begins with a space."""
    return f"{name}: {body}\n"


def checked_name(name: object, argument: str = "name") -> str:
    """Return ``name`` if a header field can have it (RFC 5322, section 2.2); raise ValueError if not."""
    text = checked_text(name, argument)
    if not _FIELD_NAME.fullmatch(text) or len(text) > LINE_WANTED - 2:
        raise ValueError(f"{argument}: {shown(text)} cannot be the name of a header field")
    return text


def text_field(name: str, text: str, *, utf8: bool) -> str:
    """Return a field of free text, such as Subject; ``utf8`` allows other characters than ASCII in it."""
    plain = (utf8 or text.isascii()) and "=?" not in text and text == text.strip()
    if plain and max(map(len, text.split(" "))) <= _WORD_MAX // 4:
        return field(name, _folded(text, len(name) + 2))
    return field(name, _encoded(text, name))


def raw_field(name: str, text: str, *, utf8: bool) -> str:
    """Return a field whose text has a form of its own, such as a list of URLs: ASCII is folded only.

    Raises ValueError if a line would be too long.
    """
    if not (utf8 or text.isascii()):
        return field(name, _encoded(text, name))
    body = _folded(text.strip(), len(name) + 2)
    if max(len(line.encode()) for line in f"{name}: {body}".split("\n")) > LINE_MAX:
        raise ValueError(f"the header field {name} has a line of more than {LINE_MAX} bytes")
    return field(name, body)


def date_field(moment: float) -> str:
    """Return the field Date (RFC 5322, section 3.6.1), in the zone of this host.

    ``moment`` is in seconds since the epoch.
    """
    # Not by ``email.utils``, which takes as long for it as we do for all other fields.
    now = localtime(moment)
    hours, minutes = divmod(abs(now.tm_gmtoff) // 60, 60)
    zone = f"{'-' if now.tm_gmtoff < 0 else '+'}{hours:02}{minutes:02}"
    day = f"{_DAYS[now.tm_wday]}, {now.tm_mday:02} {_MONTHS[now.tm_mon - 1]} {now.tm_year:04}"
    return field("Date", f"{day} {now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02} {zone}")


def address_field(name: str, addresses: Iterable[Address], *, utf8: bool) -> str:
    """Return a field of addresses, each on a line of its own."""
    return field(name, ",\n ".join([_mailbox(address, name, utf8) for address in addresses]))


def _mailbox(address: Address, field: str, utf8: bool) -> str:
    if not address.name:
        return address.mailbox
    phrase = _phrase(address.name, field, utf8)
    gap = " " if len(phrase) + len(address.mailbox) < LINE_WANTED // 2 else "\n "
    return f"{phrase}{gap}<{address.mailbox}>"


def _phrase(name: str, field: str, utf8: bool) -> str:
    if "=?" not in name and len(name) < LINE_WANTED and (utf8 or name.isascii()):
        return name if _PHRASE.fullmatch(name) else quoted_string(name)
    return _encoded(name, field)


def _encoded(text: str, name: str) -> str:
    """Return ``text`` in encoded words (RFC 2047), for the field ``name``."""
    return Header(text, "utf-8", maxlinelen=LINE_WANTED - 2, header_name=name).encode()


def _folded(text: str, used: int) -> str:
    """Return ``text`` with line ends before spaces; ``used`` is how much of the first line is taken."""
    if used + len(text) <= LINE_WANTED:
        return text
    lines = []
    line = ""
    for word in _SPACE.split(text):
        if line and used + len(line) + 1 + len(word) > LINE_WANTED:
            lines.append(line)
            line, used = word, 1
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    return "\n ".join(lines)


def decoded(text: str) -> str:
    """Return ``text`` with its encoded words read, as by ``email.utils.formataddr``.

    What cannot be read, or has a control character, stays as it is: it is no more than a text then.
    """
    if not _ENCODED_WORD.search(text):
        return text
    try:
        return checked_text(str(make_header(decode_header(text))), "text")
    except (HeaderParseError, LookupError, ValueError):
        return text
