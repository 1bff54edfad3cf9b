"""How long apps wait: the default, and what cannot be a number of seconds."""

from __future__ import annotations

#: Seconds that ``getwait`` waits unless told otherwise, counted from the creation of the call.
DEFAULT_TIMEOUT = 5.0


def checked_seconds(name: str, value: float) -> float:
    """Return ``value``; raise TypeError or ValueError naming the argument unless it is a number."""
    if not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if value != value:  # NaN alone differs from itself
        raise ValueError(f"{name} must be a number of seconds, not {value!r}")
    return value
