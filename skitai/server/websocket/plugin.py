"""The hooks of websockets for WSGI apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skitai.plugins import Metric, gauge, hookimpl
from skitai.server.websocket.gate import Gate
from skitai.server.websocket.state import WebSockets
from skitai.websocket.settings import SECTION, WebSocketSettings

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance


def _websockets_of(instance: IInstance) -> WebSockets:
    """Return the websockets of ``instance``, made at the first call."""
    values = instance.section(SECTION)
    made: WebSockets = instance.state(WebSockets, lambda: WebSockets(instance, WebSocketSettings.of(values)))
    return made


@hookimpl
def skitai_upgrades(instance: IInstance) -> Gate:
    """Let apps take websockets."""
    gate: Gate = instance.state(Gate, lambda: Gate(_websockets_of(instance)))
    return gate


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show how many websockets are open, and what runs for them."""
    return {"Websockets": _websockets_of(instance).statistics()}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the websockets of clients."""
    websockets = _websockets_of(instance).statistics()
    kinds = {kind: websockets[kind] for kind in ("reqdata", "dedicate", "multicast", "socket")}
    return [
        gauge("skitai_websockets", "Websockets of clients that are open.", kinds, "design"),
        gauge("skitai_websocket_threads", "Threads that websockets keep.", websockets["threads"]),
    ]


@hookimpl
def skitai_stopping(instance: IInstance) -> Deferred[None]:
    """Wait for the views: their websockets are closed, which tells them to end."""
    return _websockets_of(instance).when_ended()


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Let go of the timer."""
    _websockets_of(instance).watch.stop()
