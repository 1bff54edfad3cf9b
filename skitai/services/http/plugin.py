"""The hooks through which the HTTP client becomes part of an instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.http.fields import METHODS
from skitai.plugins import hookimpl
from skitai.services.http.connections import connections_of
from skitai.services.http.service import HTTPService, UploadService

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, HTTPService]:
    """Give ``was.get``, ``was.post`` and the others, which share connections and logins."""
    shared = connections_of(instance)
    services = {method.lower(): HTTPService(method, shared.pool, shared.logins) for method in METHODS}
    return {**services, "upload": UploadService(shared.pool, shared.logins)}


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, HTTPService]:
    """Let ``type = http`` clusters be read."""
    return {"http": connections_of(instance).members}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the connections to other machines on the status page."""
    totals = connections_of(instance).pool.statistics()
    hosts = totals.pop("hosts")
    return {"HTTP client": totals, "HTTP client, by host": hosts}


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail the requests under way and close every connection."""
    return connections_of(instance).pool.close()
