"""The envelope of a spooled mail (RFC 5321, section 2.3.1): from whom it is, to whom, and by which server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from time import gmtime
from typing import Any

import attrs
from attrs.validators import optional

#: The form of the file. A reader refuses one that it does not know.
_FORM = 1
#: What is safe as the name of a file, on a command line and in a log.
_ID = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
#: Every library can print what is before that, in every zone: the last day of the year 9999.
_END_OF_TIME = 253402214400


def new_id(now: float) -> str:
    """Return the id of a mail that is made at ``now``, in seconds since the epoch.

    It begins with the time in UTC, so ids sort by age, and ends with 64 random bits, so nobody guesses it.
    """
    seconds, micro = divmod(round(now * 1e6), 1_000_000)
    year, month, day, hour, minute, second = gmtime(seconds)[:6]
    # Not by strftime(), which takes three times as long.
    moment = f"{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}{micro:06}"
    return f"{moment}-{os.urandom(8).hex()}"


def is_id(text: str) -> bool:
    """Whether ``text`` can be the id of a mail: letters, digits, ``-`` and ``_``, at most 100."""
    return _ID.fullmatch(text) is not None


# None of these shows a value: it may be a password.
def _check_type(kind: type) -> Callable[[Any, attrs.Attribute[Any], Any], None]:
    def check(_owner: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"{attribute.name} is of the wrong type")

    return check


def _check_filled(_owner: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not value:
        raise ValueError(f"{attribute.name} is empty")


def _check_id(_owner: Any, _attribute: attrs.Attribute[str], value: str) -> None:
    if not is_id(value):
        raise ValueError("id has other characters than letters, digits, - and _, or more than 100")


def _check_recipients(_owner: Any, _attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not all(isinstance(address, str) for address in value):
        raise TypeError("recipients has something of the wrong type")
    if not all(value):
        raise ValueError("recipients has an empty address")


def _check_time(_owner: Any, attribute: attrs.Attribute[float], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} is no number")
    if not 0 <= value < _END_OF_TIME:
        raise ValueError(f"{attribute.name} is not in this era")


_TEXT, _FLAG = _check_type(str), _check_type(bool)


@attrs.frozen
class Server:
    """An SMTP server of one mail's own, as ``set_smtp`` names it. ``address`` is ``host:port``."""

    address: str = attrs.field(validator=[_TEXT, _check_filled])
    user: str = attrs.field(default="", validator=_TEXT)
    password: str = attrs.field(default="", validator=_TEXT, repr=False)
    ssl: bool = attrs.field(default=False, validator=_FLAG)


@attrs.frozen
class Envelope:
    """What the SMTP dialogue needs besides the message.

    ``sender`` is the reverse path, empty for a bounce. ``recipients`` are addresses without names, each once:
    those of To, Cc and Bcc. ``created`` is in seconds since the epoch. ``needs_utf8`` says that the message
    or an address cannot be sent without SMTPUTF8 (RFC 6531). Without ``server``, that of the configuration
    counts.

    Raises TypeError and ValueError for anything else.
    """

    id: str = attrs.field(validator=[_TEXT, _check_id])
    sender: str = attrs.field(validator=_TEXT)
    recipients: tuple[str, ...] = attrs.field(
        validator=[_check_type(tuple), _check_filled, _check_recipients]
    )
    created: float = attrs.field(validator=_check_time)
    subject: str = attrs.field(default="", validator=_TEXT)
    needs_utf8: bool = attrs.field(default=False, validator=_FLAG)
    server: Server | None = attrs.field(default=None, validator=optional(_check_type(Server)))

    def to_json(self) -> bytes:
        """Return the text of the file, in UTF-8, for people to read, too."""
        content = {"form": _FORM, **{name: getattr(self, name) for name in _NAMES}}
        try:
            return f"{_READABLE.encode(content)}\n".encode()
        except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
            return f"{_ASCII.encode(content)}\n".encode()


_NAMES = tuple(field.name for field in attrs.fields(Envelope))
# Lines by the separator and not by ``indent``, for which the library has no encoder in C.
_LAYOUT: dict[str, Any] = {"separators": (",\n ", ": "), "default": attrs.asdict}
_READABLE, _ASCII = json.JSONEncoder(ensure_ascii=False, **_LAYOUT), json.JSONEncoder(**_LAYOUT)


def envelope_from(data: bytes) -> Envelope:
    """Return the envelope that ``to_json`` wrote.

    Raises ValueError, with a sentence for people and without a secret, if ``data`` is anything else.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the envelope is not JSON: {error}") from None
    if not isinstance(content, dict) or content.pop("form", None) != _FORM:
        raise ValueError("this is not an envelope that this version can read")
    server, recipients = content.get("server"), content.get("recipients")
    try:
        if isinstance(server, dict):
            content["server"] = Server(**server)
        if isinstance(recipients, list):
            content["recipients"] = tuple(recipients)
        return Envelope(**content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the envelope is malformed: {error}") from None
