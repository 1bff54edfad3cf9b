"""Request heads: what a decoded header block must be (RFC 9113, section 8), and the request that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from skitai.http.fields import TOKEN
from skitai.server.http1.head import (
    BYTES_PER_FIELD,
    DIGITS_MAX,
    NO_TUNNEL,
    NOT_CONTINUE,
    WRONG_TARGET,
    HeadError,
    is_host,
)
from skitai.server.http2.frames import ErrorCode, StreamError
from skitai.server.request.body import BodySpool
from skitai.server.request.request import Request
from skitai.websocket.handshake import new_key

if TYPE_CHECKING:
    from skitai.interfaces import IConnection
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.storage import Storage

VERSION = "2"
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
#: The protocol that a stream may change to, as the Upgrade field of HTTP/1.1 names it.
_WEBSOCKET = b"websocket"
#: Section 8.2.1: names are tokens in lower case, values have no control characters and no space around them.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")
_METHOD = re.compile(TOKEN.pattern.encode())
_PATH = re.compile(rb"(?:/|\*\Z)[!-\"$-~]*")
_CONNECTION_FIELDS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
_LOOKED_AT = frozenset((b"content-length", b"content-type", b"cookie", b"expect", b"host", b"te"))
#: What a handshake has in HTTP/1.1 only (RFC 8441, section 5): what a client sends of it is dropped.
_KEY = b"sec-websocket-key"
_UNDERSCORE = ord("_")
_WRONG_NAME = "the name of a field is none, or not in lower case"
_WRONG_VALUE = "the value of a field has a control character, or space around it"


def malformed(why: str) -> StreamError:
    """Return the fault of a message that breaks the rules (section 8.1.1); ``why`` is for the log."""
    return StreamError(ErrorCode.PROTOCOL_ERROR, why)


def read_head(
    connection: IConnection,
    fields: Iterable[tuple[bytes, bytes]],
    limits: ServerLimits,
    storage: Storage,
    ended: bool,
) -> Request:
    """Return the request whose header block has ``fields``; ``ended``: it has no body.

    Its attributes are those that ``examine`` sets in HTTP/1.1. One that breaks a limit is refused with the
    same status as there. Raises StreamError for one that is malformed. Called in the reactor thread.

    An extended CONNECT for a websocket (RFC 8441) becomes the GET that asks for one in HTTP/1.1, with
    ``upgrade``, and a key that is not the client's.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    special: dict[bytes, list[bytes]] = {}
    size = 0
    for name, value in fields:
        size += len(name) + len(value) + BYTES_PER_FIELD
        if _VALUE.fullmatch(value) is None:
            raise malformed(_WRONG_VALUE)
        if name[:1] == b":":
            if headers or special or name in pseudo or name not in _PSEUDO:
                raise malformed("a pseudo-header is unknown, comes twice, or comes late")
            pseudo[name] = value
            continue
        if _NAME.fullmatch(name) is None:
            raise malformed(_WRONG_NAME)
        if name in _CONNECTION_FIELDS:
            raise malformed("a field is one of connections of HTTP/1.1")
        if name in _LOOKED_AT:
            special.setdefault(name, []).append(value)
            if name == b"cookie":  # in pieces, for compression: joined below (section 8.2.3)
                continue
        if _UNDERSCORE not in name:  # in an environ, X_User would pass for X-User
            headers.append((name, value))
    if b"cookie" in special:
        headers.append((b"cookie", b"; ".join(special[b"cookie"])))
    authority = _authority(pseudo, special)
    if b"host" not in special and authority:
        headers.insert(0, (b"host", authority))
    method, path = _target(pseudo)
    protocol = pseudo.get(b":protocol")
    if protocol is not None:
        method = b"GET"
        headers = [field for field in headers if field[0] != _KEY]
        headers += _asking(protocol)
    request = Request(connection, method, path if path is not None else authority, VERSION, headers)
    request.keep_alive = True
    request.authority = authority
    request.upgrade = protocol or b""
    length = _length(special, ended)
    try:
        _check(request, path, size, special, limits)
        if protocol is not None:
            _check_protocol(protocol, special, ended)
    except HeadError as error:
        request.refuse(error.code, error.why)
    if ended or protocol is not None:
        request.complete = True
    else:
        request.body_length = length
        request.spool = BodySpool(storage)
    return request


