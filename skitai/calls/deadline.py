"""Time-outs: the default, and the check of a number of seconds."""

from __future__ import annotations

#: The default time-out of ``getwait`` in seconds, counted from the creation of the call.
DEFAULT_TIMEOUT = 5.0
_NUMBERS = (int, float)


def checked_seconds(name: str, value: float) -> float:
    """Return ``value``; raise TypeError or ValueError naming the argument unless it is a number."""
    if not isinstance(value, _NUMBERS):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if value != value:  # NaN alone differs from itself
        raise ValueError(f"{name} must be a number of seconds, not {value!r}")
    return value


def check_timeout(timeout: float | None) -> None:
    """Raise TypeError or ValueError for a ``timeout`` that is neither a number nor None."""
    if timeout is not None:
        checked_seconds("timeout", timeout)
