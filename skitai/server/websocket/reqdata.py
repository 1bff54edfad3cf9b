"""WEBSOCKET_REQDATA: each message is one run of the app, as a GET with the message in its query."""

from __future__ import annotations

from collections import deque
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, unquote_plus

from twisted.logger import Logger

from skitai.server.websocket.calls import Response, WebSocketCall, call_app
from skitai.server.websocket.state import Accepted, WebSockets
from skitai.websocket.contracts import Listener, Wire

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

_log = Logger()

#: What a message counts beside its length while it waits.
_MESSAGE_BYTES = 100
_FAILED = Response("500 Internal Server Error")
_BINARY = "application/octet-stream"

Message = str | bytes


class MessageRuns:
    """Runs the app for each message of one websocket, one after the other.

    Messages wait for that: beyond ``inbox_max`` bytes the client is not read. While it has ``outbox_max``
    bytes to take, nothing is run; if it takes nothing for ``send_timeout`` seconds, it is cut off. It is a
    ``Listener``. All methods are called in the reactor thread, but for ``_run`` and what it calls.
    """

    kind = "reqdata"

    __slots__ = (
        "_accepted",
        "_deadline",
        "_ended",
        "_environ",
        "_paused",
        "_prefix",
        "_running",
        "_unread",
        "_waiting",
        "_websockets",
        "_wire",
        "listener",
    )

    def __init__(self, websockets: WebSockets, accepted: Accepted, wire: Wire) -> None:
        self._websockets = websockets
        self._accepted = accepted
        self._wire = wire
        self.listener: Listener = self
        self._prefix = _query_before(accepted.environ["QUERY_STRING"], accepted.init.name or "")
        self._waiting: deque[Message] = deque()
        self._unread = 0
        self._running = self._paused = self._ended = False
        self._deadline: IDelayedCall | None = None

    def start(self) -> None:
        """Note that the websocket is open: the runs begin by themselves."""
        if not self._ended:
            self._websockets.opened(self)

    # -- the listener --------------------------------------------------------------------------------------

    def received(self, message: Message) -> None:
        """Take a message: it is run when those before it have been answered."""
        self._waiting.append(message)
        self._unread += len(message) + _MESSAGE_BYTES
        if not self._running:
            self._run_next()
        elif not self._paused and self._unread > self._websockets.limits.inbox_max:
            self._paused = True
            self._wire.read_on(False)

    def drained(self) -> None:
        """Go on: the client has taken everything."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._go_on()

    def ended(self, code: int, reason: str) -> None:  # noqa: ARG002 - of the interface
        """Forget what waits: nobody would get the answers."""
        self._ended = True
        self._websockets.closed(self)
        self._waiting.clear()
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # -- one after the other -------------------------------------------------------------------------------

    def _run_next(self) -> None:
        self._running = True
        message = self._waiting.popleft()
        self._unread -= len(message) + _MESSAGE_BYTES
        if self._paused and self._unread <= self._websockets.limits.inbox_max // 2:
            self._paused = False
            self._wire.read_on(True)
        self._accepted.executor.submit(partial(self._run, message))

    def _answered(self, answer: Message) -> None:
        if answer and not self._ended:
            self._wire.send(answer)
        limits = self._websockets.limits
        if self._ended or self._wire.waiting <= limits.outbox_max:
            self._go_on()
        else:
            self._deadline = self._websockets.bridge.call_later(limits.send_timeout, self._give_up)

    def _go_on(self) -> None:
        self._running = False
        if self._waiting:
            self._run_next()

    def _give_up(self) -> None:
        self._deadline = None
        self._wire.abort()

    # -- where the app runs --------------------------------------------------------------------------------

    def _run(self, message: Message) -> None:
        accepted = self._accepted
        environ = accepted.environ.copy()
        # Frameworks refuse a query that is not UTF-8: the bytes themselves are in the environ.
        text = message if isinstance(message, str) else message.decode(errors="replace")
        environ["QUERY_STRING"] = self._prefix + quote_plus(text)
        environ["wsgi.input"] = BytesIO()
        environ["websocket.message"] = message
        call = WebSocketCall(accepted.resource, environ, accepted.line)
        response = _FAILED
        try:
            response = call.run(partial(call_app, accepted.app, environ), _FAILED)
        finally:
            self._websockets.bridge.submit(partial(self._answered, _answer(response)))


def _query_before(query: str, name: str) -> str:
    """Return what stands before a message: ``query`` without the variable ``name``, which is the message's.

    Frameworks give an app the first of several with one name, so a client could hide its messages.
    """
    others = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) != name]
    return "&".join([*others, f"{quote_plus(name)}="])


def _answer(response: Response) -> Message:
    """Return the message that a response stands for; empty for none."""
    if not response.is_ok:
        return f"[ERROR] {response.status}"
    if response.field("content-type").startswith(_BINARY):
        return response.body
    try:
        return response.body.decode()
    except UnicodeDecodeError:  # an image, for example
        return response.body
