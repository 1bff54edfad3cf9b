"""A reply's body as it comes in: undone from its Content-Encoding, and never larger than allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater

from skitai.errors import CODE_BAD_REPLY, OperationError
from skitai.http.codings import DECODABLE, CodingError, Unpacker

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode


class BadReplyError(Exception):
    """The peer's reply breaks a rule or a limit: the text says which."""

    def about(self, node: HTTPNode) -> OperationError:
        """Return what it means for the request that ``node`` answered so."""
        error = OperationError(f"bad reply from {node.label}: {self}", code=CODE_BAD_REPLY, node=node)
        error.__cause__ = self
        return error


class ReplyBody:
    """Collects a body of at most ``limit`` bytes, counted after decoding.

    Coded bytes are undone a step at a time: while it ``is_behind``, there are more steps to take. Codings
    that cannot be undone here stay as they came: only an app that asked for one gets one.
    """

    __slots__ = ("_chunks", "_coding", "_limit", "_size", "_unpacker")

    def __init__(self, limit: int, coding: str | None = None) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes] = []
        self._coding = coding.strip().lower() if coding else ""
        if "," in self._coding and DECODABLE.intersection(map(str.strip, self._coding.split(","))):
            # Handed over as they came, such bodies would look like what they are not.
            raise BadReplyError(f"the body has several codings ({self._coding}), which nobody asked for")
        self._unpacker = Unpacker(self._coding) if self._coding in DECODABLE else None

    @property
    def is_coded(self) -> bool:
        """Whether it is unpacked here."""
        return self._unpacker is not None

    @property
    def is_behind(self) -> bool:
        """Whether coded bytes wait for a step."""
        return self._unpacker is not None and self._unpacker.is_behind

    def add(self, data: bytes) -> None:
        """Take the next bytes from the wire; raise ``BadReplyError`` for too many."""
        if self._unpacker is None:
            self._keep(data)
            return
        self._unpacker.add(data)
        if self._unpacker.waiting > self._limit:
            raise self._too_large()

    def step(self) -> None:
        """Undo some of the coded bytes; raise ``BadReplyError`` for undecodable or too many ones."""
        assert self._unpacker is not None
        try:
            self._keep(self._unpacker.step())
        except CodingError as error:
            raise BadReplyError(f"the body is not the {self._coding} that it claims: {error}") from error

    def finish(self) -> bytes:
        """Return the whole body; raise ``BadReplyError`` where its coding ends too early."""
        if self._unpacker is not None and not self._unpacker.is_whole:
            raise BadReplyError(f"the {self._coding} data of the body ends in the middle")
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise self._too_large()
        self._chunks.append(data)

    def _too_large(self) -> BadReplyError:
        return BadReplyError(f"the body is larger than {self._limit} bytes")


async def finish_in_steps(body: ReplyBody, reactor: Any) -> bytes:
    """Return the whole of a body that is behind, one step in each turn of the reactor.

    Raises ``BadReplyError`` as the steps do.
    """
    while body.is_behind:
        await deferLater(reactor, 0)
        body.step()
    return body.finish()
