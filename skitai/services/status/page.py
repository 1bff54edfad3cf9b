"""The status page: the state of a worker, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

_UNITS = ("B", "KB", "MB", "GB", "TB")
_STEP = 1024
#: Numbers that count nothing.
_IDS = frozenset({"process"})
_SPANS = ((86400, "d"), (3600, "h"), (60, "min"))


def status_page(name: str, sections: Mapping[str, Any]) -> str:
    """Return the HTML page of the sections, as ``IInstance.status`` gives them. Called in any thread."""
    return _template().render(name=name, sections=sections)


def label(key: str) -> str:
    """Return the label of a key: ``memory`` for ``memory_bytes``, because the value shows its unit."""
    return key.removesuffix("_bytes").removesuffix("_seconds").replace("_", " ")


def shown(key: str, value: Any) -> str:
    """Return the text of a value; the end of its key says which unit it has."""
    if value is None or value == "":
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes"):
        return _size(value)
    if key.endswith("_seconds"):
        return _duration(value)
    return f"{value:,}" if isinstance(value, int) and key not in _IDS else str(value)


def number_columns(rows: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the keys that have a number in some row: their columns are aligned as numbers."""
    return {key for row in rows for key, value in row.items() if isinstance(value, int | float)}


def _size(value: float) -> str:
    for unit in _UNITS:
        if value < _STEP or unit == _UNITS[-1]:
            break
        value /= _STEP
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    for span, unit in _SPANS:
        if seconds >= span:
            smaller = {"d": (3600, "h"), "h": (60, "min"), "min": (1, "s")}[unit]
            return f"{seconds // span:.0f} {unit} {seconds % span // smaller[0]:.0f} {smaller[1]}"
    return f"{seconds:.1f} s"


@cache
def _template() -> Template:
    # Imported here, so that a worker that shows no status does not load jinja2.
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("skitai.services.status", ""), autoescape=True, trim_blocks=True
    )
    environment.filters.update(label=label)
    environment.globals.update(shown=shown, number_columns=number_columns)
    return environment.get_template("page.html")
