"""How RPC protocols differ: how a call is written and a response is read."""

from __future__ import annotations

from typing import Any, Protocol


class Reader(Protocol):
    """Reads one response as it comes."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; raise ValueError if they cannot belong to a response."""

    def close(self) -> Any:
        """Return the value of the response; raise its fault, or ValueError if it is malformed."""


class Codec(Protocol):
    """One protocol: its ``name``, and ``service``, its name after ``was.``.

    Calls have the first of the ``media_types``, responses should have any of them.
    """

    name: str
    service: str
    media_types: tuple[str, ...]

    def encode(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the body of a call; raise TypeError or ValueError for arguments that cannot be sent."""

    def reader(self) -> Reader:
        """Return a reader for one response."""
