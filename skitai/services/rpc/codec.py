"""How one RPC protocol differs from another: how a call is written and a response is read."""

from __future__ import annotations

from typing import Any, Protocol


class Reader(Protocol):
    """Reads one response as it comes."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raise ValueError where they cannot belong to a response."""

    def close(self) -> Any:
        """Return the value of the response; raise its fault, or ValueError where it is none."""


class Codec(Protocol):
    """One protocol: its ``name``, and the ``media_types`` that its responses should have, calls the first.

    ``service`` is what apps know it by, after ``was.``.
    """

    name: str
    service: str
    media_types: tuple[str, ...]

    def encode(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the body of a call; raise TypeError or ValueError for arguments that cannot be sent."""

    def reader(self) -> Reader:
        """Return a reader for one response."""
