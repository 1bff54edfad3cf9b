"""A request: an app's headers and body, checked and in the form of RFC 9112."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from skitai import __version__
from skitai.http.codings import ACCEPTED
from skitai.http.fields import FIELD_VALUE, HOP_BY_HOP, TOKEN, plain
from skitai.services.http.auth import Credentials
from skitai.services.http.contents import Content
from skitai.services.http.streaming import StreamedBody

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

    from skitai.services.http.result import HTTPResult
    from skitai.services.http.sink import IReplySink

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_DEFAULTS = (("User-Agent", f"Skitai/{__version__}"), ("Accept", "*/*"), ("Accept-Encoding", ACCEPTED))
# A part of coded data is of no use. No field at all would mean that any coding will do (RFC 9110, section
# 12.5.3).
_DEFAULTS_OF_RANGES = (*_DEFAULTS[:2], ("Accept-Encoding", "identity"))
_DEFAULT_FIELDS = "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS)

#: Fields for the framing and the connection: the client sets them, and an app that did would break the
#: framing.
_OWNED = HOP_BY_HOP | {"content-length", "expect"}

#: RFC 9110, section 9.2.2.
IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
#: RFC 9110, section 8.6: these have Content-Length: 0 if there is no body.
ALWAYS_WITH_LENGTH = frozenset(["POST", "PUT", "PATCH"])


@attrs.frozen
class HTTPRequest:
    """One request, independent of the node that will get it.

    ``target`` is the origin-form, ``fields`` are the header lines except Host, each with its CRLF. ``host``
    replaces the node's own name in Host. A ``stream`` is the body in place of ``body``. ``credentials``
    answer a challenge. Up to ``follow`` redirects are followed: with ``downgrade`` also from https to http,
    and with ``public`` to public addresses only.

    Two attributes are for plugins that call ``ConnectionPool.ask``. A ``sink`` takes the first reply as it
    comes. ``switch`` is for a request that asks for another protocol (RFC 9110, section 7.8): it is called
    with the head of a reply 101, and returns the protocol that gets the connection; the pool lets go of it.
    An OperationError that it raises is what the request fails with.
    """

    #: Interim replies are skipped.
    interim: ClassVar[None] = None

    method: str
    target: str
    fields: str = attrs.field(repr=False)  # they may hold a password or a session
    body: bytes = attrs.field(default=b"", repr=False)
    host: str | None = None
    stream: StreamedBody | None = None
    credentials: Credentials | None = None
    follow: int = 0
    sink: IReplySink | None = None
    switch: Callable[[HTTPResult], IProtocol] | None = None
    downgrade: bool = False
    public: bool = False

    @property
    def plain(self) -> bool:
        """Whether one request and one reply are all, without login, stream or redirects."""
        return self.credentials is None and self.stream is None and not self.follow

    @property
    def repeatable(self) -> bool:
        """Whether the whole request can be sent again."""
        return self.stream is None or self.stream.repeatable

    @property
    def idempotent(self) -> bool:
        """Whether it can be sent twice without harm."""
        return self.method in IDEMPOTENT and (self.stream is None or self.stream.repeatable)

    def encode(self, authority: str) -> bytes:
        """Return the bytes of the request, without a streamed body; ``authority`` is the node's Host."""
        head = f"{self.method} {self.target} HTTP/1.1\r\nHost: {self.host or authority}\r\n{self.fields}\r\n"
        return head.encode("latin-1") + self.body

    def with_field(self, name: str, value: str) -> HTTPRequest:
        """Return the same request with one more header."""
        return self.with_lines(f"{name}: {value}\r\n")

    def with_lines(self, lines: str) -> HTTPRequest:
        """Return the same request with more header lines, each with its CRLF."""
        # Not attrs.evolve, which takes three times as long: this may be a part of every call.
        return HTTPRequest(
            self.method,
            self.target,
            self.fields + lines,
            self.body,
            self.host,
            self.stream,
            self.credentials,
            self.follow,
            self.sink,
            self.switch,
            self.downgrade,
            self.public,
        )

    def without_fields(self, unwanted: Callable[[str], object]) -> HTTPRequest:
        """Return the same request without the headers whose lower-case names are ``unwanted``."""
        lines = self.fields.split("\r\n")
        kept = [line for line in lines if not unwanted(line.partition(":")[0].lower())]
        return attrs.evolve(self, fields="\r\n".join(kept))


def build_request(
    method: str, target: str, content: Content, headers: Iterable[tuple[str, str]] = ()
) -> HTTPRequest:
    """Return the request; ``headers`` are those of the app, as ``header_pairs`` returns them.

    Raises ValueError for headers that do not fit the content or each other. Called in the app's thread.
    """
    pairs = list(headers)
    if content.type_is_fixed and any(name.lower() == "content-type" for name, _ in pairs):
        raise ValueError("headers: 'Content-Type' of this data holds its boundary: leave it out")
    host = _host_override(pairs)
    fields = _fields(pairs, content.type)
    if isinstance(content.body, StreamedBody):
        return HTTPRequest(method, target, fields + _framing(content.body), host=host, stream=content.body)
    if content.present or method in ALWAYS_WITH_LENGTH:
        fields += f"Content-Length: {len(content.body)}\r\n"
    return HTTPRequest(method, target, fields, content.body, host)


def header_pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return the pairs of a dict or of a list of pairs, checked (RFC 9110, section 5) and stripped.

    Raises TypeError or ValueError that names the wrong header. Called in the app's thread.
    """
    if isinstance(headers, str | bytes):
        raise TypeError("headers must be a dict or a list of (name, value) pairs, not text")
    pairs = []
    for item in headers.items() if isinstance(headers, Mapping) else headers:
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise TypeError(f"headers must be a dict or a list of (name, value) pairs, but one is {item!r}")
        pairs.append(_checked(*item))
    return pairs


def _checked(name: Any, value: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"headers: {name!r} and its value must be str, not {type(value).__name__}")
    if not TOKEN.fullmatch(name):
        raise ValueError(f"headers: {name!r} is not a header name")
    if name.lower() in _OWNED:
        raise ValueError(f"headers: {name!r} is set by the client itself: leave it out")
    value = value.strip(" \t")
    if not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"headers: the value of {name!r} holds a line break or a character beyond latin-1")
    return plain(name), value


def _host_override(pairs: list[tuple[str, str]]) -> str | None:
    hosts = [value for name, value in pairs if name.lower() == "host"]
    if len(hosts) > 1 or hosts == [""]:
        raise ValueError(f"headers: 'Host' must be given once and not empty, got {hosts!r}")
    return hosts[0] if hosts else None


def _fields(pairs: list[tuple[str, str]], content_type: str | None) -> str:
    """Return the header lines: the app's own, then the defaults that it did not override."""
    if not pairs and content_type is None:
        return _DEFAULT_FIELDS
    given = {name.lower() for name, _ in pairs}
    defaults: tuple[tuple[str, str], ...] = _DEFAULTS if "range" not in given else _DEFAULTS_OF_RANGES
    if content_type is not None:
        defaults = (*defaults, ("Content-Type", content_type))
    lines = [pair for pair in pairs if pair[0].lower() != "host"]
    lines += [pair for pair in defaults if pair[0].lower() not in given]
    return "".join(f"{name}: {value}\r\n" for name, value in lines)


def _framing(body: StreamedBody) -> str:
    return "Transfer-Encoding: chunked\r\n" if body.length is None else f"Content-Length: {body.length}\r\n"
