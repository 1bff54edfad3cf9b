"""What all logs share: the format of times, and escapes that keep a text on its line."""

from __future__ import annotations

import re
from time import localtime, strftime

#: Characters that end a line or control a terminal, except tabs.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def stamp(moment: float) -> str:
    """Return seconds since the epoch as local time: ``2026.11.22 16:09:21``."""
    return strftime("%Y.%m.%d %H:%M:%S", localtime(moment))


def one_line(text: str) -> str:
    r"""Return ``text`` with its line ends and control characters escaped: ``\n``, ``\x1b``."""
    return _CONTROLS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
