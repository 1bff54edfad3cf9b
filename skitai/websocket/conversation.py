"""A websocket as app code holds it, in a thread, a greenlet or a coroutine."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from functools import partial
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from skitai.errors import OperationTimeout
from skitai.loop.awaiting import in_asyncio, until_over
from skitai.loop.bridge import Bridge, Pending
from skitai.websocket.closing import ABNORMAL, GOING_AWAY, NORMAL, REASON_MAX, WebSocketClosed, may_send
from skitai.websocket.contracts import Wire

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

Message = str | bytes

#: What a message counts beside its length.
_MESSAGE_BYTES = 100
_ids = itertools.count(1)


class _Nothing:
    """What a coroutine may await where there is nothing to wait for."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


_NOTHING = _Nothing()


@attrs.frozen
class ConversationLimits:
    """How much may wait at one end of a websocket.

    ``inbox_max``: bytes that wait for the app before the peer is not read any more. ``outbox_max``: bytes
    that wait for the peer before ``send`` waits, too. ``send_timeout``: seconds that it waits at most.
    """

    inbox_max: int = 1024 * 1024
    outbox_max: int = 1024 * 1024
    send_timeout: float = 30.0


class WebSocket:
    """One end of an open websocket: ``for message in ws`` (or ``async for``), ``send``, ``close``.

    One thread, greenlet or coroutine takes the messages; any number may send. ``id`` is unique in the
    process. ``wire`` is what it speaks through. It is a ``Listener`` of that wire.
    """

    def __init__(self, bridge: Bridge, wire: Wire, limits: ConversationLimits | None = None) -> None:
        self.id = next(_ids)
        self.wire = wire
        #: How the websocket ended: None while it is open.
        self.code: int | None = None
        self.reason = ""
        self._bridge = bridge
        self._limits = limits or ConversationLimits()
        self._inbox: deque[Message] = deque()
        # Counted up in two threads, so each has a number of its own.
        self._bytes_received = self._bytes_taken = 0
        self._bytes_sent = self._bytes_handed_over = 0
        #: Messages of other threads that the reactor has yet to send, before its own and before a close.
        self._handed: deque[Message] = deque()
        self._paused = self._closing = False
        self._arrival: Pending | None = None
        #: When the wait for a message ends, and the timer of this wait or of an earlier one.
        self._wait_end = inf
        self._alarm: IDelayedCall | None = None
        self._drained: list[Pending] = []
        self._at_close: dict[object, Callable[[], object]] = {}

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that both sides agreed upon, or None."""
        return self.wire.subprotocol

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more. Read in any thread."""
        return self._closing or self.code is not None

    # -- receiving, in the app -----------------------------------------------------------------------------

    def getwait(self, timeout: float | None = None) -> Message | None:
        """Return the next message, or None when the websocket is closed.

        Raises OperationTimeout if none comes within ``timeout`` seconds; None waits without a limit. Called
        in a thread or a greenlet.
        """
        if self._inbox and not self._closing:
            return self._take()
        self._wait(inf if timeout is None else timeout)
        return self._after_wait(timeout)

    def getswait(self, timeout: float = 10) -> list[Message] | None:
        """Return all messages that have come, in order, and wait for the first for ``timeout`` seconds.

        An empty list: none came in time. None: the websocket is closed. In a thread or a greenlet.
        """
        if not self._inbox:
            self._wait(timeout)
        if self._closing:
            return None
        messages = []
        while self._inbox:
            messages.append(self._take())
        return messages if messages or self.code is None else None

    async def receive(self, timeout: float | None = None) -> Message | None:
        """Return the next message, as ``getwait`` does, in a coroutine."""
        if not (self._inbox and not self._closing):
            arrival = self._expect()
            try:
                if not self._has_come():
                    seconds = self._alarmed(inf if timeout is None else timeout)
                    await until_over(self._bridge, arrival, seconds)
            finally:
                self._arrival = None
        return self._after_wait(timeout)

    def __iter__(self) -> Iterator[Message]:
        while (message := self.getwait()) is not None:
            yield message

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.receive()) is not None:
            yield message

    def _has_come(self) -> bool:
        return bool(self._inbox) or self._closing or self.code is not None

    def _expect(self) -> Pending:
        # Set before the look at the inbox: a message that comes now either is seen, or ends it.
        self._arrival = arrival = Pending()
        return arrival

    def _wait(self, timeout: float) -> None:
        arrival = self._expect()
        try:
            if not self._has_come():
                self._bridge.wait(arrival, self._alarmed(timeout))
        finally:
            self._arrival = None

    def _alarmed(self, timeout: float) -> float:
        """Return for how long to wait for a message, after setting the alarm that ends the wait.

        The alarm stays when the message has come: a timer for each message would cost a tenth of an echo.
        """
        if not self._bridge.in_reactor_thread():
            return timeout
        self._wait_end = end = self._bridge.seconds() + timeout
        if self._alarm is not None and self._alarm.getTime() > end:
            self._stop_alarm()
        if self._alarm is None and end < inf:
            self._alarm = self._bridge.call_later(max(timeout, 0), self._ring)
        return inf

    def _stop_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _ring(self) -> None:
        self._alarm = None
        if self._arrival is None or self._wait_end == inf:
            return
        left = self._wait_end - self._bridge.seconds()
        if left > 0:
            self._alarm = self._bridge.call_later(left, self._ring)
        else:
            self._arrival.end()

    def _after_wait(self, timeout: float | None) -> Message | None:
        if self._closing:
            return None
        if self._inbox:
            return self._take()
        if self.code is not None:
            return None
        raise OperationTimeout(f"no message came within {timeout:g} s")

    def _take(self) -> Message:
        message = self._inbox.popleft()
        self._bytes_taken += len(message) + _MESSAGE_BYTES
        if self._paused and self._unread() <= self._limits.inbox_max // 2:
            self._bridge.submit(self._read_on)
        return message

    def _unread(self) -> int:
        return self._bytes_received - self._bytes_taken

    # -- sending, in the app -------------------------------------------------------------------------------

    def send(self, message: Message | bytearray | memoryview) -> Awaitable[None]:
        """Send a message: a str as text, bytes as binary. It waits while the peer has too much to read.

        A coroutine writes ``await ws.send(...)`` for that. Raises WebSocketClosed if the websocket is closed,
        or the peer reads nothing in time; TypeError for anything but text and bytes, UnicodeEncodeError for
        text with surrogates. Called in any thread.
        """
        if not isinstance(message, str):
            message = bytes(message) if isinstance(message, (bytearray, memoryview)) else message
            if not isinstance(message, bytes):
                raise TypeError(f"a message is a str or bytes, not {message!r}")
        elif not message.isascii():
            message.encode()  # here, where the app hears of it, and not in the reactor
        if self.closed:
            raise self._closed_error()
        if self._bridge.in_reactor_thread():
            self._hand_over()
            self.wire.send(message)
        else:
            self._bytes_sent += len(message)
            self._handed.append(message)
            self._bridge.submit(self._hand_over)
        if self._outgoing() <= self._limits.outbox_max:
            return _NOTHING
        if in_asyncio(self._bridge) or not self._bridge.may_wait():
            return self._until_drained()
        drained = self._drain()
        self._bridge.wait(drained, self._limits.send_timeout)
        self._check_drained(drained)
        return _NOTHING

    def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Close the websocket when all that was sent has left. Nothing more is received.

        Raises ValueError for a code that must not be sent. Called in any thread; a second call does nothing.
        """
        if not may_send(code):
            raise ValueError(f"a close frame cannot have the code {code}: RFC 6455, section 7.4")
        if len(reason.encode()) > REASON_MAX:
            raise ValueError(f"the reason of a close frame has at most {REASON_MAX} bytes")
        if self._closing:  # the code of the first may still be on its way to the reactor
            return
        self._closing = True
        self._bridge.submit(partial(self._close_wire, code, reason))
        self._wake()

    def _outgoing(self) -> int:
        return self._bytes_sent - self._bytes_handed_over + self.wire.waiting

    def _drain(self) -> Pending:
        drained = Pending()
        self._bridge.submit(partial(self._when_drained, drained))
        return drained

    async def _until_drained(self) -> None:
        drained = self._drain()
        await until_over(self._bridge, drained, self._limits.send_timeout)
        self._check_drained(drained)

    def _check_drained(self, drained: Pending) -> None:
        if not drained.over:
            self._bridge.submit(self.wire.abort)
            raise WebSocketClosed(ABNORMAL, f"the peer read nothing for {self._limits.send_timeout:g} s")
        if self.code is not None:
            raise self._closed_error()

    def _closed_error(self) -> WebSocketClosed:
        return WebSocketClosed(NORMAL if self.code is None else self.code, self.reason)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(NORMAL if error is None else GOING_AWAY)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(NORMAL if error is None else GOING_AWAY)

    # -- in the reactor thread -----------------------------------------------------------------------------

    def at_close(self, owner: object, function: Callable[[], object]) -> None:
        """Have ``function`` called when the websocket has ended, or soon if it has. Reactor thread.

        ``owner`` is any hashable: a second function of the same owner takes the place of the first.
        """
        if self.code is None:
            self._at_close[owner] = function
        else:
            self._bridge.call_later(0, function)

    def not_at_close(self, owner: object) -> None:
        """Undo ``at_close``. Reactor thread."""
        self._at_close.pop(owner, None)

    def deliver(self, frame: bytes) -> None:
        """Send what ``frame_of`` made for many; a peer with too much to read is cut off. Reactor thread."""
        if self.closed:
            return
        if self.wire.waiting > self._limits.outbox_max:
            self.wire.abort()
        else:
            self.wire.send_frame(frame)

    def received(self, message: Message) -> None:
        """Take a message from the wire."""
        self._inbox.append(message)
        self._bytes_received += len(message) + _MESSAGE_BYTES
        if not self._paused and self._unread() > self._limits.inbox_max:
            self._paused = True
            self.wire.read_on(False)
            self._read_on()  # the app may have taken some in between
        self._wake()

    def drained(self) -> None:
        """Note that the peer has read everything."""
        if self._drained:
            waiting, self._drained = self._drained, []
            for pending in waiting:
                pending.end()

    def ended(self, code: int, reason: str) -> None:
        """Note the end of the websocket."""
        self.code, self.reason = code, reason
        self._stop_alarm()
        self._wake()
        self.drained()
        functions, self._at_close = self._at_close, {}
        for function in functions.values():
            function()

    def _read_on(self) -> None:
        if self._paused and self._unread() <= self._limits.inbox_max // 2:
            self._paused = False
            self.wire.read_on(True)

    def _hand_over(self) -> None:
        handed = self._handed
        while handed:
            message = handed.popleft()
            self._bytes_handed_over += len(message)
            self.wire.send(message)

    def _close_wire(self, code: int, reason: str) -> None:
        self._hand_over()
        self.wire.close(code, reason)

    def _when_drained(self, drained: Pending) -> None:
        if self.wire.waiting == 0 or self.code is not None:
            drained.end()
        else:
            self._drained.append(drained)

    def _wake(self) -> None:
        arrival = self._arrival
        if arrival is not None:
            arrival.end()
