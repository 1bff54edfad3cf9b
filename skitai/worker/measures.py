"""The figures of a running worker, for monitoring."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

import skitai
from skitai.plugins.metrics import Labels, Metric, counter, gauge

if TYPE_CHECKING:
    from skitai.calls.clusterview import ClusterView
    from skitai.calls.dispatch import Dispatcher
    from skitai.interfaces import IInstance
    from skitai.loop.executors import Executors

_log = Logger()

_STATES = ("up", "resting", "probing")


def measures(instance: IInstance, dispatcher: Dispatcher, own: Iterable[Metric]) -> list[Metric]:
    """Return the figures of ``instance`` and of its plugins, with its ``own``. Reactor thread."""
    version = (skitai.__version__, platform.python_version())
    found = [
        gauge("skitai_info", "Workers by what they run.", {version: 1}, "version", "python"),
        *own,
        *_executors(instance.executors),
        *_lines(instance.executors),
        *_calls(dispatcher.statistics()),
        *_clusters(dispatcher.clusters()),
    ]
    return found + given_by_plugins(instance, "skitai_metrics")


def given_by_plugins(instance: IInstance, hook: str) -> list[Metric]:
    """Return the figures that plugins give by ``hook``. Reactor thread."""
    found: list[Metric] = []
    for given in instance.plugins.notify(hook, instance=instance):
        if isinstance(given, Sequence) and all(isinstance(metric, Metric) for metric in given):
            found += given
        else:
            _log.error("{hook} returned {given!r}, not a list of Metric", hook=hook, given=given)
    return found


def _executors(executors: Executors) -> Iterator[Metric]:
    rows = {", ".join(names): executor.statistics() for executor, names in executors.mounts.items() if names}
    for name, text in (
        ("running", "Requests and other tasks that run where the apps of these mounts do."),
        ("queued", "Tasks that wait for a thread or greenlet."),
        ("threads", "Threads of these mounts."),
    ):
        values: dict[str | Labels, float] = {mounts: row[name] for mounts, row in rows.items() if name in row}
        yield gauge(f"skitai_executor_{name}", text, values, "mounts")


def _lines(executors: Executors) -> Iterator[Metric]:
    lines = executors.lines()
    sums: dict[str, Counter[str | Labels]] = {name: Counter() for name in ("queued", "begun", "waited")}
    refused: Counter[str | Labels] = Counter()
    for line in lines:  # several hosts may have mounts at one path
        for name, values in sums.items():
            values[line.name] += getattr(line, name)
        refused.update({(line.name, reason): getattr(line, reason) for reason in ("full", "late", "left")})
    yield gauge("skitai_queue_length", "Requests that wait for their turn.", sums["queued"], "mount")
    yield counter("skitai_queue_begun_total", "Requests whose turn has come.", sums["begun"], "mount")
    yield counter(
        "skitai_queue_wait_seconds_total", "How long these had waited in all.", sums["waited"], "mount"
    )
    yield counter(
        "skitai_queue_refused_total",
        "Requests that were not begun: full, late, or their clients had left.",
        refused,
        *("mount", "reason"),
    )


def _calls(calls: dict[str, Any]) -> Iterator[Metric]:
    yield gauge("skitai_calls_in_flight", "Calls to other machines under way.", calls["in_flight"])
    yield gauge("skitai_calls_queued", "Calls that wait, because calls_max are under way.", calls["queued"])
    yield counter(
        "skitai_calls_coalesced_total", "Calls that shared the request of another.", calls["coalesced"]
    )
    cache = calls["cache"]
    if cache is None:
        return
    yield gauge("skitai_result_cache_entries", "Results in the cache.", cache["entries"])
    for name in cache.keys() - {"entries"}:
        text = f"{name.replace('_', ' ').capitalize()} of the result cache."
        yield counter(f"skitai_result_cache_{name}_total", text, cache[name])


def _clusters(clusters: Iterable[ClusterView]) -> Iterator[Metric]:
    members = [
        ((f"@{cluster.name}", member.label), member) for cluster in clusters for member in cluster.members
    ]
    states: Counter[str | Labels] = Counter()
    for labels, member in members:
        states.update({(*labels, state): state == member.state for state in _STATES})
    sums: dict[str, Counter[str | Labels]] = {
        name: Counter() for name in ("in_flight", "requests", "failures")
    }
    for labels, member in members:  # one address may be a member twice
        for name, values in sums.items():
            values[labels] += getattr(member, name)
    names = ("cluster", "member")
    yield gauge("skitai_cluster_members", "Workers that see a member in a state.", states, *names, "state")
    yield gauge("skitai_cluster_in_flight", "Requests to a member under way.", sums["in_flight"], *names)
    yield counter("skitai_cluster_requests_total", "Requests to a member.", sums["requests"], *names)
    yield counter("skitai_cluster_failures_total", "Failures of a member.", sums["failures"], *names)
