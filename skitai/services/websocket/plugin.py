"""The hooks through which the websocket client becomes part of an instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from skitai.net.settings import SECTION as HTTP_SECTION
from skitai.plugins import Metric, counter, gauge, hookimpl
from skitai.services.http.connections import connections_of
from skitai.services.http.pool import ConnectionPool
from skitai.services.http.service import HTTPService
from skitai.services.http.settings import pool_limits
from skitai.services.websocket.dialing import Dialer
from skitai.services.websocket.pool import SocketPool
from skitai.services.websocket.service import CLUSTER_TYPE, WebSocketService
from skitai.websocket.settings import SECTION, WebSocketSettings
from skitai.websocket.watch import Watch

if TYPE_CHECKING:
    from skitai.interfaces import IInstance


@attrs.frozen
class _Client:
    """The websockets of an instance, and the connections on which they begin."""

    sockets: SocketPool
    handshakes: ConnectionPool
    watch: Watch
    service: WebSocketService

    async def close(self) -> None:
        """Close everything."""
        await self.sockets.close()
        await self.handshakes.close()
        self.watch.stop()


def _client_of(instance: IInstance) -> _Client:
    """Return the client of ``instance``, made at the first call. Called in the reactor thread."""
    client: _Client = instance.state(_Client, partial(_make, instance))
    return client


def _make(instance: IInstance) -> _Client:
    shared = connections_of(instance)
    settings = WebSocketSettings.of(instance.section(SECTION))
    limits = pool_limits(instance.section(HTTP_SECTION))
    handshakes = ConnectionPool(instance.reactor, limits, connector=instance.connector, tunnels=True)
    watch = Watch(instance.reactor)
    dialer = Dialer(handshakes, shared.logins, settings, watch)
    sockets = SocketPool(instance.reactor, limits, dialer.dial)
    service = WebSocketService(sockets, shared.members, settings.conversation_limits)
    return _Client(sockets, handshakes, watch, service)


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, WebSocketService]:
    """Give ``was.ws``, which shares logins with ``was.get``."""
    return {"ws": _client_of(instance).service}


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, HTTPService]:
    """Let clusters of websockets be read, and ``type = http``: that of ``was.get`` may not be loaded."""
    members = connections_of(instance).members
    return {"http": members, CLUSTER_TYPE: members}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the websockets to other machines on the status page."""
    totals = _client_of(instance).sockets.statistics()
    hosts = totals.pop("hosts")
    return {"Websocket client": totals, "Websocket client, by host": hosts}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the websockets to other machines."""
    pool = _client_of(instance).sockets.statistics()
    states = {state: pool[state] for state in ("idle", "in_use")}
    return [
        gauge("skitai_websocket_client_sockets", "Websockets to other machines.", states, "state"),
        gauge("skitai_websocket_client_waiting", "Messages that wait for a websocket.", pool["waiting"]),
        counter("skitai_websocket_client_messages_total", "Messages to other machines.", pool["messages"]),
        counter("skitai_websocket_client_errors_total", "Messages that failed.", pool["errors"]),
    ]


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Fail what is under way and close every websocket."""
    return Deferred.fromCoroutine(_client_of(instance).close())
