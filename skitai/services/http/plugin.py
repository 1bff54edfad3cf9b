"""How the HTTP client enters an instance: through the same hooks as anybody's plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from twisted.logger import Logger

from skitai.plugins import hookimpl
from skitai.services.http.auth import Logins
from skitai.services.http.service import HTTPService, UploadService
from skitai.services.http.settings import KEYS, SECTION, make_pool, unverified

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance
    from skitai.services.http.pool import ConnectionPool

_log = Logger()
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")

# One process may hold several instances (tests do), each with a reactor and connections of its own.
_pools: WeakKeyDictionary[IInstance, ConnectionPool] = WeakKeyDictionary()
_logins: WeakKeyDictionary[IInstance, Logins] = WeakKeyDictionary()


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Any]]:
    """Declare ``[http]``: limits, TLS, DNS and proxies of the client."""
    return {SECTION: KEYS}


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, HTTPService]:
    """Give ``was.get`` and its likes, which share their connections and log in once."""
    pool, logins = pool_of(instance), logins_of(instance)
    services = {method.lower(): HTTPService(method, pool, logins) for method in _METHODS}
    return {**services, "upload": UploadService(pool, logins)}


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, HTTPService]:
    """Let ``type = http`` clusters be read."""
    return {"http": HTTPService("GET", pool_of(instance))}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the connections to other machines."""
    totals = pool_of(instance).statistics()
    hosts = totals.pop("hosts")
    return {"HTTP client": totals, "HTTP client, by host": hosts}


@hookimpl
def skitai_startup(instance: IInstance) -> None:
    """Say aloud, once, whose certificates are not looked at."""
    careless = unverified(instance.section(SECTION), instance.config.clusters.values())
    if careless:
        _log.warn(
            "verify = no in {sections}: whoever sits on the way there can read and change what is sent",
            sections=" and ".join(careless),
        )


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail what is still awaited and close every connection."""
    return pool_of(instance).close()


def pool_of(instance: IInstance) -> ConnectionPool:
    """Return the connections of an instance, for every service that speaks HTTP. Reactor thread only."""
    pool = _pools.get(instance)
    if pool is None:
        pool = _pools[instance] = make_pool(instance)
    return pool


def logins_of(instance: IInstance) -> Logins:
    """Return what an instance knows of upstreams that want credentials. Reactor thread only."""
    return _logins.setdefault(instance, Logins())
