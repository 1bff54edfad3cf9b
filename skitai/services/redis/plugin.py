"""The hooks of Redis: its bus, its section of the config and of the status page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai.config import Key
from skitai.errors import MisuseError
from skitai.plugins import Metric, counter, gauge, hookimpl
from skitai.services.redis.bus import RedisBus
from skitai.services.redis.client import RedisClient
from skitai.services.redis.connecting import NEEDED, has_driver
from skitai.services.redis.results import RedisResults
from skitai.services.redis.sessions import RedisSessions
from skitai.services.redis.settings import KEYS, SECTION, settings_of

if TYPE_CHECKING:
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


def _bus_of(instance: IInstance) -> RedisBus | None:
    """Return the bus of ``instance``, made at the first call; None if the config asks for another one."""
    if not _is_asked(instance, "bus"):
        return None
    bus: RedisBus = instance.state(RedisBus, lambda: RedisBus(client_of(instance)))
    return bus


def _sessions_of(instance: IInstance) -> RedisSessions:
    sessions: RedisSessions = instance.state(
        RedisSessions, lambda: RedisSessions(partial(_needed_client_of, instance))
    )
    return sessions


def _needed_client_of(instance: IInstance) -> RedisClient:
    if not has_driver():
        raise MisuseError(NEEDED)
    return client_of(instance)


def _is_used(instance: IInstance) -> bool:
    return any(_is_asked(instance, key) for key in _ASKING) or _sessions_of(instance).is_used


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare where Redis is."""
    return {SECTION: KEYS}


@hookimpl
def skitai_buses(instance: IInstance) -> Mapping[str, RedisBus]:
    """Give ``[server] bus = redis``."""
    bus = _bus_of(instance)
    return {} if bus is None else {NAME: bus}


@hookimpl
def skitai_result_caches(instance: IInstance) -> Mapping[str, RedisResults]:
    """Give ``[server] result_cache = redis``: its first level has ``num_result_cache_max`` entries."""
    maximum = instance.config.server.num_result_cache_max
    if not maximum or not _is_asked(instance, "result_cache"):
        return {}
    return {NAME: RedisResults(maximum, instance.reactor.seconds, partial(client_of, instance))}


@hookimpl
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], RedisSessions]]:
    """Give ``was.redis_sessions``, which an app with ``session_store = "redis"`` uses."""
    sessions = _sessions_of(instance)
    return {"redis_sessions": lambda _: sessions}


@hookimpl
def skitai_startup(instance: IInstance) -> None:
    """Connect, if the config asks for Redis."""
    if _is_used(instance):
        client_of(instance).start()
    bus = _bus_of(instance)
    if bus is not None:
        bus.start()


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show how Redis is."""
    return {"Redis": client_of(instance).statistics()} if _is_used(instance) else {}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the workers with a Redis, and what they asked of it."""
    if not _is_used(instance):
        return []
    client, bus = client_of(instance), _bus_of(instance)
    redis = client.statistics()
    links = {"commands": client.is_up, **({} if bus is None else {"bus": bus.is_up})}
    return [
        gauge("skitai_redis_connected", "Workers whose link to Redis is up.", links, "link"),
        counter("skitai_redis_connections_total", "Connections made to Redis.", redis["connections_made"]),
        counter("skitai_redis_commands_total", "Commands sent to Redis.", redis["commands"]),
        counter("skitai_redis_failures_total", "Commands that failed.", redis["failures"]),
        counter("skitai_redis_timeouts_total", "Commands without a reply in time.", redis["timeouts"]),
    ]


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[Any] | None:
    """Take leave of the others, and close the connections."""
    return Deferred.fromCoroutine(_stop(instance)) if _is_used(instance) else None


async def _stop(instance: IInstance) -> None:
    bus = _bus_of(instance)
    if bus is not None:
        await bus.stop()
    await client_of(instance).close()
