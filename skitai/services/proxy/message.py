"""A client's request in the form in which members get it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from skitai.http.paths import below_point
from skitai.services.http.request import ALWAYS_WITH_LENGTH, IDEMPOTENT
from skitai.services.proxy.fields import UnsendableError, request_lines, takes_trailers
from skitai.services.proxy.forwarding import certificate_line, forwarded_lines

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from skitai.services.http.result import HTTPResult
    from skitai.services.http.sink import IReplySink
    from skitai.services.http.streaming import Sendable
    from skitai.services.proxy.way import Way

#: What stands in a request line without ending it.
_TARGET = re.compile(rb"/[!-~\x80-\xff]*")


class Message:
    """What a ``ConnectionPool`` must know of a request: it is an ``Asked``, made for speed.

    A small ``body`` is sent with the head; ``stream`` is a large one. ``switching`` is the field Upgrade of a
    request that asks for other ``protocols``. ``headers`` replace those of the request. ``trailers`` says
    that the client takes those of the reply. Raises UnsendableError for what cannot be sent as one request.
    """

    __slots__ = (
        "_head",
        "_headers",
        "_host",
        "_tail",
        "body",
        "idempotent",
        "interim",
        "method",
        "protocols",
        "sink",
        "stream",
        "switch",
        "target",
        "trailers",
    )

    def __init__(
        self,
        way: Way,
        request: Any,
        body: bytes = b"",
        stream: Sendable | None = None,
        switching: bytes = b"",
        headers: Sequence[tuple[bytes, bytes]] | None = None,
    ) -> None:
        method: bytes = request.method
        self.method = method.decode("latin-1")
        self.body = body
        self.stream = stream
        self.sink: IReplySink | None = None
        self.switch: Callable[[HTTPResult], IProtocol] | None = None
        self.interim: Callable[[HTTPResult], object] | None = None
        self.protocols = switching.decode("latin-1").lower().split(", ")
        self.trailers = not switching and takes_trailers(request.headers)
        self.idempotent = self.method in IDEMPOTENT and (stream is None or stream.repeatable)
        target = self._target_of(way, request)
        self.target = target.decode("latin-1")
        self._host: bytes = b"" if way.own_host else request.authority
        self._head = b"%b %b HTTP/1.1\r\nHost: " % (method, target)
        self._headers = request.headers if headers is None else headers
        lines = self._lines_of(way, request)
        if switching:
            lines.append(b"Connection: upgrade\r\nUpgrade: %b\r\n" % switching)
        elif self.trailers:
            lines.append(b"Connection: TE\r\nTE: trailers\r\n")
        lines.append(_framing(self.method, body, stream))
        self._tail = b"".join(lines)

    def _target_of(self, way: Way, request: Any) -> bytes:
        return target_of(way, request)

    def _lines_of(self, way: Way, request: Any) -> list[bytes]:
        """Return the lines of the client's fields that are passed on, and of what the proxy adds to them."""
        trusted = bool(way.proxies) and way.proxies.trusts(request.connection.peer)
        lines = request_lines(self._headers, trusted=trusted)
        lines.append(forwarded_lines(request, way.proxies, way.point if way.strip else b""))
        if not trusted:
            lines.append(certificate_line(request))
        lines.append(b"X-Request-ID: %b\r\n" % request.identified().encode())
        return lines

    def encode(self, authority: str) -> bytes:
        """Return the bytes of the request, without a streamed body; ``authority`` is the member's Host."""
        host = self._host or authority.encode("latin-1")
        return b"%b%b\r\n%b\r\n%b" % (self._head, host, self._tail, self.body)


def _framing(method: str, body: bytes, stream: Sendable | None) -> bytes:
    """Return the line that frames the body: the proxy's own, whatever the client's was."""
    if stream is not None:
        if stream.length is None:
            return b"Transfer-Encoding: chunked\r\n"
        return b"Content-Length: %d\r\n" % stream.length
    if body or method in ALWAYS_WITH_LENGTH:
        return b"Content-Length: %d\r\n" % len(body)
    return b""


def target_of(way: Way, request: Any) -> bytes:
    """Return the path and query that a member is asked for; raise UnsendableError for what is none."""
    path: bytes = request.path
    target = origin_form(request)
    if _TARGET.fullmatch(target) is None:
        raise UnsendableError("the target holds a space or a control character")
    if not way.strip or not way.point:
        return target
    below = below_point(way.point, path) + target[len(path) :]
    return below if below.startswith(b"/") else b"/" + below


def origin_form(request: Any) -> bytes:
    """Return the path and query of a request as they came, also of a target with scheme and host."""
    uri: bytes = request.uri
    if uri.startswith(b"/"):
        return uri
    path: bytes = request.path
    return path + b"?" + request.query if request.query else path
