"""The way of a response from where an app runs to the reactor thread, piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from twisted.logger import Logger, LogLevel

from skitai.loop.bridge import Pending
from skitai.server.wsgi.outgoing import request_line

if TYPE_CHECKING:
    from skitai.server.request.request import Request
    from skitai.server.wsgi.resource import WSGIResource

_log = Logger()

#: Bytes that an app may send, and seconds that it may run, before the reactor gets its turn.
BYTES_PER_TURN = 256 * 1024
_SECONDS_PER_TURN = 0.005
#: Seconds of one wait. A paused app is woken when its client has read something or is gone.
_PAUSE_SECONDS = 60.0


class Pieces:
    """Takes the steps of the response to ``request``, and does them in order in the reactor thread.

    Several steps cost one wake-up. If one raises an exception, the answer is 500. An app that sends more than
    ``buffer_max`` of its ``resource`` waits until its client has read half of that.
    """

    __slots__ = ("_outbox", "_request", "_resource", "_this_turn", "_turn_began")

    def __init__(self, resource: WSGIResource, request: Request) -> None:
        self._resource = resource
        self._request = request
        self._outbox: deque[Callable[[], None]] = deque()
        self._this_turn = 0
        self._turn_began = monotonic()

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def append(self, step: Callable[[], None]) -> None:
        """Have ``step`` called before what is posted next."""
        self._outbox.append(step)

    def post(self, step: Callable[[], None]) -> None:
        """Have ``step`` called soon."""
        self._outbox.append(step)
        self._resource.bridge.submit(self._deliver)

    def send(self, piece: bytes) -> None:
        """Send a piece of the body at once: none may wait for the next one (PEP 3333)."""
        self.post(partial(self._request.send_now, piece))
        self.take_turns(len(piece))

    def take_turns(self, sent: int = 0) -> None:
        """Give the reactor its turn if the app has sent much or run long since the last one."""
        self._this_turn += sent
        if (
            self._this_turn >= min(BYTES_PER_TURN, self._resource.buffer_max)
            or monotonic() - self._turn_began > _SECONDS_PER_TURN
        ):
            self._this_turn = 0
            self.catch_up()
            self._turn_began = monotonic()

    def catch_up(self) -> None:
        """Wait until the reactor has what was sent and the client has read enough of it."""
        caught_up = Pending()
        self.post(lambda: self._when_caught_up(caught_up.end))
        while not self._resource.bridge.wait(caught_up, _PAUSE_SECONDS):
            pass  # if the client reads nothing, the time-out of its connection ends this

    # -- in the reactor thread -----------------------------------------------------------------------------

    def _deliver(self) -> None:
        outbox = self._outbox
        while outbox:
            try:
                outbox.popleft()()
            except Exception:  # noqa: BLE001 - a field that breaks the framing, for example
                cannot_send(self._resource, self._request)

    def _when_caught_up(self, call: Callable[[], None]) -> None:
        most = self._resource.buffer_max
        if self._request.waiting > most:
            self._request.when_below(most // 2 + 1, call)
        else:
            self._resource.bridge.call_later(0, call)


def cannot_send(resource: WSGIResource, request: Request) -> None:
    """Log the exception that is handled, and answer with 500. Called in the reactor thread."""
    line = request_line(request)
    _log.failure("the response to {request} cannot be sent", request=line, level=LogLevel.error)
    give_up(resource, request)


def give_up(resource: WSGIResource, request: Request, error: BaseException | None = None) -> None:
    """Answer with 500, if that is still possible; ``error`` is for a developer. Reactor thread."""
    if not request.written:  # else the connection may already serve another request
        resource.answer_failed(request, error)
