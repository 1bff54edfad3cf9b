"""One line for a refused request: who asked for what, and why it was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger, LogLevel

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

#: Bytes of what was asked that a line shows.
_SHOWN = 200
#: What stands for the address of a client that has none.
NO_ADDRESS = "unix"
#: Seconds between two lines with the same reason: whoever sends such requests may send many.
_PAUSE = 1.0


def asked_by(request: Request) -> bytes:
    """Return the words of ``request``: its method and its target."""
    return (request.method + b" " + request.uri).strip()


def shown(asked: bytes) -> str:
    """Return what a line shows of ``asked``, the words of a request, if there are any."""
    return asked[:_SHOWN].decode("ascii", "backslashreplace") or "a request"


class RefusalLog:
    """Tells of refused requests. ``seconds`` is a clock. Called in the reactor thread.

    The reasons are sentences of this program, so that there are few: nobody can fill the log with new ones.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        #: When a line with a reason was written, and how many were left out since.
        self._told: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def tell(self, request: Request, code: int, why: str, level: Any = LogLevel.info) -> None:
        """Write that ``request`` was refused with the status ``code``, unless the same was said just now."""
        self.tell_of(request.connection.addresses["REMOTE_ADDR"], asked_by(request), str(code), why, level)

    def tell_of(self, client: str, asked: bytes, code: str, why: str, level: Any = LogLevel.info) -> None:
        """Write the same of what is no request: ``asked`` are the words that it would have had, if any."""
        now = self._seconds()
        if now - self._told.get(why, -_PAUSE) < _PAUSE:
            self._left_out[why] = self._left_out.get(why, 0) + 1
            return
        self._told[why] = now
        others = self._left_out.pop(why, 0)
        _log.emit(
            level,
            "{client} {asked} was refused with {code}: {why}{others}",
            client=client or NO_ADDRESS,
            asked=shown(asked),
            code=code,
            why=why,
            others=f", and {others} more before it" if others else "",
        )
