"""Websockets as Twisted protocols: they read, the short way where it is possible, and else with autobahn.

Whole frames with a whole message, and control frames, are most of what comes. Autobahn needs fifteen times as
long for them, and copies all that was read for each: 64 KB of frames with ten bytes take it a quarter of a
second.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from zope.interface import implementer

from skitai.interfaces import ILastingProtocol
from skitai.websocket.closing import INTERNAL_ERROR, INVALID_DATA
from skitai.websocket.frames import BINARY, CLOSE, MASKED, PING, PONG, TEXT, payload_span
from skitai.websocket.masks import masked, unmask
from skitai.websocket.timing import CLOSING, OPEN, OVER
from skitai.websocket.wire import BaseWire

if TYPE_CHECKING:
    from skitai.websocket.core import Core

_log = Logger()

#: The first bytes of whole messages, and of control frames.
_MESSAGES, _CONTROLS = frozenset((TEXT, BINARY)), frozenset((CLOSE, PING, PONG))
_WHOLE = _MESSAGES | _CONTROLS
#: What stands for a length in the next two bytes: control frames are shorter (section 5.5).
_MEDIUM = 126
#: How many frames of one websocket are read in a turn of the reactor, and as how many each counts that
#: autobahn reads. Tiny ones come by the ten thousand in one read, and all other sockets would wait for them.
_FRAMES_PER_TURN, _SLOW_FRAME = 256, 8


class _ReadingWire(BaseWire):
    """Reads frames. ``_mask_bit`` and ``_key_size`` say what the frames of the peer must have."""

    __slots__ = ("_resting",)

    _mask_bit: int
    _key_size: int
    #: What autobahn asks for which end it reads.
    _factory: SimpleNamespace

    def makeConnection(self, transport: Any) -> None:
        """Begin on a connection that has just changed to the websocket protocol."""
        #: Whether this turn's frames are read, and what is left waits for the next turn.
        self._resting = False
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """Read what has come."""
        self._heard = True
        if self._rest:
            data = self._rest + data
        if self._resting:  # TLS gives what it has unpacked
            self._rest = data
        else:
            self._read(data)

    def read_on(self, wanted: bool) -> None:
        """Pause or resume reading. A close or a pong is not read while it is paused."""
        if not wanted:
            if self._state is OPEN and not self._paused:
                self._paused = True
                self._transport.pauseProducing()
        elif self._paused:
            self._paused = False
            self._heard = True  # what the peer has sent meanwhile may still be in the kernel
            if self._resting:
                return
            self._transport.resumeProducing()
            if self._rest and not self._in_read:
                self._read(self._rest)

    def _rest_this_turn(self) -> None:
        self._resting = True
        self._transport.pauseProducing()
        self._watch.next_turn(self._go_on)

    def _go_on(self) -> None:
        self._resting = False
        if self._state is OVER or self._paused:
            return
        self._transport.resumeProducing()
        if self._rest:
            self._read(self._rest)

    def _read(self, data: bytes) -> None:
        self._rest = b""
        self._in_read = True
        try:
            at = self._read_messages(data) if self._state is OPEN else 0
            if self._state is CLOSING:
                at = self._read_close(data, at)
        finally:
            self._in_read = False
        if self._state is not OVER:
            self._rest = data[at:]

    def _read_messages(self, data: bytes) -> int:
        """Read while that is wanted; return how much of ``data`` is read."""
        at = 0 if self._core is None else self._read_missing(data)
        size = len(data)
        key_size, mask_bit, largest = self._key_size, self._mask_bit, self._settings.largest_frame
        short = self._short()
        left = _FRAMES_PER_TURN
        while self._state is OPEN and not self._paused and size - at >= 2:
            if left <= 0:
                self._rest_this_turn()
                break
            left -= 1
            first = data[at]
            length = data[at + 1] - mask_bit
            start = at + 2 + key_size
            if length == _MEDIUM and size - at >= 4 and first in _MESSAGES:
                length = data[at + 2] << 8 | data[at + 3]
                start += 2
                if length < _MEDIUM:
                    length = -1
            elif length >= _MEDIUM:
                length = -1
            end = start + length
            if first in short and 0 <= length <= largest and end <= size:
                at = end
                payload = data[start:end]
                if key_size:
                    payload = unmask(payload, data[start - key_size : start])
                self._take(first, payload)
                continue
            after = self._read_slowly(data, at)
            if after == at:
                break
            at = after
            left -= _SLOW_FRAME
            short = self._short()
        return at

    def _short(self) -> frozenset[int]:
        """Return the first bytes of frames to read the short way: after a fragment, no messages."""
        return _CONTROLS if self._core is not None and self._core.inside_message else _WHOLE

    def _take(self, first: int, payload: bytes) -> None:
        if first == TEXT:
            try:
                text = payload.decode()
            except UnicodeDecodeError:
                self.fail(INVALID_DATA, "a text is not UTF-8")
            else:
                self.message(text)
        elif first == BINARY:
            self.message(payload)
        elif first == PING:
            self.pinged(payload)
        elif first == CLOSE:
            self.close_received(payload)

    def message(self, message: str | bytes) -> None:
        """Hand over a message."""
        if self._keep_alive:
            self._moved = self._watch.seconds()
        try:
            self.listener.received(message)
        except Exception:  # noqa: BLE001 - it has nothing to do with the connection
            _log.failure("a message of a websocket could not be taken")
            self.fail(INTERNAL_ERROR, "")

    def _read_missing(self, data: bytes) -> int:
        """Let autobahn read the rest of a frame that it has begun; return how much that was."""
        core = self._core
        if core is None or self._paused or not (missing := core.missing):
            return 0
        part = data[:missing]
        core.take(part)
        if self._state is not OPEN:
            self._skip = missing - len(part)
        return len(part)

    def _read_slowly(self, data: bytes, at: int) -> int:
        """Let autobahn read one frame, or what has come of it; return where that ends."""
        span = payload_span(data, at)
        if span is None:
            return at
        core = self._core = self._core or self._new_core()
        end = min(span[1], len(data))
        core.take(data[at:end])
        if self._state is not OPEN:
            self._skip = span[1] - end
        elif self._deflate is not None and core.idle:
            self._core = None  # with what it takes to decompress
        return end

    def _new_core(self) -> Core:
        # Not before it is needed: a server without websockets does without the 5 MB of autobahn.
        from skitai.websocket.core import Core

        settings = self._settings
        limits = settings.message_max, settings.largest_frame
        unpacker = self._deflate.unpacker() if self._deflate is not None else None
        return Core(self, self._factory, limits, unpacker)

    def _read_close(self, data: bytes, at: int) -> int:
        """Look for the close frame of the peer, and skip all else; return how much of ``data`` is read."""
        size = len(data)
        while self._state is CLOSING:
            if self._skip:
                step = min(self._skip, size - at)
                at += step
                self._skip -= step
            span = None if self._skip else payload_span(data, at)
            if span is None:
                break
            start, end = span
            if data[at] & 15 == CLOSE & 15 and end - start < _MEDIUM:
                if end > size:
                    break
                payload = data[start:end]
                if data[at + 1] & MASKED:
                    payload = unmask(payload, data[start - 4 : start])
                at = end
                self._take(CLOSE, payload)
            else:
                at = start
                self._skip = end - start
        return at


@implementer(IProtocol, ILastingProtocol)
class ServerWire(_ReadingWire):
    """The server's end of a websocket. It closes the connection."""

    __slots__ = ()

    _mask_bit, _key_size = MASKED, 4
    _factory = SimpleNamespace(isServer=True)

    def _hang_up(self) -> None:
        self._out.hang_up()


@implementer(IProtocol)
class ClientWire(_ReadingWire):
    """The client's end of a websocket. It waits until the server closes the connection."""

    __slots__ = ()

    _mask_bit, _key_size = 0, 0
    _factory = SimpleNamespace(isServer=False)

    def _write(self, frame: bytes) -> None:
        self._out.write(masked(frame))

    def _hang_up(self) -> None:
        self._end_in_time()
