"""The bus over Redis: ``[server] bus = redis``."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from skitai.interfaces import IBus
from skitai.messaging import Position, Published, Recent
from skitai.services.redis.channels import Channels, Sent
from skitai.services.redis.envelope import head, without_position
from skitai.services.redis.presence import Presence
from skitai.services.redis.scripts import PUBLISH, RECENT

if TYPE_CHECKING:
    from skitai.interfaces import IBusSubscriber
    from skitai.services.redis.client import RedisClient

#: Milliseconds for which a position is known longer than the last message.
_POSITION_LIFE = 24 * 3600 * 1000


@implementer(IBus)
class RedisBus:
    """Carries messages between all processes with the same Redis and prefix. Reactor thread."""

    shared = True

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        settings = client.settings
        self._keys = f"{settings.prefix}bus:"
        # Redis has the same channels in all of its databases.
        self._wires = f"{settings.prefix}bus:{settings.database}:".encode()
        # In this order: who is told of an interruption finds its members.
        self._presence = Presence(client, self._keys)
        self._channels = Channels(client, self._wire)

    @property
    def is_up(self) -> bool:
        """Whether messages of others can come."""
        return self._channels.link.is_up

    def start(self) -> None:
        """Connect."""
        self._client.start()
        self._channels.link.start()

    async def stop(self) -> None:
        """Take leave of the others; the client is closed by its owner, after this."""
        self._channels.stop()
        await self._presence.stop()

    def publish(
        self, channel: str, data: bytes, *, history: int = 0, seconds: float = 0
    ) -> Deferred[Position | None]:
        """Send ``data`` to all; see ``IBus.publish``.

        Where that fails, the subscribers of this process get it without a position, and the failure says so.
        """
        return Deferred.fromCoroutine(self._publish(self._channels.sending(channel, data), history, seconds))

    async def _publish(self, sent: Sent, history: int, seconds: float) -> Position | None:
        try:
            position = await (self._keep(sent, history, seconds) if history else self._pass_on(sent))
        except BaseException:
            self._channels.failed(sent)
            raise
        self._channels.taken(sent, position)
        return position

    async def _pass_on(self, sent: Sent) -> None:
        name, data = sent.published.channel, sent.published.data
        envelope = without_position(self._channels.origin, sent.number, data)
        await self._client.command("PUBLISH", self._wire(name), envelope)

    async def _keep(self, sent: Sent, history: int, seconds: float) -> Position:
        name, data = sent.published.channel, sent.published.data
        milliseconds = max(int(seconds * 1000), 1)
        epoch, offset = await self._client.script(
            PUBLISH,
            self._history(name),
            (
                token_hex(8),
                milliseconds + _POSITION_LIFE,
                self._wire(name),
                head(self._channels.origin, sent.number),
                data,
                history,
                milliseconds,
            ),
        )
        return Position(epoch.decode(), int(offset))

    def _wire(self, channel: str) -> bytes:
        return self._wires + _encoded(channel)

    def _history(self, channel: str) -> list[bytes]:
        """Return the keys of a history."""
        return [f"{self._keys}{kind}:".encode() + _encoded(channel) for kind in ("position", "messages")]

    def recent(self, channel: str, since: Position | None = None) -> Deferred[Recent]:
        """Fire with the history after ``since``; see ``IBus.recent``."""
        return Deferred.fromCoroutine(self._recent(channel, since))

    async def _recent(self, channel: str, since: Position | None) -> Recent:
        seen = ("", "") if since is None else (_encoded(since.epoch), since.offset)
        arguments = (token_hex(8), _POSITION_LIFE, *seen)
        epoch, offset, found = await self._client.script(RECENT, self._history(channel), arguments)
        position = Position(epoch.decode(), int(offset))
        if since is None:
            return Recent(position)
        messages = tuple(
            Published(channel, data, Position(position.epoch, int(offset)))
            for offset, data in zip(found[::2], found[1::2], strict=True)
        )
        known = since.epoch == position.epoch and since.offset <= position.offset
        return Recent(position, messages, known and len(messages) == position.offset - since.offset)

    def subscribe(self, channel: str, subscriber: IBusSubscriber) -> Deferred[None]:
        """Fire when Redis has confirmed; see ``IBus.subscribe``.

        Where that fails the subscriber stays: it gets what this process publishes, and ``interrupted`` when
        Redis is back.
        """
        return self._channels.add(channel, subscriber)

    def unsubscribe(self, channel: str, subscriber: IBusSubscriber) -> None:
        """Undo ``subscribe``."""
        self._channels.remove(channel, subscriber)

    def enter(self, channel: str, member: str, data: bytes) -> Deferred[None]:
        """Note that ``member`` is there. Where that fails, it enters as soon as Redis is back."""
        return Deferred.fromCoroutine(self._presence.enter(channel, member, data))

    def leave(self, channel: str, member: str) -> Deferred[None]:
        """Undo ``enter``. Where that fails, others see it for at most half a minute."""
        return Deferred.fromCoroutine(self._presence.leave(channel, member))

    def members(self, channel: str) -> Deferred[dict[str, bytes]]:
        """Fire with the data of all members, on all machines."""
        return Deferred.fromCoroutine(self._presence.members(channel))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
