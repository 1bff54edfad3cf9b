"""The attributes of a request that only Twisted resources read, made on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.web import server
from twisted.web.http_headers import Headers

from skitai.server.request.compress import takes_gzip
from skitai.server.request.tags import with_plain

if TYPE_CHECKING:
    from skitai.interfaces import IConnection

#: A form with more fields is an attack: each costs a hundred times its bytes.
_FORM_FIELDS_MAX = 10_000


class LazyRequest(server.Request):
    """Makes the costly attributes of ``twisted.web.iweb.IRequest`` when they are read.

    The base class makes a dozen objects for each request, and a WSGI app reads none of them. All methods are
    called in the reactor thread.
    """

    connection: IConnection
    #: The HTTP version, such as ``1.1``.
    version: str
    #: ``host[:port]`` from the target or the Host field, as it was sent.
    authority = b""
    query = b""
    # The end of every request checks these two. They are class attributes, because checking whether a cached
    # property is set costs more than the rest of that work.
    _content: IO[bytes] | None = None
    _notifications: list[Deferred[None]] | None = None
    #: The header fields as pairs, names in lower case, in the order received.
    headers: Sequence[tuple[bytes, bytes]]

    def take_body(self) -> IO[bytes] | None:
        """Return the body as a file that the caller closes, or None if there is no body."""
        raise NotImplementedError

    def field(self, name: bytes) -> bytes | None:
        """Return the header field ``name`` (in lower case), or None. Repeated fields are joined by commas."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values) if values else None

    def condition(self, name: bytes, value: bytes) -> bytes:
        """Return ``value`` of If-Match or If-None-Match (``name``, in lower case) as it is to be read.

        The tags of compressed responses are its own once more. A client that takes no compressed response has
        none that is still good.
        """
        if name == b"if-none-match" and not takes_gzip(self):
            return value
        return with_plain(value)

    @cached_property
    def requestHeaders(self) -> Headers:  # type: ignore[override]
        """The header fields received."""
        fields = Headers()
        for name, value in self.headers:
            fields.addRawHeader(name, value)
        for name in (b"if-match", b"if-none-match"):
            values = fields.getRawHeaders(name)
            if values:
                fields.setRawHeaders(name, [self.condition(name, value) for value in values])
        if self.authority:  # an absolute target overrides the Host field (RFC 9112, section 3.2.2)
            fields.setRawHeaders(b"host", [self.authority])
        return fields

    @cached_property
    def responseHeaders(self) -> Headers:  # type: ignore[override]
        """The header fields of the response."""
        return Headers()

    @cached_property
    def args(self) -> dict[bytes, list[bytes]]:  # type: ignore[override]
        """The arguments in the query and an urlencoded form. A resource parses multipart forms itself."""
        args = _arguments(self.query)
        media_type = (self.field(b"content-type") or b"").partition(b";")[0].strip().lower()
        if self.method == b"POST" and media_type == b"application/x-www-form-urlencoded":
            form = self.content.read()
            self.content.seek(0)
            args.update(_arguments(form, _FORM_FIELDS_MAX))
        return args

    @property
    def content(self) -> IO[bytes]:  # type: ignore[override]
        """The body, as a file that the server closes."""
        if self._content is None:
            self._content = self.take_body() or BytesIO()
        return self._content

    @cached_property
    def received_cookies(self) -> dict[bytes, bytes]:  # type: ignore[override]
        """The cookies received."""
        fields = [value for name, value in self.headers if name == b"cookie"]
        pairs = (part.strip().partition(b"=") for part in b";".join(fields).split(b";"))
        return {name: value for name, equals, value in pairs if equals}

    @cached_property
    def cookies(self) -> list[bytes]:  # type: ignore[override]
        """The cookies that the response sets."""
        return []

    @property
    def notifications(self) -> list[Deferred[None]]:  # type: ignore[override]
        """The Deferreds that ``notifyFinish`` has returned."""
        if self._notifications is None:
            self._notifications = []
        return self._notifications

    @cached_property
    def _adapterCache(self) -> dict[str, Any]:  # type: ignore[override]
        return {}

    @property
    def clientproto(self) -> bytes:  # type: ignore[override]
        """The protocol's name and version."""
        return b"HTTP/" + self.version.encode()

    @property
    def channel(self) -> IConnection:  # type: ignore[override]
        """The connection, by Twisted's name for it."""
        return self.connection

    @cached_property
    def transport(self) -> Any:  # type: ignore[override]
        """The transport of the connection."""
        return self.connection.transport

    @cached_property
    def client(self) -> Any:
        """The client's address."""
        return self.connection.client

    @cached_property
    def host(self) -> Any:
        """The address that the client connected to."""
        return self.connection.server


def _arguments(text: bytes, fields_max: int | None = None) -> dict[bytes, list[bytes]]:
    """Return the fields of a query or a form by name, as bytes in the encoding of the client.

    Raises ValueError for more than ``fields_max`` fields.
    """
    found = parse_qs(
        text.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=fields_max
    )
    return {_bytes(name): [_bytes(value) for value in values] for name, values in found.items()}


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
