"""The hooks of the reverse proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from skitai.config.casters import one_of, yes_no
from skitai.config.clusters import PREFIX, unknown_cluster
from skitai.config.keys import Key
from skitai.net.trust import TrustedProxies
from skitai.plugins import Answerer, Metric, counter, gauge, hookimpl
from skitai.services.http.connections import connections_of
from skitai.services.proxy.cache.settings import KEYS, SECTION
from skitai.services.proxy.resource import ReverseProxy
from skitai.services.proxy.way import AHEAD_MAX, Way

if TYPE_CHECKING:
    from skitai.config import Mount
    from skitai.interfaces import IInstance
    from skitai.services.proxy.cache.assembly import ProxyCache

_log = Logger()

_PROXIED_TYPE = "http"
_CACHE = f"{__name__}.cache"

#: The options of a route to a cluster.
OPTIONS: Mapping[str, Key] = {
    "strip": Key(yes_no, True, "members get the path below the mount point"),
    "host": Key(one_of("client", "member"), "client", "whose name members get in Host"),
    "rewrite": Key(yes_no, False, "mend Location, Content-Location and cookies for the mount point"),
    "buffer": Key(yes_no, True, "collect the body of a request before a member is asked"),
    "cache": Key(yes_no, False, "keep cacheable replies (RFC 9111), as [cache] says"),
}


@hookimpl
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the options of such routes."""
    return {"[routes:line] a cluster": OPTIONS}


@hookimpl
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Take a cluster as a target."""
    if not mount.target.startswith(PREFIX):
        return None
    name = mount.target.removeprefix(PREFIX)
    clusters = instance.config.clusters
    if name not in clusters:
        raise ValueError(unknown_cluster(name, clusters))
    if clusters[name].type != _PROXIED_TYPE:
        raise ValueError(
            f"@{name} has type {clusters[name].type}: only a cluster of type http can be mounted"
        )
    return Answerer("proxy", partial(_make, instance, mount.point, name), OPTIONS)


def _make(instance: IInstance, point: str, name: str, options: Mapping[str, Any]) -> ReverseProxy:
    server = instance.config.server
    cache = None
    if options["cache"]:
        chosen = " ".join(f"{key}={options[key]}" for key in ("strip", "host", "rewrite"))
        cache = _cache_of(instance).mount(point, f"@{name}", chosen)
    way = Way(
        point=point.encode(),
        cluster=instance.services.dispatcher.balancer(name),
        pool=connections_of(instance).pool,
        proxies=TrustedProxies(server.trusted_proxies),
        seconds=instance.reactor.seconds,
        waiting_max=min(server.response_buffer_max, AHEAD_MAX),
        strip=options["strip"],
        own_host=options["host"] == "member",
        rewrite=options["rewrite"],
        buffer=options["buffer"],
        cache=cache,
    )
    _ways(instance).append(way)
    return ReverseProxy(way)


def _cache_of(instance: IInstance) -> ProxyCache:
    # Only here: hishel takes long to import, and most servers have no cache.
    from skitai.services.proxy.cache.assembly import ProxyCache

    cache: ProxyCache = instance.state(_CACHE, lambda: ProxyCache(instance))
    return cache


def _used_cache(instance: IInstance) -> ProxyCache | None:
    return _cache_of(instance) if any(way.cache is not None for way in _ways(instance)) else None


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare what the cache may keep."""
    return {SECTION: KEYS}


@hookimpl
def skitai_startup(instance: IInstance) -> None:
    """Begin to use the disk."""
    cache = _used_cache(instance)
    if cache is not None:
        cache.start()
    elif (section := instance.config.sections.get(SECTION)) is not None:
        _log.warn("{text}", text=section.error("has no effect: no route has cache=yes"))


@hookimpl
def skitai_closing(instance: IInstance) -> None:
    """Let the server that replaces this one have the folder of the cache."""
    cache = _used_cache(instance)
    if cache is not None:
        cache.stop()


def _ways(instance: IInstance) -> list[Way]:
    ways: list[Way] = instance.state(Way, list)
    return ways


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show what the mounts of clusters do."""
    rows = [way.statistics() for way in _ways(instance)]
    tables: dict[str, Any] = {"Reverse proxy": rows} if rows else {}
    cache = _used_cache(instance)
    if cache is not None:
        tables["Cache of the reverse proxy"] = cache.statistics()
    return tables


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count what the mounts of clusters do."""
    ways = _ways(instance)
    if not ways:
        return []
    by_way = {(way.point.decode() or "/", f"@{way.cluster.name}"): way.counts for way in ways}
    names = ("mount", "cluster")
    failed = {
        (*key, str(code)): count for key, counts in by_way.items() for code, count in counts.failed.items()
    }

    def each(name: str) -> dict[tuple[str, ...], int]:
        return {key: getattr(counts, name) for key, counts in by_way.items()}

    return [
        counter("skitai_proxy_requests_total", "Requests for members.", each("requests"), *names),
        gauge("skitai_proxy_under_way", "Requests for members under way.", each("under_way"), *names),
        counter(
            "skitai_proxy_retried_total", "Members asked in the place of others.", each("retried"), *names
        ),
        counter("skitai_proxy_broken_total", "Replies that broke off.", each("broken"), *names),
        counter(
            "skitai_proxy_upgraded_total", "Connections that changed protocol.", each("upgraded"), *names
        ),
        counter("skitai_proxy_failed_total", "Error pages of the proxy.", failed, *names, "status"),
        *_cache_metrics(_used_cache(instance)),
    ]


def _cache_metrics(cache: ProxyCache | None) -> Sequence[Metric]:
    if cache is None:
        return ()
    found = {
        (*key, lookup): count for key, mount in cache.mounts.items() for lookup, count in mount.counts.items()
    }
    names = ("mount", "cluster", "lookup")
    text = "Requests by where the reply came from, as X-Cache-Lookup says."
    return (
        counter("skitai_proxy_cache_total", text, found, *names),
        gauge("skitai_proxy_cache_memory_bytes", "Bytes of replies in memory.", cache.store.memory.bytes),
    )
