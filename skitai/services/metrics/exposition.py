"""Writes sums as text: the format of Prometheus, version 0.0.4, and OpenMetrics, version 1.0.0.

https://prometheus.io/docs/instrumenting/exposition_formats/
https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from skitai.processes.reports import Report

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_COUNTED = "_total"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def label_text(names: Sequence[str], values: Sequence[str]) -> str:
    """Return the labels of a series as both formats write them, without the braces."""
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)
    )


def write(report: Report, *, openmetrics: bool) -> bytes:
    """Return the text of a report."""
    lines: list[str] = []
    for name, (kind, text, bounds, series) in sorted(report.items()):
        if not series:
            continue
        # To OpenMetrics, _total belongs to the sample and not to the name.
        family = name.removesuffix(_COUNTED) if openmetrics and kind == "counter" else name
        lines += [f"# HELP {family} {text.translate(_ESCAPES)}", f"# TYPE {family} {kind}"]
        for labels, value in sorted(series.items()):
            if kind == "histogram":
                lines += _histogram(name, labels, bounds, value)
            else:
                lines.append(_sample(name, labels, value))
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines).encode()


def _histogram(name: str, labels: str, bounds: Sequence[float], cell: Sequence[Any]) -> Iterator[str]:
    *counts, total = cell
    comma = "," if labels else ""
    below = list(accumulate(counts))
    for bound, count in zip((*map(float, bounds), "+Inf"), below, strict=True):
        yield _sample(f"{name}_bucket", f'{labels}{comma}le="{bound}"', count)
    yield _sample(f"{name}_count", labels, below[-1])
    yield _sample(f"{name}_sum", labels, total)


def _sample(name: str, labels: str, value: float) -> str:
    return f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"


def wants_openmetrics(accept: str) -> bool:
    """Return whether a client that sent ``accept`` (RFC 9110, section 12.5.1) prefers OpenMetrics.

    Its version 1.0.0 is what we write; a client that names only another one gets the other format.
    """
    best = {"text/plain": 0.0, "application/openmetrics-text": 0.0}
    for item in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in item.split(";"))
        named = dict(parameter.partition("=")[::2] for parameter in parameters)
        if kind in best and named.get("version", "1.0.0") in ("0.0.4", "1.0.0"):
            best[kind] = max(best[kind], _weight(named.get("q", "1")))
    return best["application/openmetrics-text"] > best["text/plain"]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
