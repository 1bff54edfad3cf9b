"""Files as bodies or parts of bodies. Several calls may read one file at the same time, each all of it."""

from __future__ import annotations

import io
import os
import select
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakValueDictionary, finalize

import attrs

from skitai.errors import OperationError
from skitai.loop.contexts import current_context, run_in
from skitai.loop.native import Lock, poll

#: Bytes that are read and handed to the transport in one piece.
PIECE = 64 * 1024


class BodyError(OperationError):
    """The file that the app gave as the body cannot be read: the node is not to blame."""


@attrs.frozen(eq=False)
class FileSource:
    """The rest of a file, from where it stands when the app hands it over.

    ``read_at(position, size)`` reads it. ``length`` is None if it is unknown: such a file is read once, from
    front to back. ``wait(seconds)`` waits until a read would not block, and returns whether it came to that;
    it is None if that cannot be known.
    """

    read_at: Callable[[int, int], Any]
    start: int = 0
    length: int | None = None
    wait: Callable[[float], bool] | None = None

    @classmethod
    def of(cls, file: Any, argument: str) -> FileSource:
        """Return the rest of an open binary file; raise TypeError naming ``argument`` for a text file.

        Called in the app's thread, while the reactor may be sending the same file for another call.
        """
        if isinstance(file, io.TextIOBase):
            raise TypeError(f"{argument} is a text file: open it in binary mode, 'rb'")
        try:
            if file.seekable():
                return _in_memory(file) or _on_disk(file) or _shared(file)
        except (AttributeError, TypeError, OSError):
            pass  # it has no more of a file than read()
        except ValueError as error:
            raise ValueError(f"{argument} cannot be read: {error}") from error
        return _pipe(file) or cls(_in_request(lambda _position, size: file.read(size)))

    def is_ready(self, seconds: float) -> bool:
        """Wait for ``seconds`` at most; return whether ``read`` can be called without blocking."""
        try:
            return self.wait is None or self.wait(seconds)
        except (OSError, ValueError) as error:  # closed meanwhile
            raise BodyError(f"the file to send cannot be read: {error}") from error

    def read(self, offset: int) -> bytes:
        """Return the bytes at ``offset``, empty at the end; raise ``BodyError`` if that fails."""
        size = PIECE if self.length is None else min(PIECE, self.length - offset)
        try:
            piece = self.read_at(self.start + offset, size)
        except Exception as error:  # a file-like object of an app's own may raise anything
            raise BodyError(f"the file to send cannot be read: {type(error).__name__}: {error}") from error
        if not isinstance(piece, bytes):
            raise BodyError(f"the file to send gave {type(piece).__name__} instead of bytes")
        if not piece and self.length is not None and offset < self.length:
            raise BodyError(f"the file to send ended after {offset} of {self.length} bytes")
        return piece


def _in_request(read_at: Callable[[int, int], Any]) -> Callable[[int, int], Any]:
    """Return a function that calls ``read_at``, which may be code of the app, in the context of now."""
    context = current_context()
    return lambda position, size: run_in(context, read_at, position, size)


def _in_memory(file: Any) -> FileSource | None:
    """Return the source of a BytesIO, without moving its position; None for anything else."""
    if type(file) is not io.BytesIO:  # a subclass may have a read() of its own
        return None
    start = file.tell()
    return FileSource(partial(_slice, file), start, max(file.getbuffer().nbytes - start, 0))


def _slice(file: io.BytesIO, position: int, size: int) -> bytes:
    return bytes(file.getbuffer()[position : position + size])


def _on_disk(file: Any) -> FileSource | None:
    """Return the source of a regular file, without moving its position; None for anything else.

    The file must be of a type that ``open`` returns: others may have a descriptor, too, but decompress what
    they read from it.
    """
    if _raw(file) is None:
        return None
    if file.writable():
        file.flush()
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return None
    start = file.tell()
    return FileSource(partial(_pread, file), start, max(status.st_size - start, 0))


def _raw(file: Any) -> io.FileIO | None:
    """Return the raw file below one that ``open`` returned for reading; None for anything else."""
    raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
    return raw if type(raw) is io.FileIO else None


def _pread(file: Any, position: int, size: int) -> bytes:
    # fileno() each time: after a close, the number may be another file's.
    return os.pread(file.fileno(), size, position)


def _pipe(file: Any) -> FileSource | None:
    """Return the source of a pipe or a terminal; None for anything else.

    It is read only when there is something to read: a read that blocks would hold the lock of the file, and
    nobody could close it.
    """
    raw = _raw(file)
    if raw is None or not raw.readable():
        return None
    try:
        mode = os.fstat(file.fileno()).st_mode
    except OSError:
        return None  # reading it will fail with the reason
    if not stat.S_ISFIFO(mode) and not stat.S_ISCHR(mode):
        return None
    read = raw.read if raw is file else file.read1
    return FileSource(lambda _position, size: read(size), wait=partial(_readable, file))


def _readable(file: Any, seconds: float) -> bool:
    look = poll()
    look.register(file.fileno(), select.POLLIN)
    return bool(look.poll(seconds * 1000))


class _Place:
    """Lets several calls read one file that has a single position.

    The readers take turns, and each seeks to where it was. Meanwhile the position of the file is not where
    the app left it, so that is remembered here for the next call.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._given = 0
        self._moved_to: int | None = None

    def source(self, file: Any) -> FileSource:
        """Return the rest of the file, from where the app left it."""
        with self._lock:
            position = file.tell()
            if position != self._moved_to:
                self._given = position
            file.seek(0, io.SEEK_END)
            length = file.tell() - self._given
            self._put_back(file)
        read_at = _in_request(partial(self._read_at, file))
        return FileSource(read_at, self._given, max(length, 0))

    def _read_at(self, file: Any, position: int, size: int) -> Any:
        """Return bytes from ``position``; a ``size`` of 0, at the end, puts the file back to where it was."""
        with self._lock:
            if not size:
                self._put_back(file)
                return b""
            file.seek(position)
            piece = file.read(size)
            self._moved_to = file.tell()
            return piece

    def _put_back(self, file: Any) -> None:
        file.seek(self._given)
        self._moved_to = None


# By ``id(file)``, because not all files can be hashed. A place holds its file, so the number stays valid.
_places: WeakValueDictionary[int, _Place] = WeakValueDictionary()
_registering = Lock()


def _shared(file: Any) -> FileSource:
    """Return the source of a file that other calls may read at the same time."""
    with _registering:
        place = _places.get(id(file))
        if place is None:
            place = _places[id(file)] = _Place()
            # The place must live as long as the file: a call that ended early did not put the file back.
            with suppress(TypeError):  # cannot be weakly referenced
                finalize(file, _let_go, place).atexit = False
    return place.source(file)


def _let_go(_place: _Place) -> None:
    """Do nothing: as an argument of the finalizer, the place lives as long as the file."""
