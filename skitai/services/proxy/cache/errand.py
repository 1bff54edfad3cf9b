"""A request that nobody waits for: it brings a stored reply up to date."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any


class Errand:
    """Stands for the client's ``request`` where members are asked, and drops what would be sent to it."""

    method = b"GET"
    #: For ``IConnection`` and ``Exchange``: nothing waits, nothing is held back.
    waiting = status_code = refusal = body_length = 0
    bytes_sent = 1
    gone = False

    def __init__(self, request: Any) -> None:
        for name in ("uri", "path", "query", "authority", "version", "headers", "client_variables"):
            setattr(self, name, getattr(request, name))
        self.headers: Sequence[tuple[bytes, bytes]]
        self._id: str = request.identified()
        told = request.connection
        self.connection = SimpleNamespace(peer=told.peer, secure=told.secure, addresses=told.addresses)
        self._producer: Any = None

    def identified(self) -> str:
        """Return the id of the client's request."""
        return self._id

    def field(self, name: bytes) -> bytes | None:
        """Return the header field ``name`` as ``Request.field`` does."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values) if values else None

    def take_body(self) -> None:
        """Return no body."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Do nothing: the client cannot leave."""

    def unregisterProducer(self) -> None:
        """Do nothing, as above."""

    def start(self, status: str, headers: Sequence[tuple[str, str]], length: int | None = None) -> None:
        """Do nothing: only the copy counts."""

    def send(self, data: bytes) -> None:
        """Do nothing, as above."""

    def inform(self, status: str, headers: Sequence[tuple[str, str]]) -> None:
        """Do nothing, as above."""

    def end(self, trailers: Sequence[tuple[str, str]] = ()) -> None:
        """Do nothing, as above."""

    def abort(self) -> None:
        """Do nothing, as above."""

    def fail(self, code: int, *headers: tuple[str, str], detail: str = "") -> None:
        """Do nothing: the log says what happened."""