def check_trailers(fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Raise StreamError for trailers that are malformed; others are ignored (section 8.1)."""
    for name, value in fields:
        if _NAME.fullmatch(name) is None:
            raise malformed(_WRONG_NAME)
        if _VALUE.fullmatch(value) is None:
            raise malformed(_WRONG_VALUE)


def _authority(pseudo: dict[bytes, bytes], special: dict[bytes, list[bytes]]) -> bytes:
    """Return ``:authority``, or else the Host field (section 8.3.1)."""
    hosts = special.get(b"host", [])
    authority = pseudo.get(b":authority", hosts[0] if hosts else b"")
    if any(host.lower() != authority.lower() for host in hosts):
        raise malformed("its Host field is not its :authority")
    return authority


def _target(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes | None]:
    """Return the method and the path; no path for a plain CONNECT.

    See sections 8.3.1 and 8.5, and section 4 of RFC 8441.
    """
    method = pseudo.get(b":method", b"")
    if _METHOD.fullmatch(method) is None:
        raise malformed("its :method is none")
    protocol = pseudo.get(b":protocol")
    if protocol is not None and (method != b"CONNECT" or b":authority" not in pseudo or not protocol):
        raise malformed("its :protocol is empty, or not one of a CONNECT with :authority")
    if method == b"CONNECT" and protocol is None:
        if b":path" in pseudo or b":scheme" in pseudo or not pseudo.get(b":authority"):
            raise malformed("a CONNECT has an :authority alone")
        return method, None
    if not pseudo.get(b":path") or not pseudo.get(b":scheme"):
        raise malformed("it has no :path, or no :scheme")
    return method, pseudo[b":path"]


def _asking(protocol: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields with which a client of HTTP/1.1 asks for ``protocol``."""
    return [(b"upgrade", protocol), (b"connection", b"Upgrade"), (_KEY, new_key().encode())]


def _check_protocol(protocol: bytes, special: dict[bytes, list[bytes]], ended: bool) -> None:
    """Raise HeadError for a protocol that is not spoken, and for a request that leaves no room for one."""
    if protocol.lower() != _WEBSOCKET:
        raise HeadError(501, "its :protocol is not websocket")
    if ended or b"content-length" in special:
        raise HeadError(400, "a websocket is opened by a request without an end or a length")


def _length(special: dict[bytes, list[bytes]], ended: bool) -> int | None:
    """Return the length of the body, None if it is not announced (section 8.1.1)."""
    lengths = special.get(b"content-length")
    if lengths is None:
        return None
    text = lengths[0]
    if not text.isdigit() or any(other != text for other in lengths):
        raise malformed("its Content-Length is not one number")
    length = int(text) if len(text) <= DIGITS_MAX else 10**DIGITS_MAX
    if ended and length:
        raise malformed("it has a Content-Length, and no body")
    return length


def _check(
    request: Request,
    path: bytes | None,
    size: int,
    special: dict[bytes, list[bytes]],
    limits: ServerLimits,
) -> None:
    """Set what follows from the head. Raises HeadError."""
    if any(value.lower() != b"trailers" for value in special.get(b"te", ())):
        raise malformed("its TE is not trailers")
    if len(request.uri) > limits.uri_max:
        raise HeadError(414)
    if size > limits.header_max:
        raise HeadError(431)
    if not request.authority or not is_host(request.authority):
        raise HeadError(400, "its :authority is not host[:port]")
    if path is None:  # CONNECT: no stream becomes a tunnel
        raise HeadError(405, NO_TUNNEL)
    if _PATH.fullmatch(path) is None or (path == b"*" and request.method != b"OPTIONS"):
        raise HeadError(400, WRONG_TARGET)
    request.path, _, request.query = path.partition(b"?")
    request.body_max = limits.body_max_of(special.get(b"content-type", [b""])[0])
    expectations = special.get(b"expect")
    if expectations:
        if any(value.lower() != b"100-continue" for value in expectations):
            raise HeadError(417, NOT_CONTINUE)
        request.expects_continue = True
