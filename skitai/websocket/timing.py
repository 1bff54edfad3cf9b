"""When a websocket is pinged, given up and closed for want of messages."""

from __future__ import annotations

from enum import IntEnum
from math import inf

from skitai.websocket.closing import NORMAL
from skitai.websocket.frames import PING, control_frame
from skitai.websocket.sending import Outgoing
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.watch import Watch


class State(IntEnum):
    """How far a websocket is."""

    OPEN = 0
    #: Our close frame is sent, that of the peer is awaited: what else comes is skipped.
    CLOSING = 1
    #: Nothing is read any more. The connection ends when all is sent.
    OVER = 2


# For the hot path: in Python 3.11, looking up a member of an Enum costs a call.
OPEN, CLOSING, OVER = State.OPEN, State.CLOSING, State.OVER

#: Bytes that every peer takes at once, if it takes anything.
_LITTLE = 4096


class TimedWire:
    """The time-outs of a wire, which a watch checks: a timer for each socket would cost more.

    A peer lives if anything comes from it after a ping, or if it takes what was sent. While we do not read,
    nobody can know.
    """

    __slots__ = (
        "_heard",
        "_keep_alive",
        "_moved",
        "_out",
        "_paused",
        "_ping_at",
        "_pinged",
        "_settings",
        "_state",
        "_untaken",
        "_watch",
        "slot",
    )

    _out: Outgoing

    def __init__(self, settings: WebSocketSettings, watch: Watch, keep_alive: float) -> None:
        self.slot = 0
        self._settings = settings
        self._watch = watch
        self._keep_alive = keep_alive
        self._state = OPEN
        self._paused = False
        #: Whether the peer has sent anything since the last ping, and whether it should.
        self._heard = self._pinged = False
        #: When the last message came or went, and when the next ping, or the answer to one, is due.
        self._moved = self._ping_at = 0.0
        #: How many bytes the peer had yet to take at the last look.
        self._untaken = 0

    def check(self, now: float) -> None:
        """See which time-outs are over. Called by the watch."""
        if self._state is not OPEN:
            self._check_end()
        elif self._keep_alive and now >= self._moved + self._keep_alive:
            self.close(NORMAL, "idle")
        elif now >= self._ping_at and self._pinged and not self._lives():
            self.abort(f"the peer sent nothing for {self._settings.ping_timeout:g} s after a ping")
        else:
            self._ping_if_due(now)
            self._check_later()

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake when all that was sent has left; a second call does nothing."""
        raise NotImplementedError

    def abort(self, why: str) -> None:
        """Cut the connection: the listener is told of the code 1006, with the reason ``why``."""
        raise NotImplementedError

    def _write(self, frame: bytes) -> None:
        raise NotImplementedError

    def _start_timing(self) -> None:
        self._moved = now = self._watch.seconds()
        self._ping_at = now + self._settings.ping_interval if self._settings.ping_interval else inf
        self._check_later()

    def _check_later(self) -> None:
        when = min(self._ping_at, self._moved + self._keep_alive if self._keep_alive else inf)
        if when != inf:
            self._watch.call(self, when)

    def _lives(self) -> bool:
        return self._heard or self._paused or self._takes()

    def _takes(self) -> bool:
        """Return whether the peer is busy with what was sent before the last look, and takes some of it."""
        return self._out.untaken < self._untaken > _LITTLE

    def _ping_if_due(self, now: float) -> None:
        interval, timeout = self._settings.ping_interval, self._settings.ping_timeout
        if self._pinged and now >= self._ping_at:
            self._pinged = False
            self._ping_at += max(interval - timeout, 0.0)
        if now >= self._ping_at:
            self._pinged = bool(timeout)
            self._heard = False
            self._untaken = self._out.untaken
            self._ping_at = now + (timeout or interval)
            if not self._out.blocked:
                self._write(control_frame(PING, b""))

    def _end_in_time(self) -> None:
        self._untaken = self._out.untaken
        self._watch.call(self, self._watch.seconds() + self._settings.close_timeout)

    def _check_end(self) -> None:
        if self._takes():
            self._end_in_time()
        else:
            self.abort(f"the peer did not close within {self._settings.close_timeout:g} s")
