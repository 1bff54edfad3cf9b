"""What plugins give to monitoring: figures by name, as Prometheus and OpenMetrics have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_COUNTED = "_total"

#: The values of the labels of one series, in the order of their names.
Labels = tuple[str, ...]


@attrs.frozen
class Metric:
    """One figure of a worker; those of all workers of a server are added up, or the ``lowest`` one counts.

    ``kind`` is ``counter`` for what only grows from the start on, its ``name`` ends in ``_total``; otherwise
    ``gauge``. A name has its unit in it, in the plural: seconds, bytes. ``help`` is a sentence.
    """

    kind: Literal["counter", "gauge"]
    name: str
    help: str
    labels: Labels
    values: Mapping[Labels, float]
    lowest: bool = False

    def __attrs_post_init__(self) -> None:
        for name in (self.name, *self.labels):
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a name for a metric or a label: use letters, digits and _")
        if (self.kind == "counter") != self.name.endswith(_COUNTED):
            raise ValueError(f"{self.name}: the names of counters end in {_COUNTED}, and no others")
        for values in self.values:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name}: {values!r} are not the values of {self.labels!r}")


def gauge(name: str, text: str, values: float | Mapping[Any, float], *labels: str) -> Metric:
    """Return a metric that goes up and down: ``gauge("rooms", "Rooms.", 3)``.

    With ``labels``, ``values`` are by the value of the label, or by the tuple of the values of all. Raises
    ValueError for names that cannot be.
    """
    return Metric("gauge", name, text, labels, _by_labels(values))


def counter(name: str, text: str, values: float | Mapping[Any, float], *labels: str) -> Metric:
    """Return a metric that only grows; see ``gauge``."""
    return Metric("counter", name, text, labels, _by_labels(values))


def lowest(name: str, text: str, values: float | Mapping[Any, float], *labels: str) -> Metric:
    """Return a gauge of which the lowest of all workers counts, such as a moment; see ``gauge``."""
    return Metric("gauge", name, text, labels, _by_labels(values), lowest=True)


def _by_labels(values: float | Mapping[Any, float]) -> dict[Labels, float]:
    if not isinstance(values, Mapping):
        return {(): values}
    return {(label,) if isinstance(label, str) else label: value for label, value in values.items()}
