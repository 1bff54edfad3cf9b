"""The subscriptions of a process: who gets what comes from Redis, and what becomes of its own messages.

A message of this process comes back from Redis like those of others, so that everybody sees the same order.
Only where it may not come back, it is given from here; if it comes back nevertheless, it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from skitai.errors import OperationError, OperationTimeout, UnsentError, stopping
from skitai.messaging import Position, Published
from skitai.messaging.subscribers import Subscribers
from skitai.services.redis.envelope import opened

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.interfaces import IBusSubscriber
    from skitai.services.redis.client import RedisClient

_log = Logger()


@attrs.define(eq=False)
class _Channel:
    """A channel with subscribers; ``wire`` is what Redis knows it as."""

    name: str
    wire: bytes
    #: A SUBSCRIBE is under way; it was confirmed on the present connection.
    is_asked: bool = False
    is_confirmed: bool = False
    #: Whether messages of others may have been missed since the last confirmation.
    is_missing: bool = False
    #: Who waits for the confirmation.
    waiting: list[Deferred[None]] = attrs.Factory(list)
    #: Messages of this process that its subscribers have not got yet, by number.
    sent: dict[int, Sent] = attrs.Factory(dict)


@attrs.define(eq=False)
class Sent:
    """A message of this process. It ``returns`` if it will come back from Redis."""

    number: int
    published: Published
    channel: _Channel | None
    returns: bool
    is_answered: bool = False


class Channels:
    """All channels to which somebody in this process has subscribed. All methods: reactor thread.

    ``link`` is that of ``client`` for subscriptions; ``wire(channel)`` is the name of a channel in Redis.
    """

    def __init__(self, client: RedisClient, wire: Callable[[str], bytes]) -> None:
        #: Who this process is among those that publish.
        self.origin = token_hex(8).encode()
        self.link = client.subscriptions(self._received)
        self.link.when_up.append(self._up)
        self.link.on_down = self._down
        client.when_up.append(self._interrupt)
        self._client = client
        self._wire = wire
        self._numbers = count(1)
        self._subscribers = Subscribers()
        self._by_name: dict[str, _Channel] = {}
        self._by_wire: dict[bytes, _Channel] = {}
        self._has_complained = False

    # -- subscribers -----------------------------------------------------------------------------------------

    def add(self, name: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Give ``subscriber`` what comes to a channel; fire when Redis has confirmed.

        Where that fails the subscriber stays, gets what this process publishes, and is told of the
        interruption when Redis has confirmed after all.
        """
        self._subscribers.add(name, subscriber)
        channel = self._by_name.get(name)
        if channel is None:
            channel = self._by_name[name] = _Channel(name, self._wire(name))
            self._by_wire[channel.wire] = channel
        if channel.is_confirmed:
            return succeed(None)
        self.link.start()
        error = self.link.error
        if error is not None:
            channel.is_missing = True
            return fail(error)
        waiting: Deferred[None] = Deferred()
        channel.waiting.append(waiting)
        if self.link.is_up and not channel.is_asked:
            self._ask(channel)
        seconds = self._client.settings.timeout
        return waiting.addTimeout(seconds, self._client.reactor, partial(_late, channel))

    def remove(self, name: str, subscriber: IBusSubscriber) -> None:
        """Undo ``add``."""
        if self._subscribers.remove(name, subscriber):
            channel = self._by_name.pop(name)
            del self._by_wire[channel.wire]
            channel.sent.clear()
            if self.link.is_up:
                self.link.ask("UNSUBSCRIBE", channel.wire).addErrback(lambda _: None)
            _fire(channel)

    def _ask(self, channel: _Channel) -> None:
        channel.is_asked = True
        asking = self.link.ask("SUBSCRIBE", channel.wire)
        asking.addCallbacks(lambda _: self._confirmed(channel), partial(self._refused, channel))

    def _confirmed(self, channel: _Channel) -> None:
        channel.is_asked = False
        channel.is_confirmed = True
        _fire(channel)
        self._tell(channel)

    def _tell(self, channel: _Channel) -> None:
        """Tell of an interruption, when what was missed can be asked for."""
        if channel.is_missing and self._client.is_up and self._by_name.get(channel.name) is channel:
            channel.is_missing = False
            self._subscribers.interrupt_at(channel.name)

    def _interrupt(self) -> None:
        for channel in tuple(self._by_name.values()):
            if channel.is_confirmed:
                self._tell(channel)

    def _refused(self, channel: _Channel, failure: Failure) -> None:
        channel.is_asked = False
        channel.is_missing = True
        if self.link.is_up:
            _log.warn("a subscription was refused: {error}", error=failure.value)
        _fire(channel, failure.value)

    def _up(self) -> None:
        for channel in tuple(self._by_name.values()):
            self._ask(channel)

    def _down(self, error: OperationError) -> None:
        for channel in tuple(self._by_name.values()):
            channel.is_missing = channel.is_missing or channel.is_confirmed
            channel.is_confirmed = channel.is_asked = False
            for sent in tuple(channel.sent.values()):
                if sent.is_answered:
                    self._give(sent)
                sent.returns = False
            if channel.waiting:
                channel.is_missing = True
                _fire(channel, error)

    def stop(self) -> None:
        """Fail what waits."""
        for channel in tuple(self._by_name.values()):
            _fire(channel, stopping(UnsentError))

    # -- messages --------------------------------------------------------------------------------------------

    def sending(self, name: str, data: bytes) -> Sent:
        """Note a message that is about to be sent to Redis, and return it with its number."""
        channel = self._by_name.get(name)
        returns = channel is not None and channel.is_confirmed
        sent = Sent(next(self._numbers), Published(name, data), channel, returns)
        if channel is not None:
            channel.sent[sent.number] = sent
        return sent

    def taken(self, sent: Sent, position: Position | None) -> None:
        """Note that Redis has a message."""
        sent.is_answered = True
        sent.published = attrs.evolve(sent.published, position=position)
        if not sent.returns:
            self._give(sent)

    def failed(self, sent: Sent) -> None:
        """Note that it is not known whether Redis has a message, or that it has not."""
        if sent.channel is not None:
            self._give_until(sent.channel, sent.number)
            self._give(sent)

    def _received(self, wire: bytes, envelope: bytes) -> None:
        """Take what Redis sends."""
        channel = self._by_wire.get(wire)
        if channel is None:
            return
        try:
            message = opened(envelope)
        except ValueError:
            self._complain(channel)
            return
        if message.origin == self.origin:
            # Those before it are with Redis, too, but came there before the subscription.
            self._give_until(channel, message.number)
            if channel.sent.pop(message.number, None) is None:
                return
        self._subscribers.give(Published(channel.name, message.data, message.position))

    def _give_until(self, channel: _Channel, number: int) -> None:
        """Give the messages before the one with that number, so that their order is kept."""
        for sent in [sent for sent in channel.sent.values() if sent.number < number]:
            self._give(sent)

    def _give(self, sent: Sent) -> None:
        if sent.channel is not None and sent.channel.sent.pop(sent.number, None) is not None:
            self._subscribers.give(sent.published)

    def _complain(self, channel: _Channel) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.warn("what no Skitai has sent came over {channel}, and is dropped", channel=channel.wire)


def _late(channel: _Channel, _outcome: Any, seconds: float) -> None:
    channel.is_missing = True
    raise OperationTimeout(f"Redis has not confirmed a subscription within {seconds:g} s")


def _fire(channel: _Channel, error: BaseException | None = None) -> None:
    waiting, channel.waiting = channel.waiting, []
    for waiter in waiting:
        if not waiter.called:
            if error is None:
                waiter.callback(None)
            else:
                waiter.errback(error)
