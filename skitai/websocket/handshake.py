"""The opening handshake (RFC 6455, section 4), for both ends."""

from __future__ import annotations

import binascii
import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha1

import attrs

from skitai.errors import CODE_BAD_REPLY, OperationError, SkitaiError
from skitai.http.fields import TOKEN, split_list, unquoted
from skitai.websocket.deflate import NAME, Deflate, Parameters, accept_offer, accept_response, offer_text

Fields = Sequence[tuple[bytes, bytes]]

_VERSION = "13"
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY_BYTES = 16


class HandshakeError(SkitaiError):
    """A request that cannot open a websocket: answer with ``status``, ``fields``, and ``str()`` as text."""

    def __init__(self, status: int, message: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        self.status = status
        self.fields = tuple(fields)
        super().__init__(message)


@attrs.frozen
class Opening:
    """What a client asks for.

    ``subprotocols`` are in the order of its preference. ``offers`` are the extensions, each with its
    parameters: see ``skitai.websocket.deflate``.
    """

    key: str
    subprotocols: tuple[str, ...] = ()
    offers: tuple[tuple[str, Parameters], ...] = ()

    def choose(self, known: Iterable[str]) -> str | None:
        """Return the first of the ``known`` subprotocols that the client speaks, or None."""
        return next((name for name in known if name in self.subprotocols), None)

    def deflate(self) -> Deflate | None:
        """Return how messages will be compressed, by the first offer that can be accepted; None for not."""
        found = (accept_offer(parameters) for name, parameters in self.offers if name == NAME)
        return next((deflate for deflate in found if deflate is not None), None)


def read_request(method: bytes, headers: Fields) -> Opening:
    """Return what a request for an upgrade to websocket asks for; names of fields are in lower case.

    Raises HandshakeError with 400 or 426 (RFC 6455, sections 4.2.1 and 4.4).
    """
    if method != b"GET":
        raise HandshakeError(400, "a websocket is opened with GET")
    if "websocket" not in _words(headers, b"upgrade") or "upgrade" not in _words(headers, b"connection"):
        raise HandshakeError(400, "a websocket is opened with Upgrade: websocket and Connection: Upgrade")
    versions = _values(headers, b"sec-websocket-version")
    if not versions:
        raise HandshakeError(400, "Sec-WebSocket-Version is missing")
    if versions != [_VERSION]:
        text = f"only version {_VERSION} of the websocket protocol is spoken here"
        # RFC 9110, section 15.5.22: what the client should upgrade to.
        fields = [("Sec-WebSocket-Version", _VERSION), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
        raise HandshakeError(426, text, fields)
    keys = _values(headers, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise HandshakeError(400, f"Sec-WebSocket-Key must be {_KEY_BYTES} bytes in base64, once")
    subprotocols = _list(headers, b"sec-websocket-protocol")
    if not all(map(TOKEN.fullmatch, subprotocols)) or len(set(subprotocols)) < len(subprotocols):
        raise HandshakeError(400, "Sec-WebSocket-Protocol must be a list of tokens, each of them once")
    offers = map(_extension, _list(headers, b"sec-websocket-extensions"))
    return Opening(keys[0], tuple(subprotocols), tuple(offers))


def accept_fields(
    opening: Opening, subprotocol: str | None = None, deflate: Deflate | None = None
) -> list[tuple[str, str]]:
    """Return the fields of the 101 with which a server accepts.

    ``subprotocol`` is one of those that the client asked for, ``deflate`` what ``Opening.deflate`` returned.
    """
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", _accept_value(opening.key)),
    ]
    if subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", subprotocol))
    if deflate is not None:
        fields.append(("Sec-WebSocket-Extensions", deflate.parameters))
    return fields


def new_key() -> str:
    """Return a Sec-WebSocket-Key, another one for each request."""
    return b64encode(os.urandom(_KEY_BYTES)).decode()


def request_fields(
    key: str, subprotocols: Sequence[str] = (), *, deflate: bool = False
) -> list[tuple[str, str]]:
    """Return the fields with which a client asks for a websocket. ValueError: a subprotocol is none."""
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", _VERSION),
    ]
    for name in subprotocols:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"a subprotocol is a token of RFC 9110, not {name!r}")
    if subprotocols:
        fields.append(("Sec-WebSocket-Protocol", ", ".join(subprotocols)))
    if deflate:
        fields.append(("Sec-WebSocket-Extensions", offer_text()))
    return fields


def check_reply(
    status: int, headers: Fields, key: str, subprotocols: Sequence[str] = (), *, deflate: bool = False
) -> tuple[str | None, Deflate | None]:
    """Return subprotocol and compression of the websocket that a server's reply opens.

    The other arguments are those of ``request_fields``; names of fields are in lower case. Raises
    OperationError if the reply opens none (RFC 6455, section 4.1).
    """
    if status != 101:
        raise _bad(f"the server answered the request for a websocket with {status}")
    if "websocket" not in _words(headers, b"upgrade") or "upgrade" not in _words(headers, b"connection"):
        raise _bad("the reply lacks Upgrade: websocket or Connection: Upgrade")
    if _values(headers, b"sec-websocket-accept") != [_accept_value(key)]:
        raise _bad("the reply has a wrong Sec-WebSocket-Accept")
    chosen = _values(headers, b"sec-websocket-protocol")
    if len(chosen) > 1 or not set(chosen).issubset(subprotocols):
        raise _bad(f"the reply has a subprotocol that was not asked for: {', '.join(chosen)}")
    extensions = [_extension(text) for text in _list(headers, b"sec-websocket-extensions")]
    if any(name != NAME for name, _ in extensions) or len(extensions) > int(deflate):
        raise _bad(f"the reply has an extension that was not asked for: {extensions[-1][0]}")
    try:
        agreed = accept_response(extensions[0][1]) if extensions else None
    except ValueError as error:
        raise _bad(f"the reply has wrong parameters of an extension: {error}") from error
    return (chosen[0] if chosen else None), agreed


def _bad(message: str) -> OperationError:
    return OperationError(message, code=CODE_BAD_REPLY)


def _accept_value(key: str) -> str:
    return b64encode(sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


def _is_key(value: str) -> bool:
    try:
        return len(b64decode(value, validate=True)) == _KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def _values(headers: Fields, name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]


def _list(headers: Fields, name: bytes) -> list[str]:
    return split_list(", ".join(_values(headers, name)))


def _words(headers: Fields, name: bytes) -> list[str]:
    return [word.lower() for word in _list(headers, name)]


def _extension(text: str) -> tuple[str, Parameters]:
    """Return the name of an extension and its parameters (section 9.1), in the form of autobahn."""
    name, *rest = text.split(";")
    parameters: dict[str, list[str | bool]] = {}
    for part in rest:
        key, equals, value = part.partition("=")
        parameters.setdefault(key.strip().lower(), []).append(unquoted(value.strip()) if equals else True)
    return name.strip().lower(), parameters
