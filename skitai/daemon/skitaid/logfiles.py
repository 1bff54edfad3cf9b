"""Shows the end of a log, and follows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

#: How much of a log ``skitaid log`` shows.
TAIL_BYTES = 16 * 1024
#: Seconds between two looks at a log that is followed.
LOOK_SECONDS = 0.25
_READ_BYTES = 65536


def tail(path: Path, output: BinaryIO) -> int:
    """Write the last 16 KB of a file to ``output``, from the start of a line; return where the file ends.

    Raises OSError.
    """
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        start = max(end - TAIL_BYTES, 0)
        file.seek(start)
        data = file.read(end - start)
    if start:
        data = data.partition(b"\n")[2]
    output.write(data)
    output.flush()
    return end


def follow(path: Path, start: int, output: BinaryIO, pause: Callable[[float], object]) -> None:
    """Write what is added to a file behind ``start``, without end, also when another takes its place.

    ``pause(seconds)`` waits; what it raises ends it.
    """
    file: BinaryIO = open(path, "rb")  # noqa: SIM115 - it changes
    try:
        file.seek(start)
        while True:
            _copy(file, output)
            fresh = _successor(path, file)
            if fresh is None:
                pause(LOOK_SECONDS)
            else:
                _copy(file, output)  # what came between the last look and the change
                file.close()
                file = fresh
    finally:
        file.close()


def _copy(file: BinaryIO, output: BinaryIO) -> None:
    while data := file.read(_READ_BYTES):
        output.write(data)
        output.flush()
    if os.fstat(file.fileno()).st_size < file.tell():  # it was cut
        file.seek(0)


def _successor(path: Path, file: BinaryIO) -> BinaryIO | None:
    """Return the file that has taken the place of ``file``, or None."""
    try:
        if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
            return None
        return open(path, "rb")
    except FileNotFoundError:
        return None
