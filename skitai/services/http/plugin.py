"""How the HTTP client enters an instance: through the same hooks as anybody's plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from skitai.plugins import hookimpl
from skitai.services.http.pool import ConnectionPool
from skitai.services.http.service import HTTPService

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance

# One process may hold several instances (tests do), each with a reactor and connections of its own.
_pools: WeakKeyDictionary[IInstance, ConnectionPool] = WeakKeyDictionary()


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, HTTPService]:
    """Give ``was.get`` and ``was.post``, which share their connections."""
    pool = _pool(instance)
    return {"get": HTTPService("GET", pool), "post": HTTPService("POST", pool)}


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, HTTPService]:
    """Let ``type = http`` clusters be read."""
    return {"http": HTTPService("GET", _pool(instance))}


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail what is still awaited and close every connection."""
    return _pool(instance).close()


def _pool(instance: IInstance) -> ConnectionPool:
    pool = _pools.get(instance)
    if pool is None:
        pool = _pools[instance] = ConnectionPool(instance.reactor)
    return pool
