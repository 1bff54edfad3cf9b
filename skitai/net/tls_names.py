"""Names of hosts in handshakes that ssl cannot decode: their tracebacks are not printed."""

from __future__ import annotations

import sys
from typing import Any


def quieten() -> None:
    """Have names that are not ASCII end their handshakes in silence.

    ssl decodes the name before it calls anybody, and where that fails prints a traceback
    (``sys.unraisablehook``): a client could fill the log. All other exceptions go to the hook of before.
    """
    if not isinstance(sys.unraisablehook, _Quiet):
        sys.unraisablehook = _Quiet(sys.unraisablehook)


class _Quiet:
    def __init__(self, before: Any) -> None:
        self._before = before

    def __call__(self, unraisable: Any) -> None:
        # What ssl blames is the name itself. Nothing else that fails so is bytes.
        is_name = isinstance(unraisable.object, bytes)
        if not (is_name and isinstance(unraisable.exc_value, UnicodeDecodeError)):
            self._before(unraisable)
