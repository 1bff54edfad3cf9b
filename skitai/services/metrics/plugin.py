"""The hooks of the metrics and of the readiness, which are there if the config has ``[metrics]``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import attrs

from skitai.config import Key, comma_list, form, integer, optional
from skitai.formats.spelling import nearest
from skitai.net.endpoints import PORT_MAX, PortEndpoint
from skitai.plugins import hookimpl
from skitai.processes import State
from skitai.services.metrics.counting import Observer
from skitai.services.metrics.pages import MetricsPage, ReadyPage
from skitai.services.metrics.port import OwnPort
from skitai.services.metrics.readiness import Readiness
from skitai.services.metrics.report import Reporter

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.web.resource import Resource

    from skitai.interfaces import IInstance

_SECTION = "metrics"


@form("path of a URL", "/metrics")
def _page_path(value: str) -> str:
    if not value.startswith("/") or value.endswith("/"):
        raise ValueError(f"{value} is not a path such as /metrics; leave it empty for none")
    return value


@form("IP address or empty", "127.0.0.1")
def _ip(value: str) -> str:
    return value and str(ip_address(value))  # its error names the value


_KEYS = {
    "path": Key(
        optional(_page_path), "/metrics", "where Prometheus finds the metrics", example="/internal/metrics"
    ),
    "ready_path": Key(
        optional(_page_path),
        "/ready",
        "what answers 503 while the server is not ready",
        example="/internal/ready",
    ),
    "ready_clusters": Key(
        comma_list, (), "clusters without which the server is not ready", example="search, shop"
    ),
    "port": Key(optional(integer(0, PORT_MAX)), None, "a port for both paths alone", example="9100"),
    "ip": Key(_ip, "", "the address of that port; all by default"),
}


@attrs.frozen
class _Metrics:
    """The parts of one instance."""

    observer: Observer
    reporter: Reporter
    pages: Mapping[str, Resource]
    port: OwnPort | None


def _metrics_of(instance: IInstance) -> _Metrics | None:
    """Return the parts, made at the first call; None without a section in the config."""
    if _SECTION not in instance.config.sections:
        return None
    metrics: _Metrics = instance.state(_Metrics, partial(_make, instance))
    return metrics


def _make(instance: IInstance) -> _Metrics:
    values = instance.section(_SECTION)
    observer = Observer(instance.bridge.seconds)
    reporter = Reporter(instance, observer)
    pages: dict[str, Resource] = {}
    if values["ready_path"] is not None:
        pages[values["ready_path"]] = ReadyPage(Readiness(instance, _needed_clusters(instance)))
    if values["path"] is not None:
        pages[values["path"]] = MetricsPage(instance, reporter.report)
    port = None
    if values["port"] is not None:
        port = OwnPort(instance, PortEndpoint(values["ip"], values["port"]), pages)
    return _Metrics(observer, reporter, pages, port)


def _needed_clusters(instance: IInstance) -> list[str]:
    names = [name.removeprefix("@") for name in instance.section(_SECTION)["ready_clusters"]]
    for name in names:
        if name not in instance.config.clusters:
            message = f"there is no cluster @{name}: {nearest(name, instance.config.clusters)}"
            raise instance.config.error("ready_clusters", message, section=_SECTION)
    return names


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare where the pages are."""
    return {_SECTION: _KEYS}


@hookimpl
def skitai_observer(instance: IInstance) -> Observer | None:
    """Count requests and calls."""
    metrics = _metrics_of(instance)
    return None if metrics is None else metrics.observer


@hookimpl
def skitai_mounts(instance: IInstance) -> Mapping[str, Any]:
    """Serve the pages in all virtual hosts, unless they have a port of their own."""
    metrics = _metrics_of(instance)
    return {} if metrics is None or metrics.port is not None else metrics.pages


@hookimpl
def skitai_worker_started(instance: IInstance) -> None:
    """Begin to report, and listen; not where nothing is served (``skitai.standalone``)."""
    metrics = _metrics_of(instance)
    if metrics is None or instance.slot.state == State.FREE:
        return
    metrics.reporter.start()
    if metrics.port is not None:
        metrics.port.start()


@hookimpl
def skitai_closing(instance: IInstance) -> None:
    """Leave the port to other workers."""
    metrics = _metrics_of(instance)
    if metrics is not None and metrics.port is not None:
        metrics.port.leave_to_others()


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[Any] | None:
    """Report for the last time, and let go of the port."""
    metrics = _metrics_of(instance)
    if metrics is None:
        return None
    metrics.reporter.stop()
    return None if metrics.port is None else metrics.port.stop()
