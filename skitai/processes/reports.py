"""Reports of workers as numbers that can be summed: metrics by name, each with its series.

A report is JSON, so that releases on different Pythons understand each other: ``{name: [kind, help, bounds,
{labels: value}]}``. ``kind`` is ``counter``, ``gauge`` or ``histogram``. ``labels`` are those of one series,
as the text format of Prometheus writes them. A value is a number; that of a histogram is a list, the counts
below each of ``bounds`` and above the last one, and the sum of what was observed. A gauge of which the lowest
counts has LOWEST as its ``bounds``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import add
from typing import Any

Report = dict[str, list[Any]]

_GAUGE = "gauge"
LOWEST = ["lowest"]


def encode(report: Report) -> bytes:
    """Return the bytes of a report."""
    return json.dumps(report, separators=(",", ":")).encode()


def decode(data: bytes) -> Report:
    """Return the report of some bytes; an empty one for what is none, such as that of another release."""
    try:
        report = json.loads(data or b"{}")
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def add_up(reports: Iterable[Report]) -> Report:
    """Return the sums of ``reports``; of metrics that differ in kind or bounds, the first counts."""
    sums: Report = {}
    for report in reports:
        for name, (kind, text, bounds, series) in report.items():
            metric = sums.setdefault(name, [kind, text, bounds, {}])
            if metric[0] == kind and metric[2] == bounds:
                _add(metric[3], series, min if bounds == LOWEST else add)
    return sums


def _add(sums: dict[str, Any], series: dict[str, Any], join: Callable[[Any, Any], Any]) -> None:
    for labels, value in series.items():
        if labels not in sums:
            sums[labels] = value
        elif isinstance(value, list):
            sums[labels] = [one + other for one, other in zip(sums[labels], value, strict=True)]
        else:
            sums[labels] = join(sums[labels], value)


def fold(retired: bytes, last: bytes, size_max: int) -> bytes:
    """Return the counts of ``retired`` and ``last`` together: what stays of workers that are gone.

    If that is longer than ``size_max`` bytes, only what ``last`` counted is kept: the rest may be of routes
    that the config no longer has.
    """
    kept = [_counts(decode(last)), decode(retired)]
    sums = encode(add_up(kept))
    if len(sums) <= size_max:
        return sums
    known = {name: metric[3].keys() for name, metric in kept[0].items()}
    for name, metric in kept[1].items():
        metric[3] = {labels: value for labels, value in metric[3].items() if labels in known.get(name, ())}
    return encode(add_up(kept))


def _counts(report: Report) -> Report:
    return {name: metric for name, metric in report.items() if metric[0] != _GAUGE}
