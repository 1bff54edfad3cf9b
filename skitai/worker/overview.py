"""The state of a running worker, for its status page."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

import skitai
import twisted
from skitai.processes import State

if TYPE_CHECKING:
    from skitai.calls.clusterview import ClusterView
    from skitai.calls.dispatch import Dispatcher
    from skitai.interfaces import IInstance
    from skitai.processes import Board

#: A section is a table of two columns (a mapping) or of several (rows of the same keys).
Section = Mapping[str, Any] | Sequence[Mapping[str, Any]]

_log = Logger()
_STATM = "/proc/self/statm"


def overview(
    instance: IInstance,
    urls: Sequence[str],
    uptime: float,
    dispatcher: Dispatcher,
    connections: Section,
) -> dict[str, Section]:
    """Return the sections of the status page by title: those of plugins stand before the list of plugins.

    ``uptime`` is in seconds, ``connections`` the section on those of clients. Called in the reactor thread.
    """
    calls = dispatcher.statistics()
    cache = calls.pop("cache")
    sections: dict[str, Section] = {
        "Server": _server(instance, urls, uptime),
        "Connections": connections,
        **({"Workers": _workers(instance.board)} if instance.config.server.processes > 1 else {}),
        "Apps": instance.executors.overview(),
        "Queues": instance.executors.queues(),
        "Calls": calls,
        "Result cache": {"state": "off"} if cache is None else cache,
        "Clusters": [row for cluster in dispatcher.clusters() for row in _members(cluster)],
    }
    for given in instance.plugins.notify("skitai_status", instance=instance):
        sections.update(_checked(given))
    sections["Plugins"] = [
        {"name": info.name, "from": info.origin, "state": info.state, "gives": ", ".join(info.names)}
        for info in instance.plugins.plugins()
    ]
    return sections


def _server(instance: IInstance, urls: Sequence[str], uptime: float) -> dict[str, Any]:
    return {
        "name": instance.config.server.name,
        "version": skitai.__version__,
        "addresses": ", ".join(urls),
        "process": str(os.getpid()),
        "uptime_seconds": round(uptime, 1),
        "memory_bytes": resident_bytes(),
        "cpu_seconds": round(sum(os.times()[:2]), 2),
        "python": platform.python_version(),
        "twisted": twisted.__version__,
        "reactor": type(instance.reactor).__name__,
        "cooperative": instance.config.server.cooperative,
    }


def _workers(board: Board) -> list[dict[str, Any]]:
    now = monotonic()
    return [
        {
            "worker": slot.number,
            "process": slot.pid,
            "state": State(slot.state).name.lower(),
            "generation": slot.generation,
            "uptime_seconds": round(now - slot.began, 1) if slot.began else None,
            "connections": slot.connections,
            "in_flight": slot.in_flight,
            "queued": slot.queued,
            "requests": slot.requests,
            "memory_bytes": slot.memory,
        }
        for slot in board.taken()
    ]


def resident_bytes() -> int:
    """Return the memory of the process; its peak if the system does not tell the present value."""
    try:
        with open(_STATM, encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _members(cluster: ClusterView) -> list[dict[str, Any]]:
    return [
        {
            "cluster": f"@{cluster.name}",
            "type": cluster.type,
            "member": member.label,
            "weight": member.weight,
            "state": member.state,
            "rests_for_seconds": member.rests_for or None,
            "in_flight": member.in_flight,
            "requests": member.requests,
            "failures": member.failures,
            "latency_seconds": member.latency,
        }
        for member in cluster.members
    ]


def _checked(given: object) -> dict[str, Section]:
    """Return the sections that a plugin gave. A wrong one is logged and left out."""
    if not isinstance(given, Mapping):
        _log.error("skitai_status returned {kind}, not a mapping", kind=type(given).__name__)
        return {}
    sections = {}
    for title, section in given.items():
        rows = [section] if isinstance(section, Mapping) else section
        if isinstance(rows, Sequence) and all(isinstance(row, Mapping) for row in rows):
            sections[str(title)] = section
        else:
            _log.error("skitai_status gave {title!r} neither a mapping nor a list of them", title=title)
    return sections
