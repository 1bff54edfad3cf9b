"""What all logs share: the format of times, and escapes that keep a text on its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import tzinfo
from functools import lru_cache

from skitai.formats.zone import kept, local_time

#: Characters that end a line or control a terminal, except tabs.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

#: Characters of a stamp.
_STAMP_SIZE = 19

#: The lines of a traceback that Python does not indent: the headings, and ``module.Name: words``.
_FIRST_COLUMN = re.compile(
    r"Traceback \(most recent call last\):|During handling of |The above exception |[^\W\d][\w.<>]*(?:: .*)?$"
)


def stamp(moment: float) -> str:
    """Return seconds since the epoch as local time: ``2026.11.22 16:09:21``; see ``skitai.formats.zone``."""
    return _stamp(int(moment), kept())


def one_line(text: str) -> str:
    r"""Return ``text`` with its line ends and control characters escaped: ``\n``, ``\x1b``."""
    return _CONTROLS.sub(_escaped, text)


def about_request(request_id: str) -> str:
    """Return what a line about a request ends with, by which it is found; empty where there is no request."""
    return f" (request {request_id})" if request_id else ""


def moved_in(line: str) -> str:
    """Return a further line of a record, which cannot pass for the first of another."""
    return "  " + one_line(line)


def traceback_lines(printed: str) -> Iterator[str]:
    """Yield the lines of a traceback as Python prints it; words of an exception cannot pass for a record."""
    for line in printed.rstrip("\n").split("\n"):
        is_pythons = not line or line[0] == " " or _FIRST_COLUMN.match(line)
        yield one_line(line) if is_pythons else moved_in(line)


@lru_cache(1)  # most lines are of the second of the one before
def _stamp(second: int, _zone: tzinfo | None) -> str:
    return local_time(second).isoformat(" ")[:_STAMP_SIZE].replace("-", ".")


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
