"""The bus of a worker whose server has several: it asks the hub of the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import Factory, connectionDone
from twisted.logger import Logger
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, OperationError, UnsentError, stopping
from skitai.interfaces import IBus
from skitai.messaging.hubwire import HubWire
from skitai.messaging.subscribers import Subscribers
from skitai.messaging.words import Position, Published, Recent

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from skitai.interfaces import IBusSubscriber

_log = Logger()

#: Seconds until a lost hub is looked for again: at first, and at most.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


@attrs.define(eq=False)
class _Asked:
    """A question under way; ``published`` is the message of one that publishes."""

    answer: Deferred[Any]
    published: Published | None = None


@implementer(IBus)
class HubBus:
    """Carries messages between the workers of one machine.

    ``connect(factory)`` connects to the hub: it returns a Deferred. That is done when somebody first wants
    something of the bus. A message of this process comes back from the hub like those of others, so that
    everybody sees the same order. All methods: reactor thread.
    """

    shared = True

    def __init__(self, reactor: Any, connect: Callable[[Factory], Deferred[Any]]) -> None:
        self._reactor = reactor
        self._connect = connect
        self._subscribers = Subscribers()
        self._members: dict[tuple[str, str], bytes] = {}
        self._asked: dict[int, _Asked] = {}
        self._numbers = count(1)
        self._wire: _Wire | None = None
        self._pause = _FIRST_PAUSE
        self._timer: IDelayedCall | None = None
        self._connecting: Deferred[Any] | None = None
        #: Who waits for the first connection.
        self._early: list[Callable[[], None]] | None = []
        self._stopped = False

    # -- the connection ------------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether the hub is there."""
        return self._wire is not None

    def start(self) -> None:
        """Connect, and stay connected."""
        if self._stopped or self._wire is not None or self._connecting is not None:
            return
        self._timer = None
        self._connecting = self._connect(Factory.forProtocol(partial(_Wire, self)))
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def stop(self) -> None:
        """Disconnect; what is under way fails."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._wire is not None:
            self._wire.transport.abortConnection()  # type: ignore[union-attr]
        self._go_on_early()
        self._fail_all(stopping(OperationError))

    def _connected(self, wire: _Wire) -> None:
        self._connecting = None
        is_back = self._early is None
        self._wire, self._pause = wire, _FIRST_PAUSE
        for channel in self._subscribers:
            confirmed = self._ask("subscribe", channel)
            if is_back:
                confirmed.addCallback(self._interrupt, channel)
            confirmed.addErrback(_ignore)
        for (channel, member), data in self._members.items():
            self._ask("enter", channel, member, data).addErrback(_ignore)
        if is_back:
            _log.info("the hub of the rooms is back")
        self._go_on_early()

    def _not_connected(self, failure: Failure) -> None:
        self._connecting = None
        if self._stopped:
            return
        if self._early is not None:
            _log.warn("the hub of the rooms is not there: {error}", error=failure.value)
        self._go_on_early()
        self._timer = self._reactor.callLater(self._pause, self.start)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def lost(self, wire: _Wire) -> None:
        """Note that the connection is gone."""
        if wire is not self._wire:
            return
        self._wire = None
        self._fail_all(OperationError("the hub of the rooms is gone", code=CODE_CLOSED))
        if not self._stopped:
            _log.warn("the hub of the rooms is gone; rooms are apart until it is back")
            self._timer = self._reactor.callLater(self._pause, self.start)

    def _go_on_early(self) -> None:
        early, self._early = self._early or [], None
        for go_on in early:
            go_on()

    def _interrupt(self, _: object, channel: str) -> None:
        self._subscribers.interrupt_at(channel)

    # -- questions and answers -----------------------------------------------------------------------------

    def _ask(self, what: str, *arguments: Any, published: Published | None = None) -> Deferred[Any]:
        if self._early is not None and self._wire is None:
            answer: Deferred[Any] = Deferred()
            again = partial(self._ask, what, *arguments, published=published)
            self._early.append(lambda: _chain(again(), answer))
            self.start()
            return answer
        if self._wire is None:
            if published is not None:
                self._subscribers.give(published)
            return fail(UnsentError("the hub of the rooms is not there", code=CODE_CLOSED))
        number, asked = next(self._numbers), _Asked(Deferred(), published)
        try:
            self._wire.give(what, number, *arguments)
        except ValueError:  # a name with half a surrogate pair
            return fail()
        self._asked[number] = asked
        return asked.answer

    def taken(self, value: list[Any]) -> None:
        """Take an answer, or a message."""
        number, *rest = value
        if number:
            self._asked.pop(number).answer.callback(rest[0])
            return
        channel, data, position, own = rest
        if own in self._asked:  # it has come back
            self._asked[own].published = None
        if channel in self._subscribers:
            self._subscribers.give(Published(channel, data, _position(position)))

    def _fail_all(self, error: OperationError) -> None:
        asked, self._asked = self._asked, {}
        for each in asked.values():
            if each.published is not None:  # it may have reached others, but not those here
                self._subscribers.give(each.published)
            each.answer.errback(error)

    # -- IBus ----------------------------------------------------------------------------------------------

    def publish(
        self, channel: str, data: bytes, *, history: int = 0, seconds: float = 0
    ) -> Deferred[Position | None]:
        """Send ``data`` to all; see ``IBus.publish``."""
        published = Published(channel, data)
        answer = self._ask("publish", channel, data, history, float(seconds), published=published)
        return answer.addCallback(_position)

    def recent(self, channel: str, since: Position | None = None) -> Deferred[Recent]:
        """Fire with the history after ``since``; see ``IBus.recent``."""
        answer = self._ask("recent", channel, None if since is None else [since.epoch, since.offset])
        return answer.addCallback(_recent, channel)

    def subscribe(self, channel: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Fire when ``subscriber`` gets what is published; see ``IBus.subscribe``."""
        self._subscribers.add(channel, subscriber)
        return self._ask("subscribe", channel)

    def unsubscribe(self, channel: str, subscriber: IBusSubscriber) -> None:
        """Undo ``subscribe``."""
        if self._subscribers.remove(channel, subscriber) and self._wire is not None:
            self._wire.give("unsubscribe", channel)

    def enter(self, channel: str, member: str, data: bytes) -> Deferred[None]:
        """Note that ``member`` is there. If the hub is away, it enters when that is back."""
        self._members[channel, member] = data
        return self._ask("enter", channel, member, data)

    def leave(self, channel: str, member: str) -> Deferred[None]:
        """Undo ``enter``."""
        self._members.pop((channel, member), None)
        return self._ask("leave", channel, member)

    def members(self, channel: str) -> Deferred[dict[str, bytes]]:
        """Fire with the data of all members, of all workers."""
        return self._ask("members", channel)


class _Wire(HubWire):
    """The worker's end."""

    def __init__(self, bus: HubBus) -> None:
        self._bus = bus

    def taken(self, value: list[Any]) -> None:
        """Pass on what the hub says."""
        self._bus.taken(value)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002 - of the interface
        """Pass on that it is gone."""
        self._bus.lost(self)


def _position(pair: list[Any] | None) -> Position | None:
    return None if pair is None else Position(*pair)


def _recent(answer: list[Any], channel: str) -> Recent:
    (epoch, offset), messages, complete = answer
    found = tuple(Published(channel, data, Position(epoch, place)) for data, place in messages)
    return Recent(Position(epoch, offset), found, complete)


def _chain(first: Deferred[Any], second: Deferred[Any]) -> None:
    first.chainDeferred(second)


def _ignore(failure: Failure) -> None:
    """Do nothing: the connection is lost again, and the next one does it anew."""
