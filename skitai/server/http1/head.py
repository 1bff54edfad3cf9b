"""Checks of a request's head (RFC 9110, RFC 9112) that llhttp leaves to its user."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.request import Request

# RFC 9110, section 7.2: uri-host [":" port]. It is empty if the target has no authority.
_HOST = re.compile(
    rb"(?:(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]{0,5})?)?"
)
_AUTHORITY = re.compile(rb"[^/?#@]+:[0-9]{1,5}")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_HASH = ord("#")
#: A longer Content-Length is above any limit, and int() would not be cheap.
DIGITS_MAX = 18
#: What a field counts beside its name and its value.
BYTES_PER_FIELD = len(b": \r\n")
#: Why a request is refused, as the log has it.
WRONG_TARGET = "its target is neither a path nor a URL"
NOT_CONTINUE = "it expects something else than 100-continue"
NO_TUNNEL = "nothing here makes tunnels"
_KNOWN_VERSIONS = frozenset({"1.0", "1.1"})
_LOOKED_AT = frozenset({b"content-length", b"content-type", b"expect", b"host", b"transfer-encoding"})
# The fields that say how the body is framed, and whether another request may follow.
_FRAMING_FIELDS = frozenset({b"connection", b"content-length", b"transfer-encoding"})


class HeadError(SkitaiError):
    """A request that is refused with the status ``code``, for its head or the length of its body.

    ``why`` is a sentence for the log: see ``Request.refuse``.
    """

    def __init__(self, code: int, why: str = "") -> None:
        self.code = code
        self.why = why
        super().__init__(f"refused with {code}")


def examine(request: Request, limits: ServerLimits) -> None:
    """Check the head of ``request``, and set the attributes that follow from it.

    These are ``authority``, ``path``, ``query``, ``body_length``, ``body_max`` and ``expects_continue``. A
    body longer than ``body_max`` is not refused here, because a resource may stream it. Raises HeadError.
    Called in the reactor thread.
    """
    if request.version not in _KNOWN_VERSIONS:
        raise HeadError(505, "its version of HTTP is not spoken here")
    fields: dict[bytes, bytes] = {}
    size = len(request.uri)
    for name, value in request.headers:
        size += len(name) + len(value) + BYTES_PER_FIELD
        if name in _LOOKED_AT:
            # A repeated field is joined by a comma, which then makes a wrong host, coding or expectation.
            fields[name] = b", " + value if name in fields else value
    if size > limits.header_max:
        raise HeadError(431)
    _set_target(request, fields.get(b"host"))
    if b"content-length" in fields or b"transfer-encoding" in fields:
        _set_body(request, fields, limits)
    if b"expect" in fields and request.version == "1.1":
        if fields[b"expect"].lower() != b"100-continue":
            raise HeadError(417, NOT_CONTINUE)
        request.expects_continue = request.body_length != 0


def framing_head(request: Request) -> bytes:
    """Return a head that frames its body like that of ``request``, and asks for no other protocol."""
    fields = [b"%b: %b\r\n" % field for field in request.headers if field[0] in _FRAMING_FIELDS]
    return b"POST / HTTP/%b\r\n%b\r\n" % (request.version.encode(), b"".join(fields))


@lru_cache(64)  # a server has few names, and gets them with every request
def is_host(host: bytes) -> bool:
    """Return whether ``host`` is a Host field (RFC 9110, section 7.2), which may be empty."""
    return _HOST.fullmatch(host) is not None


def _set_target(request: Request, host: bytes | None) -> None:
    """Set ``authority``, ``path`` and ``query`` (RFC 9112, section 3.2)."""
    if host is None:
        if request.version == "1.1":
            raise HeadError(400, "it has no Host field")
        host = b""
    if not is_host(host):
        raise HeadError(400, "its Host field is not one host[:port]")
    uri = request.uri
    if request.method == b"CONNECT":  # section 3.2.3: the port must be there
        if not _AUTHORITY.fullmatch(uri) or not is_host(uri):
            raise HeadError(400, "the target of CONNECT is not host:port")
        request.authority = uri
        return
    if not uri.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(uri)
        if absolute is not None:
            host, uri = absolute.groups()
            if not host or not is_host(host):
                raise HeadError(400, "the host in its target is not host[:port]")
            if not uri.startswith(b"/"):
                uri = b"/" + uri
        elif uri != b"*" or request.method != b"OPTIONS":
            raise HeadError(400, WRONG_TARGET)
    if _HASH in uri:
        raise HeadError(400, "its target has a fragment")
    request.authority = host
    request.path, _, request.query = uri.partition(b"?")


def _set_body(request: Request, fields: dict[bytes, bytes], limits: ServerLimits) -> None:
    """Set ``body_length`` and ``body_max`` (RFC 9112, section 6.3).

    llhttp has already refused both fields together, and a length that is not a number.
    """
    if request.method == b"CONNECT":  # it has no body (RFC 9110, section 9.3.6)
        raise HeadError(400, "a CONNECT with a body")
    length = fields.get(b"content-length", b"")
    coding = fields.get(b"transfer-encoding", b"")
    if coding and request.version == "1.0":
        raise HeadError(400, "HTTP/1.0 has no Transfer-Encoding")
    if coding and coding.lower() != b"chunked":
        last = coding.lower().rpartition(b",")[2].strip()
        if last == b"chunked":
            raise HeadError(501, "its Transfer-Encoding has more than chunked")
        raise HeadError(400, "its Transfer-Encoding does not end in chunked")
    request.body_max = limits.body_max_of(fields.get(b"content-type", b""))
    if len(length) > DIGITS_MAX:
        raise HeadError(413)
    request.body_length = None if coding else int(length)
