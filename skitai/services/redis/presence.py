"""Who is there, on all machines: a list in Redis to which each process adds its own members."""

from __future__ import annotations

from secrets import token_hex
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skitai.errors import OperationError
from skitai.services.redis.scripts import BEAT, ENTER, FORGET, LEAVE, MEMBERS

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.services.redis.client import RedisClient

#: Seconds between two heartbeats, for which one counts, and after which all of a process is cleaned away.
BEAT_SECONDS, LIFE_SECONDS, CLEAN_SECONDS = 8.0, 25.0, 60.0
#: Members that enter with one command, and channels that are cleaned away with one.
_AT_A_TIME = 500
#: Seconds that the stop waits for Redis.
_LEAVING_SECONDS = 1.0

_log = Logger()


class Presence:
    """The members of channels. All of it is called in the reactor thread.

    This process enters all its members anew after each connection, under another name, and then forgets the
    former one: so nobody disappears meanwhile, and nobody stays who has left in between.
    """

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._process = token_hex(8)
        self._members: dict[str, dict[str, bytes]] = {}
        self._is_first = True
        self._is_renewing = False
        #: Whether Redis may lack a member, or have one that has left: it has refused a command.
        self._differs = False
        self._timer: IDelayedCall | None = None
        client.when_up.append(self._up)

    async def enter(self, channel: str, member: str, data: bytes) -> None:
        """Note a member here and in Redis; if that fails, as soon as Redis is back."""
        self._members.setdefault(channel, {})[member] = data
        await self._change(ENTER, self._process, _encoded(channel), _encoded(member), data)

    async def leave(self, channel: str, member: str) -> None:
        """Undo ``enter``."""
        members = self._members.get(channel, {})
        members.pop(member, None)
        if not members:
            self._members.pop(channel, None)
        await self._change(LEAVE, _encoded(channel), _encoded(member))

    async def members(self, channel: str) -> dict[str, bytes]:
        """Return the members of all processes that are alive."""
        found: dict[str, bytes] = {}
        for words in await self._script(MEMBERS, _encoded(channel), int(LIFE_SECONDS * 1000)):
            names = (name.decode("utf-8", "surrogatepass") for name in words[::2])
            found.update(zip(names, words[1::2], strict=True))
        return found

    async def _change(self, script: str, *arguments: bytes | str) -> None:
        try:
            await self._script(script, *arguments)
        except OperationError:
            self._differs = True  # a new connection renews all, but Redis may be full, for example
            raise

    async def _script(self, script: str, *arguments: bytes | str | int) -> Any:
        return await self._client.script(script, (), (self._prefix, *arguments))

    # -- heartbeats ------------------------------------------------------------------------------------------

    def _up(self) -> None:
        first, self._is_first = self._is_first, False
        # What was entered before the first connection is sent behind this.
        self._run(self._beat() if first else self._renew())
        if self._timer is None:
            self._timer = self._client.reactor.callLater(BEAT_SECONDS, self._tick)

    def _tick(self) -> None:
        self._timer = self._client.reactor.callLater(BEAT_SECONDS, self._tick)
        if self._client.is_up:
            self._run(self._beat_or_renew())

    def _run(self, coroutine: Any) -> None:
        Deferred.fromCoroutine(coroutine).addErrback(_note)

    async def _beat(self) -> bool:
        """Tell that this process lives; return whether Redis knew it."""
        arguments = (self._process, int(CLEAN_SECONDS * 1000), _AT_A_TIME)
        return bool(await self._script(BEAT, *arguments))

    async def _beat_or_renew(self) -> None:
        # Not known: it was cut off, or stood still, and another one has cleaned it away.
        if not await self._beat() or self._differs:
            await self._renew()

    async def _renew(self) -> None:
        if self._is_renewing:
            return
        self._is_renewing = True
        self._differs = False
        try:
            former, self._process = self._process, token_hex(8)
            await self._beat()
            everybody = [(channel, member) for channel, there in self._members.items() for member in there]
            for start in range(0, len(everybody), _AT_A_TIME):
                await self._enter_again(everybody[start : start + _AT_A_TIME])
            await self._forget(former)
        except OperationError:
            self._differs = True
            raise
        finally:
            self._is_renewing = False

    async def _enter_again(self, members: list[tuple[str, str]]) -> None:
        words: list[bytes] = []
        for channel, member in members:
            data = self._members.get(channel, {}).get(member)
            if data is not None:  # else it has left meanwhile
                words += (_encoded(channel), _encoded(member), data)
        await self._script(ENTER, self._process, *words)

    async def _forget(self, process: str) -> None:
        while await self._script(FORGET, process, _AT_A_TIME):
            pass

    async def stop(self) -> None:
        """Let all members of this process leave, if Redis answers in time."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if self._client.is_up:
            leaving = Deferred.fromCoroutine(self._forget(self._process))
            await leaving.addTimeout(_LEAVING_SECONDS, self._client.reactor).addErrback(lambda _: None)


def _note(failure: Any) -> None:
    """Log what is unexpected; the rest is tried again with the next heartbeat or connection."""
    if not isinstance(failure.value, OperationError):
        _log.failure("presence", failure)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
