"""What both ends of a websocket do alike: sending, the end, and time-outs."""

from __future__ import annotations

from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from skitai.loop.sending import SendQueue
from skitai.websocket.closing import (
    ABNORMAL,
    GOING_AWAY,
    NORMAL,
    read_close,
)
from skitai.websocket.contracts import Listener
from skitai.websocket.deflate import Deflate
from skitai.websocket.frames import CLOSE, PING, PONG, close_payload, control_frame, frame_of
from skitai.websocket.sending import Outgoing, outgoing_for
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.watch import Watch

if TYPE_CHECKING:
    from skitai.websocket.core import Core


class State(IntEnum):
    """How far a websocket is."""

    OPEN = 0
    #: Our close frame is sent, that of the peer is awaited: what else comes is skipped.
    CLOSING = 1
    #: Nothing is read any more. The connection ends when all is sent.
    OVER = 2


# For the hot path: in Python 3.11, looking up a member of an Enum costs a call.
OPEN, CLOSING, OVER = State.OPEN, State.CLOSING, State.OVER


class _Nobody:
    """In the place of a listener that was told of the end."""

    def received(self, message: str | bytes) -> None:
        """Drop a message."""

    def drained(self) -> None:
        """Do nothing."""

    def ended(self, code: int, reason: str) -> None:
        """Do nothing."""


_NOBODY = _Nobody()


