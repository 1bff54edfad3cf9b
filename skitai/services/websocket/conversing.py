"""Conversations: ``with was.ws.connect("ws://host/path") as ws:``."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from skitai.calls.call import Call
from skitai.calls.deadline import DEFAULT_TIMEOUT, checked_seconds
from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.result import Result
from skitai.calls.step import Step
from skitai.errors import NORMAL, MisuseError
from skitai.loop.bridge import Bridge
from skitai.services.websocket.jobs import Taking
from skitai.services.websocket.rehearsal import RehearsedWire
from skitai.services.websocket.words import CONNECT_KEYWORDS
from skitai.websocket.closing import GOING_AWAY
from skitai.websocket.conversation import ConversationLimits, WebSocket

if TYPE_CHECKING:
    from skitai.context import Caller
    from skitai.services.websocket.opening import Opening
    from skitai.services.websocket.service import WebSocketService
    from skitai.websocket.contracts import Wire
    from skitai.websocket.conversation import Message


@attrs.define(eq=False)
class Conversation(Step):
    """The request of the operation that opens a websocket; then ``websocket`` is that.

    In a ``FakeWas``, ``sent`` holds what the app has sent.
    """

    opening: Opening
    bridge: Bridge
    limits: ConversationLimits
    sent: list[Message] = attrs.field(factory=list)
    websocket: WebSocket | None = None

    @property
    def recorded(self) -> Any:
        """What ``FakeWas.requests`` shows."""
        return self

    def perform(self, service: WebSocketService, node: Any) -> Deferred[Any]:
        """Open it on ``node``. Called in the reactor thread."""
        return service.pool.start(node, Taking(self.opening, self._make)).addCallback(_as_result)

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        """Open it; each message that is sent gets the next reply of the script."""
        wire = RehearsedWire(reply, self.sent, self.bridge)
        wire.listener = self._make(wire)
        done: Deferred[Any] = Deferred()
        done.callback(wire.listener)
        return done.addCallback(_as_result)

    def _make(self, wire: Wire) -> WebSocket:
        self.websocket = WebSocket(self.bridge, wire, self.limits)
        return self.websocket


def _as_result(websocket: WebSocket) -> Result:
    return Result(websocket)


def connect(
    service: WebSocketService,
    caller: Caller,
    *args: Any,
    timeout: float = DEFAULT_TIMEOUT,
    **kwargs: Any,
) -> Connecting:
    """Return what a ``with`` or ``async with`` opens: the block gets a ``WebSocket`` for many messages.

    The arguments are ``uri, auth, headers, subprotocols, follow, downgrade, public``: those of ``was.ws``. Of
    a cluster one member is asked. The ``with`` raises OperationError if there is no websocket within
    ``timeout`` seconds. Raises TypeError or ValueError that names the wrong argument. Called in the app's
    thread.
    """
    checked_seconds("timeout", timeout)
    opening, _ = called_as("was.ws.connect()", service.opening, CONNECT_KEYWORDS, *args, **kwargs)
    uri = args[0] if args else kwargs["uri"]
    return Connecting(caller, uri, Conversation(opening, caller.bridge, service.limits), timeout)


class Connecting:
    """A websocket for one ``with`` or ``async with`` block, which is closed at its end.

    If the request ends before that, it is closed then. Used by one thread, greenlet or coroutine.
    """

    def __init__(self, caller: Caller, uri: str, conversation: Conversation, timeout: float) -> None:
        self._caller = caller
        self._uri = uri
        self._conversation = conversation
        self._timeout = timeout
        self._begun = False
        self._forget: Callable[[], None] = lambda: None

    if not TYPE_CHECKING:  # which finds the mistake without it

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(f"no {name!r} before it is open: write `with was.ws.connect(...) as ws:`")

    def __enter__(self) -> WebSocket:
        return self._opened(self._begin().getwait(self._timeout))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget()
        self._websocket.__exit__(kind, error, traceback)

    async def __aenter__(self) -> WebSocket:
        return self._opened(await self._begin().awaitable(self._timeout))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget()
        await self._websocket.__aexit__(kind, error, traceback)

    @property
    def _websocket(self) -> WebSocket:
        assert self._conversation.websocket is not None
        return self._conversation.websocket

    def _begin(self) -> Call:
        if self._begun:
            raise MisuseError("a websocket is for one block: call was.ws.connect() again")
        self._begun = True
        operation = Operation(self._uri, self._conversation, idempotent=True, use_cache=False)
        call = self._caller.submit(operation)
        if not isinstance(call, Call):
            call.cancel()
            raise MisuseError("was.ws.map.connect() would open several websockets: use was.ws.connect()")
        call.on_end(lambda: self._caller.bridge.submit(lambda: self._drop(call)))
        return call

    def _opened(self, result: Result) -> WebSocket:
        result.reraise()
        self._forget = self._caller.at_end(lambda: self._websocket.close(GOING_AWAY))
        return self._websocket

    def _drop(self, call: Call) -> None:
        """Cut a websocket that came when the call had been given up. Called in the reactor thread."""
        if call.status != NORMAL and self._conversation.websocket is not None:
            self._conversation.websocket.wire.abort()
