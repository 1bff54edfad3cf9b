"""Autobahn's reading of frames: fragments, compression, UTF-8 in pieces, and all that is against the rules.

Only its reader is used. The handshakes, timers and sending of its protocol class are not: see
``skitai.websocket.wire``.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Protocol

from autobahn.websocket.protocol import TrafficStats, WebSocketProtocol
from autobahn.websocket.utf8validator import Utf8Validator

from skitai.websocket.closing import PROTOCOL_ERROR
from skitai.websocket.deflate import Unpacker


class Owner(Protocol):
    """Who is told of what was read."""

    def message(self, message: str | bytes) -> None:
        """Take a whole message."""

    def pinged(self, payload: bytes) -> None:
        """Answer a ping."""

    def close_received(self, payload: bytes) -> None:
        """Take the payload of a close frame."""

    def fail(self, code: int, reason: str) -> None:
        """Note that the peer has broken a rule. Nothing more is read here."""


class _Silent:
    """In the place of autobahn's log, whose arguments cost more than what they tell is worth."""

    def debug(self, *_: object, **__: object) -> None:
        """Say nothing."""


class Core(WebSocketProtocol):
    """Reads what ``take`` is given: at most one frame at a time, or a part of one.

    ``limits`` are those of a message and of a frame. A message is kept in one piece of memory: a
    list of its fragments could be much larger than the limit of a message.
    """

    log = _Silent()
    # What autobahn copies from a factory to each protocol.
    logOctets = logFrames = False
    trackedTimings: Any = None
    utf8validateIncoming = applyMask = requireMaskedClientFrames = True
    acceptMaskedServerFrames = False
    #: Not to close by dropping, but to read nothing more at the first violation.
    failByDrop = True
    autoPingPending = autoPingTimeoutCall = None
    websocket_version = 13
    #: Counted by autobahn; read by nobody.
    trafficStats = TrafficStats()  # type: ignore[no-untyped-call]

    def __init__(
        self, owner: Owner, factory: SimpleNamespace, limits: tuple[int, int], unpacker: Unpacker | None
    ) -> None:
        # Not that of autobahn: it makes two Futures.
        self._owner = owner
        self.factory = factory
        self.maxMessagePayloadSize, self.maxFramePayloadSize = limits
        self._perMessageCompress: Any = unpacker
        self.state = self.STATE_OPEN
        self.data = b""
        self.current_frame: Any = None
        self.inside_message = self.failedByMe = False
        self.utf8validator = Utf8Validator()  # type: ignore[no-untyped-call]

    @property
    def missing(self) -> int:
        """How many bytes of the current frame have yet to come."""
        if self.current_frame is None:
            return 0
        missing: int = self.current_frame.length - self.current_frame_masker.pointer()
        return missing

    @property
    def idle(self) -> bool:
        """Whether nothing of a message was read."""
        return self.current_frame is None and not self.inside_message

    def take(self, data: bytes) -> None:
        """Read the bytes of one frame: all, the first with its whole header, or further ones."""
        self.data = data
        self.consumeData()

    # -- what autobahn calls ---------------------------------------------------------------------------------

    def _onMessageBegin(self, is_binary: bool) -> None:
        self._is_binary = is_binary
        self._message = bytearray()
        self.message_data_total_length = 0

    def _onMessageFrameBegin(self, length: int) -> None:
        self.onMessageFrameBegin(length)

    def _onMessageFrameData(self, payload: bytes) -> None:
        self._message += payload

    def _onMessageFrameEnd(self) -> None:
        """Note the end of a frame, which nobody needs."""

    def _onMessageEnd(self) -> None:
        message, self._message = self._message, bytearray()
        self._owner.message(bytes(message) if self._is_binary else message.decode())

    def _onPing(self, payload: bytes) -> None:
        self._owner.pinged(payload)

    def _onPong(self, payload: bytes) -> None:
        """Note a pong, which any other bytes are as good as."""

    def onCloseFrame(self, code: int | None, reason: bytes | None) -> bool:
        """Hand over a close frame."""
        self._owner.close_received(b"" if code is None else code.to_bytes(2) + (reason or b""))
        return True

    def _fail_connection(self, code: int = PROTOCOL_ERROR, reason: str = "") -> None:
        self.failedByMe = True
        self.state = self.STATE_CLOSED
        self._owner.fail(code, reason)
