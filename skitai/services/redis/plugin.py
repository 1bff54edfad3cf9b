"""The hooks of Redis: its section of the config and of the status page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.config import Key
from skitai.plugins import hookimpl
from skitai.services.redis.client import RedisClient
from skitai.services.redis.connecting import NEEDED, has_driver
from skitai.services.redis.settings import KEYS, SECTION, settings_of

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance

NAME = "redis"
#: The keys of ``[server]`` that may ask for Redis.
_ASKING = ("bus", "result_cache")


def _is_asked(instance: IInstance, key: str) -> bool:
    """Whether ``[server] key`` asks for Redis. Raises ConfigError if it does, and the driver is missing."""
    if getattr(instance.config.server, key) != NAME:
        return False
    if not has_driver():
        raise instance.config.error(key, NEEDED)
    return True


def client_of(instance: IInstance) -> RedisClient:
    """Return the client of ``instance``, made at the first call. Raises ConfigError for wrong settings."""

    def make() -> RedisClient:
        settings = settings_of(instance.section(SECTION), instance.connector.tls)
        return RedisClient(instance.reactor, instance.connector, settings)

    client: RedisClient = instance.state(RedisClient, make)
    return client


def _is_used(instance: IInstance) -> bool:
    return any(_is_asked(instance, key) for key in _ASKING)


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare where Redis is."""
    return {SECTION: KEYS}


@hookimpl
def skitai_startup(instance: IInstance) -> None:
    """Connect, if the config asks for Redis."""
    if _is_used(instance):
        client_of(instance).start()


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show how Redis is."""
    return {"Redis": client_of(instance).statistics()} if _is_used(instance) else {}


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[Any] | None:
    """Close the connections."""
    return client_of(instance).close() if _is_used(instance) else None
