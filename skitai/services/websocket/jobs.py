"""What waits for a websocket: a message that wants its reply, or a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.services.websocket.messages import opcode_of
from skitai.services.websocket.result import WebSocketResult

if TYPE_CHECKING:
    from skitai.services.websocket.opening import Opening
    from skitai.websocket.contracts import Wire
    from skitai.websocket.conversation import Message, WebSocket


class Job:
    """Something on its way to its one outcome, over a websocket with this ``opening``.

    ``deferred`` fires with the outcome. ``stop`` is what has to be called to cancel it now. With ``fresh`` it
    gets a websocket that nobody has used.
    """

    fresh = True

    def __init__(self, opening: Opening) -> None:
        self.opening = opening
        self.stop: Callable[[], object] = lambda: None
        self.deferred: Deferred[Any] = Deferred(self._cancelled)

    def succeed(self, value: Any) -> None:
        """End with ``value``."""
        if not self.deferred.called:
            self.deferred.callback(value)

    def fail(self, error: BaseException) -> None:
        """End with ``error``."""
        if not self.deferred.called:
            self.deferred.errback(error)

    def _cancelled(self, _deferred: Deferred[Any]) -> None:
        self.stop()


class Exchange(Job):
    """One message that is sent, and the reply to it, as a ``WebSocketResult``.

    If it is ``repeatable``, it may be sent again where nobody knows whether the server has read it.
    """

    fresh = False

    def __init__(self, opening: Opening, message: Message, *, repeatable: bool = False) -> None:
        super().__init__(opening)
        self.message = message
        self.repeatable = repeatable

    def replied(self, message: Message, node: Any) -> WebSocketResult:
        """Return the result for the reply."""
        result = WebSocketResult(message, node=node, headers=[("OPCODE", str(opcode_of(message)))])
        result.asked = self.opening.request.target
        return result


class Taking(Job):
    """A new websocket for a conversation; ``make(wire)`` returns what the app gets."""

    def __init__(self, opening: Opening, make: Callable[[Wire], WebSocket]) -> None:
        super().__init__(opening)
        self.make = make
