"""Writes a line for each response; ``skitai.server.accesslines`` has the formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Any

from twisted.logger import Logger

from skitai.formats.colours import coloured_access, wants_colours
from skitai.loop.turn import Stage, turn_end_of
from skitai.processes.files import AppendedFile
from skitai.processes.streams import own_stream
from skitai.server.accesslines import FORMATS, Line, with_id

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Seconds that lines may wait until they are written to a file.
_FLUSH_SECONDS = 1.0
#: How much goes to a standard stream at once: a pipe keeps that together (PIPE_BUF of Linux), where other
#: workers write, too.
_PIECE_MAX = 4096


class AccessLog:
    """Writes the access log to ``stream``: an observer for ``HTTPFactory``. Called in the reactor thread.

    Lines wait until they are written together. ``soon(flush)`` is called for the first of them, and calls
    ``flush`` later. ``line`` makes the lines.
    """

    def __init__(
        self, stream: IO[str] | AppendedFile, soon: Callable[[Callable[[], None]], object], line: Line
    ) -> None:
        self._stream = stream
        self._soon = soon
        self._line = line
        self._lines: list[str] = []

    def __call__(self, request: Request) -> None:
        """Add the line for ``request``, whose response was sent or broke off."""
        if not self._lines:
            self._soon(self.flush)
        self._lines.append(self._line(request))

    def flush(self) -> None:
        """Write the waiting lines. If the stream refuses them they are lost, and the server's log says so."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._write(lines)
            self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, or the stream is closed
            _log.error("cannot write the access log ({error}); lines lost: {n}", n=len(lines), error=error)

    def _write(self, lines: list[str]) -> None:
        self._stream.write("\n".join(lines) + "\n")

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away. Raises OSError."""
        self.flush()
        if isinstance(self._stream, AppendedFile):
            self._stream.reopen()

    def close(self) -> None:
        """Write the waiting lines, and close the stream."""
        self.flush()
        self._stream.close()


class ConsoleAccessLog(AccessLog):
    """An access log that goes to a standard stream, where others write, too; on a terminal, in colours."""

    def _write(self, lines: list[str]) -> None:
        if wants_colours(self._stream):
            lines = [coloured_access(line) for line in lines]
        piece: list[str] = []
        length = 0
        for line in lines:
            length += len(line) + 1
            if length > _PIECE_MAX and piece:
                self._stream.write("".join(piece))
                self._stream.flush()
                piece, length = [], len(line) + 1
            piece.append(f"{line}\n")
        self._stream.write("".join(piece))

    def close(self) -> None:
        """Write the waiting lines: others go on with the stream."""
        self.flush()


def open_access_log(
    path: Path | str, reactor: Any, *, form: str = "skitai", has_ids: bool = False
) -> AccessLog:
    """Return an access log that goes to the file ``path``, or to standard output for ``-``.

    ``form`` is one of FORMATS; with ``has_ids``, each line ends with the id of its request, unless the format
    has it. Raises OSError if the file cannot be opened. Called in the reactor thread.
    """
    line = FORMATS[form](time)
    if has_ids and form != "json":
        line = with_id(line)
    if path == "-":  # in order with what others print there
        return ConsoleAccessLog(own_stream("stdout"), partial(turn_end_of(reactor).call, Stage.LOG), line)
    file = AppendedFile(path)
    file.open()
    return AccessLog(file, partial(reactor.callLater, _FLUSH_SECONDS), line)
