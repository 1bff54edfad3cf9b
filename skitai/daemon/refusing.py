"""What cannot be served is said in one line, and the process exits."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

from skitai.errors import ConfigError, PluginError
from skitai.processes.orders import EXIT_CONFIG

T = TypeVar("T")


def _complain(reason: str) -> None:
    print(reason, file=sys.stderr)


def or_exit(action: Callable[[], T], complain: Callable[[str], None] = _complain) -> T:
    """Return what ``action()`` returns; for what cannot be served, ``complain`` and exit with status 2."""
    try:
        return action()
    except (ConfigError, PluginError) as error:
        complain(str(error))
        raise SystemExit(EXIT_CONFIG) from None
