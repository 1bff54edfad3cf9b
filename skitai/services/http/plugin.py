"""The hooks through which the HTTP client becomes part of an instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skitai.config import Key
from skitai.config.http import HTTP_CLUSTER_KEYS
from skitai.http.fields import METHODS
from skitai.plugins import Metric, counter, gauge, hookimpl
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
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the keys of such clusters."""
    return {"[@NAME] type = http": HTTP_CLUSTER_KEYS}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the connections to other machines on the status page."""
    totals = connections_of(instance).pool.statistics()
    hosts = totals.pop("hosts")
    return {"HTTP client": totals, "HTTP client, by host": hosts}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the connections to other machines."""
    pool = connections_of(instance).pool.statistics()
    states = {state: pool[state] for state in ("idle", "in_use")}
    return [
        gauge("skitai_http_client_connections", "Connections to other machines.", states, "state"),
        gauge("skitai_http_client_waiting", "Requests that wait for a connection.", pool["waiting"]),
        counter("skitai_http_client_requests_total", "Requests to other machines.", pool["requests"]),
        counter("skitai_http_client_reused_total", "Requests over a connection of before.", pool["reused"]),
        counter("skitai_http_client_errors_total", "Requests that failed without a reply.", pool["errors"]),
    ]


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail the requests under way and close every connection."""
    return connections_of(instance).pool.close()
