"""One line for each answer: ``2026.11.22 16:09:21 [info] 10.0.0.7:40122 GET /p HTTP/1.1 200 122 1ms 0ms``.

The numbers are the status, the bytes sent with the head, the milliseconds until the answer began and those
until it was sent. A client that went away before has ``- 0`` for what it did not get.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import time
from typing import IO, TYPE_CHECKING, Any

from twisted.logger import Logger

from skitai.formats.loglines import stamp
from skitai.loop.turn import Stage, turn_end_of

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Seconds that lines of an access log in a file may wait.
_FLUSH_SECONDS = 1.0

_PLAIN = re.compile(rb"[!-\[\]-~]*")


class AccessLog:
    """Writes the access log to ``stream``: an observer for ``HTTPFactory``. Called in the reactor thread.

    The first line that waits calls ``soon(flush)``, which has ``flush`` called when lines are to be written.
    ``clock`` gives the seconds since the epoch. ``open_access_log`` makes one of a config.
    """

    def __init__(
        self,
        stream: IO[str],
        soon: Callable[[Callable[[], None]], object],
        clock: Callable[[], float] = time,
    ) -> None:
        self._stream = stream
        self._soon = soon
        self._clock = clock
        self._lines: list[str] = []
        self._second = -1
        self._date = ""

    def __call__(self, request: Request) -> None:
        """Write the line for ``request``, whose answer left or broke off."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._date = second, stamp(second)
        ended = request.ended
        arrived = request.arrived or ended
        answered = request.answered or ended
        if not self._lines:
            self._soon(self.flush)
        self._lines.append(
            f"{self._date} [info] {_client(request.connection.addresses)} "
            f"{_printable(request.method) or '-'} {_printable(request.uri) or '-'} HTTP/{request.version} "
            f"{request.status_code or '-'} {request.bytes_sent} "
            f"{(answered - arrived) * 1000:.0f}ms {(ended - answered) * 1000:.0f}ms\n"
        )

    def flush(self) -> None:
        """Write the lines that wait. Those that the stream refuses are lost; the server's log says so."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, the stream is closed
            _log.error("cannot write the access log ({error}); lines lost: {n}", n=len(lines), error=error)

    def close(self) -> None:
        """Write the lines that wait, and close the stream unless others use it, too."""
        self.flush()
        if self._stream is not sys.stdout:
            self._stream.close()


def open_access_log(path: Path | str, reactor: Any) -> AccessLog:
    """Return the access log in the file at ``path``, or on standard output for ``-``.

    Raises OSError for a file that cannot be opened. Called in the reactor thread.
    """
    if path == "-":  # others write there, too: in order
        return AccessLog(sys.stdout, partial(turn_end_of(reactor).call, Stage.LOG))
    return AccessLog(open(path, "a", encoding="utf-8"), partial(reactor.callLater, _FLUSH_SECONDS))


def _client(addresses: Mapping[str, str]) -> str:
    host, port = addresses["REMOTE_ADDR"], addresses["REMOTE_PORT"]
    if not host:
        return "unix:-"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _printable(text: bytes) -> str:
    """``text`` with whatever could forge or hide a part of the line escaped."""
    if _PLAIN.fullmatch(text) is not None:
        return text.decode("ascii")
    return "".join(c if "!" <= c <= "~" and c != "\\" else f"\\x{ord(c):02x}" for c in text.decode("latin-1"))
