"""Bodies of responses that last for as long as somebody reads them, such as event streams.

A server that iterates over such a body needs a thread for each reader. One that knows this module sees that
the first piece is a ``FirstPiece``, and has the reactor send the rest. Frameworks pass the pieces of a body
on as they are, so this works through all that a framework puts around a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, Self


class BodyReader(Protocol):
    """The client, as the body sees it. Used in the reactor thread."""

    @property
    def waiting(self) -> int:
        """How many bytes the client has yet to take."""

    def send(self, data: bytes) -> None:
        """Send a piece."""

    def end(self) -> None:
        """Complete the body."""

    def abort(self) -> None:
        """Cut the client off: it sees that the body is incomplete."""


class LastingBody:
    """A body that is iterated over, or that the reactor sends; one of them, once."""

    #: What the fields of the response should be, where the app sets no others.
    headers: dict[str, str]

    def __iter__(self) -> Iterator[bytes]:
        """Yield a ``FirstPiece``, and the rest unless ``begin`` was called. In a thread or a greenlet."""
        raise NotImplementedError

    def begin(self, reader: BodyReader) -> None:
        """Send what follows the first piece to ``reader``, until it or this body ends. Reactor thread."""
        raise NotImplementedError

    def close(self) -> None:
        """End the body: the reader is gone. Called in any thread; a second call does nothing."""
        raise NotImplementedError


class FirstPiece(bytes):
    """The first piece of ``body``."""

    body: LastingBody

    @classmethod
    def of(cls, data: bytes, body: LastingBody) -> FirstPiece:
        """Return ``data`` as the first piece of ``body``."""
        piece = cls(data)
        piece.body = body
        return piece

    def __bytes__(self) -> Self:
        """Remain what it is: Django calls ``bytes()`` on each piece of a streamed body."""
        return self
