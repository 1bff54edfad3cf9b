"""``wsgi.file_wrapper`` (PEP 3333): a file that the server sends by itself, holding no thread meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPullProducer
from twisted.logger import Logger
from zope.interface import implementer

if TYPE_CHECKING:
    from skitai.server.request import Request

_log = Logger()


class FileWrapper:
    """Wraps anything with ``read(size)``; iterating gives blocks, closing closes the file."""

    def __init__(self, filelike: Any, block_size: int = 32 * 1024) -> None:
        self.filelike = filelike
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def close(self) -> None:
        """Close the file, where it can be closed."""
        close = getattr(self.filelike, "close", None)
        if close is not None:
            close()

    def is_regular(self) -> bool:
        """Whether it is a file on disk, which can be read in the reactor thread without waiting."""
        from stat import S_ISREG

        fileno = getattr(self.filelike, "fileno", None)
        if fileno is None:
            return False
        try:
            import os

            return S_ISREG(os.fstat(fileno()).st_mode)
        except (OSError, ValueError):
            return False


@implementer(IPullProducer)
class FileProducer:
    """Sends the blocks of a file as fast as the client takes them, then calls ``done()`` once.

    All methods are called in the reactor thread.
    """

    def __init__(self, request: Request, file: FileWrapper, done: Callable[[], None]) -> None:
        self._request = request
        self._blocks = iter(file)
        self._done: Callable[[], None] | None = done

    def resumeProducing(self) -> None:
        """Send the next block."""
        try:
            block = next(self._blocks, b"")
        except (OSError, ValueError) as error:
            _log.error("cannot read the file of a response: {error}", error=error)
            self._request.abort()
            return
        if block:
            self._request.send(block)
        else:
            self._request.unregisterProducer()
            self._finish()
            self._request.end()

    def stopProducing(self) -> None:
        """The client is gone."""
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            done()
