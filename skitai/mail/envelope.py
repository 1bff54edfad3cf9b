"""The envelope of a spooled mail (RFC 5321, section 2.3.1): who sends it, who gets it, and by which server."""

from __future__ import annotations

import json
from typing import Any

import attrs

#: The form of the file. A reader refuses one that it does not know.
_FORM = 1


@attrs.frozen
class Server:
    """An SMTP server of one mail's own, as ``set_smtp`` names it. ``address`` is ``host:port``."""

    address: str
    user: str = ""
    password: str = attrs.field(default="", repr=False)
    ssl: bool = False


@attrs.frozen
class Envelope:
    """What the SMTP dialogue needs besides the message.

    ``sender`` is the reverse path, empty for a bounce. ``recipients`` are addresses without names, each once:
    those of To, Cc and Bcc. ``created`` is in seconds since the epoch. ``needs_utf8`` says that the message or
    an address cannot be sent without SMTPUTF8 (RFC 6531). Without ``server``, that of the configuration counts.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    created: float
    subject: str = ""
    needs_utf8: bool = False
    server: Server | None = None

    def to_json(self) -> bytes:
        """Return the text of the file, in UTF-8, for people to read, too."""
        content = {"form": _FORM, **attrs.asdict(self)}
        return json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace") + b"\n"


def envelope_from(data: bytes) -> Envelope:
    """Return the envelope that ``to_json`` wrote.

    Raises ValueError, with a sentence for people, if ``data`` is anything else.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(content, dict) or content.pop("form", None) != _FORM:
        raise ValueError("is not an envelope that this version can read")
    server = content.pop("server", None)
    try:
        envelope = Envelope(
            **{**content, "recipients": tuple(content["recipients"])}, server=server and Server(**server)
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"lacks something, or has too much: {error}") from None
    _check_types(envelope)
    return envelope


def _check_types(envelope: Envelope) -> None:
    texts: list[Any] = [envelope.id, envelope.sender, envelope.subject, *envelope.recipients]
    if envelope.server is not None:
        texts += [envelope.server.address, envelope.server.user, envelope.server.password]
    if not all(isinstance(value, str) for value in texts) or not isinstance(envelope.created, int | float):
        raise ValueError("has a value of the wrong type")
    if not envelope.recipients:
        raise ValueError("has no recipients")
