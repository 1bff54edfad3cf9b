"""``wsgi.file_wrapper`` (PEP 3333): files that the server sends itself, without a thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from stat import S_ISREG
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()


class FileWrapper:
    """Wraps an object with ``read(size)``: yields blocks of it, and closes it."""

    def __init__(self, filelike: Any, block_size: int = 32 * 1024) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def close(self) -> None:
        """Close the object, if it has ``close``."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def is_regular(self) -> bool:
        """Whether it is a file on disk, which the reactor thread can read without waiting."""
        try:
            return S_ISREG(os.fstat(self.filelike.fileno()).st_mode)
        except (AttributeError, TypeError, OSError, ValueError):
            return False


@implementer(IPullProducer)
class FileProducer:
    """Sends a file as fast as the client reads it, ends the response, and calls ``done()`` once.

    ``read()`` returns the next piece, and None at the end. If it raises, the response is cut off. All methods
    are called in the reactor thread.
    """

    def __init__(self, request: Request, read: Callable[[], bytes | None], done: Callable[[], None]) -> None:
        self._request = request
        self._read = read
        self._done: Callable[[], None] | None = done

    def resumeProducing(self) -> None:
        """Send the next piece."""
        try:
            piece = self._read()
        except Exception:  # noqa: BLE001 - an app's file-like object may raise anything
            _log.failure("cannot read the file of a response", level=LogLevel.error)
            self._end(self._request.abort)
            return
        if piece is None:
            self._end(self._request.end)
        else:
            self._request.send(piece)

    def stopProducing(self) -> None:
        """Stop: the client is gone."""
        self._end(lambda: None)

    def _end(self, last: Callable[[], None]) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._request.unregisterProducer()
            last()
            done()
