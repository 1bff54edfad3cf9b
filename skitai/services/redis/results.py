"""``result_cache = redis``: results in memory, and behind that in Redis for all workers and machines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import OperationError
from skitai.interfaces import ISharedResults
from skitai.services.cache import MemoryCache
from skitai.services.redis.client import RedisClient

#: Seconds for one look into Redis, and for which none is made after one has failed.
_LOOK_SECONDS, _REST_SECONDS = 0.05, 1.0
#: Seconds that the first who misses an expired result has to bring a new one; and between looks of others.
_LEASE_SECONDS, _POLL_SECONDS = 2.0, 0.05
#: Seconds for which Redis remembers an expired result, so that not all who miss it ask for a new one.
_MEMORY_SECONDS = 60
#: Bytes of the longest value: a longer one would hold up those behind it.
_VALUE_MAX = 1024 * 1024

#: What ``_FETCH`` returns first: nothing is kept, here it is, bring a new one, another brings a new one.
_NOTHING, _FOUND, _BRING, _WAIT = range(4)
_FETCH = """
local kept = redis.call('HMGET', KEYS[1], 'value', 'until')
if not kept[1] then return {0} end
local time = redis.call('TIME')
local left = tonumber(kept[2]) - (time[1] * 1000 + math.floor(time[2] / 1000))
if left > 0 then return {1, kept[1], left} end
if redis.call('SET', KEYS[2], '', 'NX', 'PX', ARGV[1]) then return {2} end
return {3}
"""
_STORE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[1], 'value', ARGV[1], 'until', string.format('%.0f', now + ARGV[2]))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] + ARGV[3]))
redis.call('DEL', KEYS[2])
"""

#: A value and the seconds that are left of its life.
Found = tuple[bytes, float]


@implementer(ISharedResults)
class RedisResults(MemoryCache):
    """Keeps at most ``maximum`` results in memory, by the clock ``seconds``; Redis is the second level.

    ``client()`` returns the client; it is called in the reactor thread.
    """

    def __init__(self, maximum: int, seconds: Callable[[], float], client: Callable[[], RedisClient]) -> None:
        super().__init__(maximum, seconds)
        self._clock = seconds
        self._get_client = client
        self._waiting: dict[bytes, deque[Deferred[Found | None]]] = {}
        self._rests_until = 0.0
        self._shared_hits = self._shared_misses = 0

    def statistics(self) -> dict[str, int]:
        """Return what the status page shows: ``shared`` counts the looks into Redis."""
        shared = {"shared_hits": self._shared_hits, "shared_misses": self._shared_misses}
        return {**super().statistics(), **shared}

    # -- ISharedResults, in the reactor thread -------------------------------------------------------------

    def fetch(self, key: bytes) -> Deferred[Found | None]:
        """Fire with what Redis has; see ``ISharedResults``."""
        if not self._may_look():
            return succeed(None)
        found: Deferred[Found | None] = Deferred()
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting.append(found)
        else:
            self._waiting[key] = deque([found])
            ensureDeferred(self._look(key))
        return found

    def store(self, key: bytes, value: bytes, seconds: float) -> None:
        """Have Redis keep ``value``, if it is there and the value is not too long."""
        if self._may_look() and len(value) <= _VALUE_MAX:
            self._send(_STORE, key, value, int(seconds * 1000), _MEMORY_SECONDS * 1000)

    def forget(self, key: bytes) -> None:
        """Have Redis forget what it keeps."""
        if self._may_look():
            deleting = self._client.command("DEL", *self._keys(key), timeout=_LOOK_SECONDS)
            ensureDeferred(deleting).addErrback(self._rest)

    @property
    def _client(self) -> RedisClient:
        return self._get_client()

    def _may_look(self) -> bool:
        return self._clock() >= self._rests_until and self._client.is_up

    def _rest(self, failure: Failure) -> None:
        """Leave Redis alone for a while: no call may wait for one that is slow."""
        failure.trap(OperationError)  # type: ignore[no-untyped-call]
        self._rests_until = self._clock() + _REST_SECONDS

    def _keys(self, key: bytes) -> tuple[str, str]:
        name = f"{self._client.settings.prefix}result:{key.hex()}"
        return name, f"{name}:asked"

    def _send(self, script: str, key: bytes, *arguments: bytes | int) -> Deferred[Any]:
        sending = self._client.script(script, self._keys(key), arguments, timeout=_LOOK_SECONDS)
        return ensureDeferred(sending).addErrback(self._rest)

    async def _look(self, key: bytes) -> None:
        """Look for ``key`` until all who wait for it have an answer: one look at a time for all of them."""
        waiting = self._waiting[key]
        give_up = self._clock() + _LEASE_SECONDS
        found: Found | None = None
        try:
            while waiting and self._clock() < give_up:
                reply = await self._send(_FETCH, key, int(_LEASE_SECONDS * 1000))
                if reply is None or reply[0] == _NOTHING:
                    break
                if reply[0] == _FOUND:
                    found = (reply[1], reply[2] / 1000)
                    break
                if reply[0] == _BRING:
                    self._answer(waiting.popleft(), None)
                if waiting:
                    await deferLater(self._client.reactor, _POLL_SECONDS)
        finally:
            del self._waiting[key]
            for each in waiting:
                self._answer(each, found)

    def _answer(self, waiting: Deferred[Found | None], found: Found | None) -> None:
        if found is None:
            self._shared_misses += 1
        else:
            self._shared_hits += 1
        waiting.callback(found)
