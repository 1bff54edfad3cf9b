"""What both ends of a websocket do alike: connecting, sending and ending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python.failure import Failure

from skitai.loop.sending import SendQueue
from skitai.websocket.closing import ABNORMAL, GOING_AWAY, NORMAL, read_close
from skitai.websocket.contracts import Listener
from skitai.websocket.deflate import Deflate
from skitai.websocket.frames import CLOSE, PONG, close_payload, control_frame, frame_of
from skitai.websocket.sending import outgoing_for
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.timing import CLOSING, OPEN, OVER, TimedWire
from skitai.websocket.watch import Watch

if TYPE_CHECKING:
    from skitai.websocket.core import Core


class _Nobody:
    """In the place of a listener that was told of the end."""

    def received(self, message: str | bytes) -> None:
        """Drop a message."""

    def drained(self) -> None:
        """Do nothing."""

    def ended(self, code: int, reason: str) -> None:
        """Do nothing."""


_NOBODY = _Nobody()


class BaseWire(TimedWire):
    """A websocket after its handshake. All methods are called in the reactor thread.

    ``listener`` is set before the connection is made, and nothing is sent before that. ``deflate`` is what
    was agreed upon, or None. ``keep_alive``: seconds without a message in either direction, after which it is
    closed; 0: never.
    """

    __slots__ = (
        "_closing",
        "_core",
        "_deflate",
        "_in_read",
        "_pong",
        "_queue",
        "_rest",
        "_skip",
        "_transport",
        "listener",
        "subprotocol",
    )

    listener: Listener
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
        super().__init__(settings, watch, keep_alive)
        self.subprotocol = subprotocol
        self._queue = queue
        self._deflate = deflate
        #: Autobahn's reader, while it is needed.
        self._core: Core | None = None
        #: What was read but cannot be understood yet, or is not wanted yet.
        self._rest = b""
        #: How much of a frame will be skipped.
        self._skip = 0
        self._in_read = False
        #: The last ping that could not be answered yet.
        self._pong: bytes | None = None
        #: Our close code and reason.
        self._closing = (ABNORMAL, "")

    # -- the connection --------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Begin on a connection that has just changed to the websocket protocol."""
        self._transport = transport
        self._out = outgoing_for(transport, self._queue, self._drained)
        self._start_timing()

    def connectionMade(self) -> None:
        """Called by nobody: there is nothing to do."""

    def connectionLost(self, reason: Failure) -> None:
        """Tell the listener of the end, if it does not know of it."""
        self._state = OVER
        self._core = None
        self._rest = b""
        self._watch.forget(self)
        self._out.discard()
        self._tell_end(ABNORMAL, f"the connection was lost: {reason.getErrorMessage()}")

    def stop(self) -> None:
        """Begin to close: the server stops."""
        self.close(GOING_AWAY)

    def check(self, now: float) -> None:
        """See which time-outs are over. Called by the watch."""
        if self._core is not None and self._core.idle:
            self._core = None  # it takes as much memory as all the rest of a connection
        super().check(now)

    # -- sending ---------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes the peer has yet to take. Read in any thread."""
        return self._out.waiting

    def send(self, message: str | bytes) -> None:
        """Send a text or a binary message. After the close it is dropped."""
        self.send_frame(frame_of(message) if self._deflate is None else self._deflate.frame_of(message))

    def send_frame(self, frame: bytes) -> None:
        """Send a frame that is whole and unmasked. After the close it is dropped."""
        if self._state is OPEN:
            if self._keep_alive:
                self._moved = self._watch.seconds()
            self._write(frame)

    def pinged(self, payload: bytes) -> None:
        """Answer a ping; of many that cannot be answered yet, only the last (RFC 6455, section 5.5.3)."""
        if self._out.blocked:
            self._pong = payload
        else:
            self._write(control_frame(PONG, payload))

    def _write(self, frame: bytes) -> None:
        self._out.write(frame)

    def _drained(self) -> None:
        if self._pong is not None:
            pong, self._pong = self._pong, None
            if self._state is OPEN:
                self._write(control_frame(PONG, pong))
                return
        self.listener.drained()

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Begin the closing handshake when all that was sent has left; a second call does nothing.

        Messages that still come are dropped, also while reading is paused.
        """
        if self._state is OPEN:
            self._send_close(code, reason)
            self.read_on(True)

    def fail(self, code: int, reason: str) -> None:
        """Close because this end cannot go on, mostly for a broken rule (RFC 6455, section 7.1.7)."""
        if self._state is OPEN:
            self._send_close(code, reason)
            self._tell_end(code, reason)
            self.read_on(True)

    def abort(self, why: str = "the connection was cut") -> None:
        """Cut the connection: the listener is told of the code 1006, with the reason ``why``."""
        self._state = OVER
        self._transport.abortConnection()
        self._tell_end(ABNORMAL, why)

    def close_received(self, payload: bytes) -> None:
        """Take a close frame of the peer: answer it, or note that it answers ours."""
        code, reason, valid = read_close(payload)
        if self._state is OPEN:
            self._send_close(code, "" if valid else reason)
        elif code == self._closing[0]:
            code, reason = self._closing
        self._state = OVER
        self._hang_up()
        self._tell_end(code, reason)

    def read_on(self, wanted: bool) -> None:
        """Pause or resume reading. A close or a pong is not read while it is paused."""
        raise NotImplementedError

    def _hang_up(self) -> None:
        """End the connection when all is sent."""
        raise NotImplementedError

    def _send_close(self, code: int, reason: str) -> None:
        if self._core is not None:
            self._skip = self._core.missing
            self._core = None
        self._write(control_frame(CLOSE, close_payload(code, reason)))
        self._state = CLOSING
        self._closing = code, reason
        self._end_in_time()

    def _tell_end(self, code: int, reason: str) -> None:
        listener, self.listener = self.listener, _NOBODY
        listener.ended(code, reason)
