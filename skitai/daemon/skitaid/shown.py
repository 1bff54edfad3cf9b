"""How ``skitaid status`` and ``skitaid top`` look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_COLUMNS = {
    "name": "NAME",
    "state": "STATE",
    "pid": "PID",
    "workers": "WORKERS",
    "uptime": "UPTIME",
    "memory": "MEMORY",
    "requests_per_second": "REQ/S",
    "connections": "CONNECTIONS",
    "queued": "QUEUED",
    "restarts": "RESTARTS",
}
_LEFT = ("name", "state")
_MB = 1 << 20


def table(answer: Mapping[str, Any]) -> str:
    """Return the answer to the command ``status`` as a table."""
    rows = [[_shown(name, child.get(name)) for name in _COLUMNS] for child in answer["children"]]
    lines = [list(_COLUMNS.values()), *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    head = f"skitaid (pid {answer['pid']}) runs since {duration(answer['uptime'])}"
    return "\n".join([head, "", *(_line(line, widths) for line in lines), ""])


def _line(cells: list[str], widths: list[int]) -> str:
    padded = [
        cell.ljust(width) if name in _LEFT else cell.rjust(width)
        for name, cell, width in zip(_COLUMNS, cells, widths, strict=True)
    ]
    return "  ".join(padded).rstrip()


def _shown(name: str, value: Any) -> str:
    if value is None:
        return "-"
    forms: dict[str, Callable[[Any], str]] = {
        "uptime": duration,
        "memory": lambda size: f"{size / _MB:.1f} MB",
        "requests_per_second": lambda rate: f"{rate:.1f}",
    }
    return forms.get(name, str)(value)


def duration(seconds: float) -> str:
    """Return seconds in the two largest units: ``3 d 4 h``, ``12 min 5 s``, ``7 s``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while len(parts) > 1 and not parts[0][0]:
        parts.pop(0)
    return " ".join(f"{number} {unit}" for number, unit in parts[:2])
