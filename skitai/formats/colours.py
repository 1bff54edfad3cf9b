"""Colours for people who read a log on a terminal (ECMA-48, SGR)."""

from __future__ import annotations

import os
import re
from typing import Any

_RESET = "\x1b[0m"
_BOLD_RED, _RED, _YELLOW, _DIM = "\x1b[1;31m", "\x1b[31m", "\x1b[33m", "\x1b[2m"
#: The colours of levels; those of all other words in their place are none.
_OF_LEVELS = {
    "critical": _BOLD_RED,
    "error": _RED,
    "expt": _RED,
    "warn": _YELLOW,
    "warning": _YELLOW,
    "debug": _DIM,
}
_LEVEL = re.compile(r"([0-9.]+ [0-9:]+ )(\[([a-z]+)[^\]\n]*\].*)")
#: The status in a line of the access log, in any of its formats.
_STATUS = re.compile(r' HTTP/\S+ ([45])\d\d |"status": ([45])\d\d,')


def wants_colours(stream: Any) -> bool:
    """Return whether ``stream`` is a terminal that shows colours, and nobody has set NO_COLOR."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    isatty = getattr(stream, "isatty", None)
    try:
        return isatty is not None and bool(isatty())
    except ValueError:  # it is closed
        return False


def coloured(text: str) -> str:
    """Return a record of a log, one line or more, its first line in the colour of its level."""
    found = _LEVEL.match(text)
    colour = found and _OF_LEVELS.get(found[3])
    if not (found and colour):
        return text
    return f"{found[1]}{colour}{found[2]}{_RESET}{text[found.end() :]}"


def coloured_access(line: str) -> str:
    """Return a line of the access log in the colour of its status."""
    found = _STATUS.search(line)
    if found is None:
        return line
    colour = _RED if "5" in (found[1], found[2]) else _YELLOW
    return f"{colour}{line}{_RESET}"
