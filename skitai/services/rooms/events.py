"""Server-sent events of a room: ``return was.rooms("news").events()``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from skitai.errors import CODE_BUSY, OperationError
from skitai.http.lasting import BodyReader, FirstPiece, LastingBody
from skitai.loop.bridge import Bridge, Pending
from skitai.services.rooms.members import EventMember
from skitai.services.rooms.streams import COMMENT, EventStream

if TYPE_CHECKING:
    from skitai.services.rooms.house import House

_log = Logger()

#: Seconds of one wait in a loop of waits without a deadline.
_LOOK_SECONDS = 60.0


class Events(LastingBody):
    """The body of a response: what is sent to the room ``name``, from now on or after ``last``.

    ``data`` is for the presence, as bytes. ``event`` is the type of all events, None for that of the
    standard. ``retry`` is how many seconds a browser waits before it comes back.
    """

    #: For a response that is not Saddle's, which has them by itself.
    headers = {  # noqa: RUF012 - it never changes
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",  # nginx would collect the events
    }

    def __init__(
        self, house: House, name: str, last: str, data: bytes | None, event: str | None, retry: float | None
    ) -> None:
        self._house = house
        self._name = name
        self._last = last
        self._data = data
        self._event = event
        self._greeting = COMMENT if retry is None else b"retry: %d\n\n" % round(retry * 1000)
        self._begun = self._closed = False
        self._stream: EventStream | None = None

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def __iter__(self) -> Iterator[bytes]:
        """Yield the events as they come, for as long as the server runs."""
        yield FirstPiece.of(self._greeting, self)
        if self._begun:  # the reactor sends the rest
            return
        bridge = self._house.bridge
        pieces = _Pieces(bridge)
        bridge.submit(partial(self.begin, pieces))
        try:
            yield from pieces
        finally:
            self.close()

    def close(self) -> None:
        """End the events: the reader is gone. Called in any thread; a second call does nothing."""
        self._house.bridge.submit(self._stop)

    # -- in the reactor thread -----------------------------------------------------------------------------

    def begin(self, reader: BodyReader) -> None:
        """Send the events to ``reader``. Reactor thread."""
        self._begun = True
        if self._house.closing or self._closed:
            reader.end()
            return
        self._stream = stream = EventStream(self._house, reader, self._event)
        joining = self._house.join(self._name, EventMember(stream), self._last, self._data)
        Deferred.fromCoroutine(joining).addErrback(partial(self._failed, stream))

    def _failed(self, stream: EventStream, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, OperationError):
            _log.failure("the events of a room failed", failure)
        elif error.code != CODE_BUSY:
            return  # without a bus there is still what this process sends
        stream.end()

    def _stop(self) -> None:
        self._closed = True
        if self._stream is not None:
            self._stream.stop()


class _Pieces:
    """Hands events to a thread or a greenlet that iterates: for a server that cannot send them itself."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._queue: deque[bytes] = deque()
        self._arrival = Pending()
        self._over = False
        #: Bytes that wait for the thread: counted up here, down there.
        self._sent = self._taken = 0

    @property
    def waiting(self) -> int:
        """How many bytes wait for the thread."""
        return self._sent - self._taken

    def send(self, data: bytes) -> None:
        """Take a piece."""
        self._queue.append(data)
        self._sent += len(data)
        self._wake()

    def end(self) -> None:
        """End after the pieces that wait."""
        self._over = True
        self._wake()

    abort = end

    def _wake(self) -> None:
        arrival, self._arrival = self._arrival, Pending()
        arrival.end()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            arrival = self._arrival  # before the look at the queue, or a piece that comes now would wait
            if self._queue:
                piece = self._queue.popleft()
                self._taken += len(piece)
                yield piece
            elif self._over:
                return
            else:
                self._bridge.wait(arrival, _LOOK_SECONDS)
