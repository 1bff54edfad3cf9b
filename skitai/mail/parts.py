"""The parts of a message (RFC 2045 to 2049): texts, files, and what holds several of them."""

from __future__ import annotations

import base64
import quopri
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from skitai.mail.fields import LINE_WANTED, field
from skitai.mail.words import checked_text, quoted_string, shown

_MEDIA_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]*)/([a-z0-9][a-z0-9!#$&^_.+-]*)")
_CHARSET = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}")
_CHARSET_ALIASES = {"utf8": "utf-8", "ascii": "us-ascii", "latin-1": "iso-8859-1", "latin1": "iso-8859-1"}
#: Microsoft's code pages, as Python names them.
_CODE_PAGE = re.compile(r"cp(?=125\d$)")
#: How long the pieces of a file name are that stand on lines of their own.
_NAME_PIECE_MAX = 60
#: Control characters that texts cannot have as they are: all but tab and line end.
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\t\n"))
#: The bytes that are not ASCII.
_OTHERS = bytes(range(0x80, 0x100))
_LINE_END = re.compile(r"\r\n?")
#: A line of more than is wanted, with the end of the one before it, which the search jumps to.
_LONG_LINE = re.compile(rb"\n.{%d}" % (LINE_WANTED + 1))


def media_type(written: object, argument: str = "mimetype") -> tuple[str, str]:
    """Return the two halves of a media type such as ``text/html``; raise ValueError for any other text."""
    text = checked_text(written, argument).strip().lower()
    match = _MEDIA_TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{argument}: {shown(text)} is not a media type such as text/html")
    return match[1], match[2]


def charset_name(written: object, argument: str = "charset") -> str:
    """Return the name that mail programs know a charset of Python by; raise ValueError for no such name."""
    name = checked_text(written, argument).lower().replace("_", "-")
    if not _CHARSET.fullmatch(name):  # Python's look-up takes a lot for a name
        raise ValueError(f"{argument}: {shown(name)} is unknown")
    return _CODE_PAGE.sub("windows-", _CHARSET_ALIASES.get(name, name))


def encoded_text(text: str, charset: str) -> bytes:
    """Return ``text`` in ``charset``, with LF at the ends of its lines and a last one.

    Raises ValueError, which names the argument, for a charset that no mail can have, and for a text that it
    cannot express.
    """
    if not text.endswith("\n"):
        text += "\n"
    if "\r" in text:
        text = _LINE_END.sub("\n", text)
    try:
        data = text.encode(charset)
        ascii_based = "Aa\n".encode(charset) == b"Aa\n"
    except UnicodeEncodeError as error:
        character = ord(error.object[error.start])
        raise ValueError(f"text: {charset} has no character U+{character:04X}") from None
    except (LookupError, ValueError, TypeError):
        raise ValueError(f"charset: {charset!r} is unknown") from None
    if not ascii_based:
        raise ValueError(f"charset: {charset!r} has other line ends than ASCII, which no mail can have")
    return data


class Part(NamedTuple):
    """A part of a message, or what is in it as a whole: its own header fields, and its body."""

    head: str
    body: bytes

    def below(self, fields: str) -> bytes:
        """Return it with ``fields`` before its own, as it stands in a message, with LF as line ends."""
        return b"%b%b\n%b" % (fields.encode(), self.head.encode(), self.body)


def text_part(data: bytes, subtype: str, charset: str, *, inline: bool = False) -> Part:
    """Return the part of a text that ``encoded_text`` gave; ``inline`` for one that follows others."""
    encoding, body = _transferred(data)
    head = field("Content-Type", f'text/{subtype}; charset="{charset}"')
    if inline:
        head += field("Content-Disposition", "inline")
    return Part(head + field("Content-Transfer-Encoding", encoding), body)


def _transferred(data: bytes) -> tuple[str, bytes]:
    """Return the Content-Transfer-Encoding for ``data`` and its body: ASCII only, in lines that all take."""
    # By translate(), which looks at 10 KB in a tenth of the time that a pattern takes.
    is_plain = data.isascii() and len(data.translate(None, _CONTROLS)) == len(data)
    if is_plain and not _LONG_LINE.search(b"\n" + data):
        return "7bit", data
    others = len(data) - len(data.translate(None, _OTHERS))
    if others * 6 <= len(data):  # then base64 would be longer
        return "quoted-printable", quopri.encodestring(data)
    return "base64", base64.encodebytes(data)


def file_part(data: bytes, kind: tuple[str, str], name: str, cid: str, *, inline: bool) -> Part:
    """Return the part of a file; ``name`` and ``cid`` may be empty. HTML shows what is ``inline``."""
    content_type = "/".join(kind)
    if kind[0] == "text" and _is_utf8(data):
        content_type += '; charset="utf-8"'
    disposition = "inline" if inline else "attachment"
    head = field("Content-Type", content_type)
    head += field("Content-Disposition", disposition + _file_name(name))
    head += field("Content-Transfer-Encoding", "base64")
    if cid:
        head += field("Content-ID", f"<{cid}>")
    return Part(head, base64.encodebytes(data))


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _file_name(name: str) -> str:
    """Return the parameter for a file's name (RFC 2183; RFC 2231 for long ones and other scripts)."""
    if not name:
        return ""
    if name.isascii() and len(name) <= LINE_WANTED // 2:
        return f"; filename={quoted_string(name)}"
    pieces = ["utf-8''"]
    for character in name:
        encoded = quote(character, safe="")
        # Not within a character: some mail programs decode each piece for itself.
        if len(pieces[-1]) + len(encoded) > _NAME_PIECE_MAX:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        return f";\n filename*={pieces[0]}"
    return "".join(f";\n filename*{number}*={piece}" for number, piece in enumerate(pieces))


def multipart(subtype: str, parts: Sequence[Part], parameter: str = "") -> Part:
    """Return what holds ``parts`` (RFC 2046, section 5.1); one alone needs nothing that holds it."""
    if len(parts) == 1:
        return parts[0]
    boundary = f"=_{secrets.token_hex(16)}"  # never within base64 or quoted-printable
    content_type = field("Content-Type", f'multipart/{subtype};\n boundary="{boundary}"{parameter}')
    delimiter = f"\n--{boundary}".encode()
    pieces = (b"%b\n%b" % (delimiter, part.below("")) for part in parts)
    return Part(content_type, b"".join((*pieces, delimiter, b"--\n")).removeprefix(b"\n"))
