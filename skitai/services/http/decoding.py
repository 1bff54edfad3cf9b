"""The body of a reply as it comes in: decoded (Content-Encoding), and never larger than the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.task import deferLater

from skitai.errors import CODE_BAD_REPLY, OperationError
from skitai.http.codings import DECODABLE, CodingError, Unpacker, add_piece
from skitai.http.fields import split_list

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode


class BadReplyError(Exception):
    """The reply breaks a rule or a limit: the text says which."""

    def about(self, node: HTTPNode) -> OperationError:
        """Return the error that a request to ``node`` fails with because of this reply."""
        error = OperationError(f"bad reply from {node.label}: {self}", code=CODE_BAD_REPLY, node=node)
        error.__cause__ = self
        return error


class ReplyBody:
    """Collects a body of at most ``limit`` bytes, counted after decoding.

    ``coding`` is the Content-Encoding, a list; its empty members and ``identity`` mean nothing (RFC 9110,
    sections 5.6.1.2 and 8.4). Coded bytes are decoded a step at a time: while the body ``is_behind``, more
    steps are needed. A coding that is unknown here is left as it came: a server sends one only to an app that
    asked for it.
    """

    __slots__ = ("_chunks", "_coding", "_limit", "_size", "_unpacker")

    def __init__(self, limit: int, coding: str | None = None) -> None:
        self._limit = limit
        self._size = 0
        self._chunks: list[bytes | bytearray] = []
        codings = [name for name in split_list(coding.lower()) if name != "identity"] if coding else []
        self._coding = ", ".join(codings)
        if len(codings) > 1 and DECODABLE.intersection(codings):
            # Left as it came, such a body would look as if it was decoded.
            raise BadReplyError(f"the body has several codings ({self._coding}), which nobody asked for")
        self._unpacker = Unpacker(self._coding) if self._coding in DECODABLE else None

    @property
    def is_coded(self) -> bool:
        """Whether the body is decoded here."""
        return self._unpacker is not None

    @property
    def is_behind(self) -> bool:
        """Whether coded bytes wait for a step."""
        return self._unpacker is not None and self._unpacker.is_behind

    def add(self, data: bytes) -> None:
        """Take the next bytes from the wire; raise ``BadReplyError`` if there are too many."""
        if self._unpacker is None:
            self._keep(data)
            return
        self._unpacker.add(data)
        if self._unpacker.waiting > self._limit:
            raise self._too_large()

    def step(self) -> None:
        """Decode some of the bytes; raise ``BadReplyError`` if that fails or gives too many."""
        assert self._unpacker is not None
        try:
            self._keep(self._unpacker.step())
        except CodingError as error:
            raise BadReplyError(f"the body is not the {self._coding} that it claims: {error}") from error

    def finish(self) -> bytes:
        """Return the whole body; raise ``BadReplyError`` if the coded data is incomplete."""
        if self._unpacker is not None and not self._unpacker.is_whole:
            raise BadReplyError(f"the {self._coding} data of the body ends in the middle")
        return b"".join(self._chunks)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._limit:
            raise self._too_large()
        add_piece(self._chunks, data)

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