class BaseWire:
    """A websocket after its handshake. All methods are called in the reactor thread.

    ``listener`` is set before the connection is made. ``deflate`` is what was agreed upon, or None.
    ``keep_alive``: seconds without a message in either direction, after which it is closed; 0: never.
    """

    __slots__ = (
        "_closing",
        "_core",
        "_deflate",
        "_heard",
        "_in_read",
        "_keep_alive",
        "_moved",
        "_out",
        "_paused",
        "_ping_at",
        "_pinged",
        "_pong",
        "_progress",
        "_queue",
        "_rest",
        "_settings",
        "_skip",
        "_state",
        "_transport",
        "_watch",
        "listener",
        "slot",
        "subprotocol",
    )

    listener: Listener
    _out: Outgoing
    _transport: Any

    def __init__(
        self,
        settings: WebSocketSettings,
        watch: Watch,
        queue: SendQueue,
        *,
        subprotocol: str | None = None,
        deflate: Deflate | None = None,
        keep_alive: float = 0,
    ) -> None:
        self.subprotocol = subprotocol
        self.slot = 0
        self._settings = settings
        self._watch = watch
        self._queue = queue
        self._deflate = deflate
        self._keep_alive = keep_alive
        self._state = OPEN
        #: Autobahn's reader, while it is needed.
        self._core: Core | None = None
        #: What was read but cannot be understood yet, or is not wanted yet.
        self._rest = b""
        #: Bytes of a frame that are of no interest.
        self._skip = 0
        self._paused = self._in_read = False
        #: Whether the peer has sent anything since the last ping, and whether it should.
        self._heard = self._pinged = False
        self._moved = self._ping_at = 0.0
        self._progress = 0
        #: The last ping that could not be answered yet.
        self._pong: bytes | None = None
        #: Our close code and reason.
        self._closing = (ABNORMAL, "")

    # -- the connection --------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Begin on a connection that has just changed to the websocket protocol."""
        self._transport = transport
        self._out = outgoing_for(transport, self._queue, self._drained)
        self._moved = now = self._watch.seconds()
        self._ping_at = now + self._settings.ping_interval if self._settings.ping_interval else inf
        self._check_later()

    def connectionMade(self) -> None:
        """Called by nobody: there is nothing to do."""

    def connectionLost(self, reason: Failure) -> None:
        """Tell the listener of the end, if it does not know of it."""
        self._state = OVER
        self._core = None
        self._rest = b""
        self._watch.forget(self)
        self._out.discard()
        self._end(ABNORMAL, f"the connection was lost: {reason.getErrorMessage()}")

    def stop(self) -> None:
        """Begin to close: the server stops."""
        self.close(GOING_AWAY)

    # -- sending ---------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes the peer has yet to take. Read in any thread."""
        return self._out.waiting

    def send(self, message: str | bytes) -> None:
        """Send a text or a binary message. After the close it is dropped."""
        self.send_frame(frame_of(message) if self._deflate is None else self._deflate.frame_of(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a frame that is whole and unmasked."""
        if self._state is OPEN:
            if self._keep_alive:
                self._moved = self._watch.seconds()
            self._write(frame)

    def _write(self, frame: bytes) -> None:
        self._out.write(frame)

    def _drained(self) -> None:
        if self._pong is not None:
            pong, self._pong = self._pong, None
            if self._state is OPEN:
                self._write(control_frame(PONG, pong))
                return
        self.listener.drained()

    def pinged(self, payload: bytes) -> None:
        """Answer a ping; of many that cannot be answered yet, only the last (RFC 6455, section 5.5.3)."""
        if self._out.blocked:
            self._pong = payload
        else:
            self._write(control_frame(PONG, payload))

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake when all that was sent has left; a second call does nothing."""
        if self._state is OPEN:
            self._send_close(code, reason)
            self.read_on(True)

    def fail(self, code: int, reason: str) -> None:
        """Close because the peer broke a rule (RFC 6455, section 7.1.7)."""
        if self._state is OPEN:
            self._send_close(code, reason)
            self._end(code, reason)
            self.read_on(True)

    def abort(self, why: str = "the connection was cut") -> None:
        """Cut the connection: the listener is told of the code 1006, with the reason ``why``."""
        self._state = OVER
        self._transport.abortConnection()
        self._end(ABNORMAL, why)

    def close_received(self, payload: bytes) -> None:
        """Take a close frame of the peer: answer it, or note that it answers ours."""
        code, reason, valid = read_close(payload)
        if self._state is OPEN:
            self._send_close(code, "" if valid else reason)
        elif code == self._closing[0]:
            code, reason = self._closing
        self._state = OVER
        self._end(code, reason)
        self._hang_up()

    def _send_close(self, code: int, reason: str) -> None:
        if self._core is not None:
            self._skip = self._core.missing
            self._core = None
        self._write(control_frame(CLOSE, close_payload(code, reason)))
        self._state = CLOSING
        self._closing = code, reason
        self._progress = self._out.progress
        self._watch.call(self, self._watch.seconds() + self._settings.close_timeout)

    def _hang_up(self) -> None:
        raise NotImplementedError

    def _end(self, code: int, reason: str) -> None:
        listener, self.listener = self.listener, _NOBODY
        listener.ended(code, reason)

    # -- time-outs -------------------------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """See which time-outs are over. Called by the watch."""
        if self._core is not None and self._core.idle:
            self._core = None  # it would take as much memory as the rest of the connection
        if self._state is not OPEN:
            self._check_end(now)
        elif self._keep_alive and now >= self._moved + self._keep_alive:
            self.close(NORMAL, "idle")
        elif now >= self._ping_at and self._pinged and not self._lives():
            self.abort(f"the peer sent nothing for {self._settings.ping_timeout:g} s after a ping")
        else:
            self._ping_if_due(now)
            self._check_later()

    def _check_later(self) -> None:
        when = min(self._ping_at, self._moved + self._keep_alive if self._keep_alive else inf)
        if when != inf:
            self._watch.call(self, when)

    def _lives(self) -> bool:
        return self._heard or self._paused or self._progress != self._out.progress

    def _ping_if_due(self, now: float) -> None:
        interval, timeout = self._settings.ping_interval, self._settings.ping_timeout
        if self._pinged and now >= self._ping_at:
            self._pinged = False
            self._ping_at += max(interval - timeout, 0.0)
        if now >= self._ping_at:
            self._pinged = bool(timeout)
            self._heard = False
            self._progress = self._out.progress
            self._ping_at = now + (timeout or interval)
            if not self._out.blocked:
                self._write(control_frame(PING, b""))

    def _check_end(self, now: float) -> None:
        if self._out.waiting and self._progress != self._out.progress:
            self._progress = self._out.progress
            self._watch.call(self, now + self._settings.close_timeout)
        else:
            self.abort("the peer did not answer the close in time")

    def read_on(self, wanted: bool) -> None:
        """Pause or resume reading."""
        raise NotImplementedError
