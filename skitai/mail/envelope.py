"""The envelope of a spooled mail (RFC 5321, section 2.3.1): from whom it is, to whom, and by which server."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from time import gmtime
from typing import Any

import attrs

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


def _check_types(owner: Any, types: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise TypeError for an attribute of another type. It does not show the value: it may be a password."""
    for name, wanted in types.items():
        if not isinstance(getattr(owner, name), wanted):
            raise TypeError(f"{name} is of the wrong type")


@attrs.frozen
class Server:
    """An SMTP server of one mail's own, as ``set_smtp`` names it. ``address`` is ``host:port``."""

    address: str
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    ssl: bool = False

    def __attrs_post_init__(self) -> None:
        _check_types(self, _SERVER_TYPES)
        if not self.address:
            raise ValueError("address is empty")


_SERVER_TYPES = {"address": str, "user": str, "password": str, "ssl": bool}


@attrs.frozen
class Envelope:
    """What the SMTP dialogue needs besides the message.

    ``sender`` is the reverse path, empty for a bounce. ``recipients`` are addresses without names, each once:
    those of To, Cc and Bcc. ``created`` is in seconds since the epoch. ``needs_utf8`` says that the message
    or an address cannot be sent without SMTPUTF8 (RFC 6531). Without ``server``, that of the configuration
    counts.

    Raises TypeError and ValueError for anything else.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    created: float
    subject: str = ""
    needs_utf8: bool = False
    server: Server | None = None

    def __attrs_post_init__(self) -> None:
        # Here and not by validators, of which each mail would call two dozen.
        _check_types(self, _TYPES)
        if not is_id(self.id):
            raise ValueError("id has other characters than letters, digits, - and _, or more than 100")
        if not self.recipients:
            raise ValueError("recipients is empty")
        for address in self.recipients:
            if not isinstance(address, str):
                raise TypeError("recipients has something of the wrong type")
            if not address:
                raise ValueError("recipients has an empty address")
        if isinstance(self.created, bool):  # to Python, a number
            raise TypeError("created is of the wrong type")
        if not 0 <= self.created < _END_OF_TIME:
            raise ValueError("created is not in this era")

    def to_json(self) -> bytes:
        """Return the text of the file, in UTF-8, for people to read, too."""
        try:
            return self._json(_READABLE).encode()
        except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
            return self._json(_ASCII).encode()

    def _json(self, encoder: json.JSONEncoder) -> str:
        # Laid out here, because the library takes six times as long for anything but a text.
        text = encoder.encode
        recipients = ",\n  ".join(map(text, self.recipients))
        server = "null" if self.server is None else text(attrs.asdict(self.server))
        return (
            f'{{"form": {_FORM},\n'
            f' "id": {text(self.id)},\n'
            f' "sender": {text(self.sender)},\n'
            f' "recipients": [\n  {recipients}],\n'
            f' "created": {self.created!r},\n'
            f' "subject": {text(self.subject)},\n'
            f' "needs_utf8": {"true" if self.needs_utf8 else "false"},\n'
            f' "server": {server}}}\n'
        )


_TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "sender": str,
    "recipients": tuple,
    "created": (int, float),
    "subject": str,
    "needs_utf8": bool,
    "server": (Server, type(None)),
}
_READABLE, _ASCII = json.JSONEncoder(ensure_ascii=False), json.JSONEncoder()


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
