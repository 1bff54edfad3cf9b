"""``app.session_store = "redis"``: the sessions of Saddle apps in Redis, for all workers and machines."""

from __future__ import annotations

from collections.abc import Callable

from zope.interface import implementer

from skitai.interfaces import ISessionStore
from skitai.services.redis.client import RedisClient


@implementer(ISessionStore)
class RedisSessions:
    """Keeps sessions under ``PREFIXsession:KEY``. ``client()`` returns the client, in the reactor thread.

    Redis forgets them when they expire. Methods raise OperationError where Redis is away.
    """

    def __init__(self, client: Callable[[], RedisClient]) -> None:
        self._client = client
        #: Whether any app has used it, so that there is something to show and to close.
        self.is_used = False

    async def load(self, key: str) -> bytes | None:
        """Return what is kept; see ``ISessionStore``."""
        client = self._used()
        found: bytes | None = await client.command("GET", _name(client, key))
        return found

    async def create(self, key: str, data: bytes, seconds: float) -> None:
        """Keep a new session; see ``ISessionStore``."""
        client = self._used()
        await client.command("SET", _name(client, key), data, "PX", _milliseconds(seconds))

    async def replace(self, key: str, data: bytes, seconds: float) -> bool:
        """Keep the session if it is still there; see ``ISessionStore``."""
        client = self._used()
        words = ("SET", _name(client, key), data, "PX", _milliseconds(seconds), "XX")
        return await client.command(*words) is not None

    async def remove(self, key: str) -> None:
        """End the session; see ``ISessionStore``."""
        client = self._used()
        await client.command("DEL", _name(client, key))

    def _used(self) -> RedisClient:
        self.is_used = True
        return self._client()


def _name(client: RedisClient, key: str) -> str:
    return f"{client.settings.prefix}session:{key}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
