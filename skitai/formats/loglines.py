"""What all logs share: how a moment is written, and that no text begins a line of its own."""

from __future__ import annotations

import re
from time import localtime, strftime

#: Whatever ends a line somewhere or steers a terminal; tabs stay.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


def stamp(moment: float) -> str:
    """Return seconds since the epoch as local time: ``2026.11.22 16:09:21``."""
    return strftime("%Y.%m.%d %H:%M:%S", localtime(moment))


def one_line(text: str) -> str:
    r"""Return ``text`` with its line ends and control characters escaped: ``\n``, ``\x1b``."""
    return _CONTROLS.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
