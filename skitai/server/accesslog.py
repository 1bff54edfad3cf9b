"""One line for each response: ``2026.11.22 16:09:21 [info] 10.0.0.7:40122 GET /p HTTP/1.1 200 122 1ms 0ms``.

The numbers are the status, the bytes sent (head included), the milliseconds until the response began, and
those from there until it was sent. If the client left before that, status and bytes are ``- 0``.
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
from skitai.processes.files import begin_anew

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Seconds that lines may wait until they are written to a file.
_FLUSH_SECONDS = 1.0

_PLAIN = re.compile(rb"[!-\[\]-~]*")


class AccessLog:
    """Writes the access log to ``stream``: an observer for ``HTTPFactory``. Called in the reactor thread.

    Lines wait until they are written together. ``soon(flush)`` is called for the first of them, and calls
    ``flush`` later. ``clock`` gives the seconds since the epoch.
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
        """Add the line for ``request``, whose response was sent or broke off."""
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
        """Write the waiting lines. If the stream refuses them they are lost, and the server's log says so."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, or the stream is closed
            _log.error("cannot write the access log ({error}); lines lost: {n}", n=len(lines), error=error)

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away. Raises OSError."""
        self.flush()
        if self._stream is not sys.stdout:
            begin_anew(self._stream.fileno(), self._stream.name)

    def close(self) -> None:
        """Write the waiting lines, and close the stream unless it is standard output."""
        self.flush()
        if self._stream is not sys.stdout:
            self._stream.close()


def open_access_log(path: Path | str, reactor: Any) -> AccessLog:
    """Return an access log that goes to the file ``path``, or to standard output for ``-``.

    Raises OSError if the file cannot be opened. Called in the reactor thread.
    """
    if path == "-":  # in order with what others print there
        return AccessLog(sys.stdout, partial(turn_end_of(reactor).call, Stage.LOG))
    return AccessLog(open(path, "a", encoding="utf-8"), partial(reactor.callLater, _FLUSH_SECONDS))


def _client(addresses: Mapping[str, str]) -> str:
    host, port = addresses["REMOTE_ADDR"], addresses["REMOTE_PORT"]
    if not host:
        return "unix:-"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _printable(text: bytes) -> str:
    """Escape what could forge or hide a part of the line."""
    if _PLAIN.fullmatch(text) is not None:
        return text.decode("ascii")
    return "".join(c if "!" <= c <= "~" and c != "\\" else f"\\x{ord(c):02x}" for c in text.decode("latin-1"))
