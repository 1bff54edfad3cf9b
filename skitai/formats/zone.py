"""The time zone of the logs: that in which the process was started, whatever an app makes of it.

Django sets TZ when its settings are loaded, and calls ``time.tzset()``. From then on the library's local time
is another one, in the whole process and in the programs that it becomes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from datetime import UTC, date, datetime, time, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

_VARIABLE = "TZ"
#: What says which zone a machine has (tzfile(5)); without it, it has UTC.
_OF_MACHINE = Path("/etc/localtime")


class _Kept:
    """What ``keep`` has found: the ``variable`` and the ``zone``, which is None if nothing is kept."""

    variable: str | None = None
    zone: tzinfo | None = None


def keep(environ: Mapping[str, str] = os.environ) -> None:
    """Have ``local_time`` keep the zone that the process has now. Called before anything of an app is loaded.

    A rule (``CET-1CEST,M3.5.0,M10.5.0``) is known to the system's library only, so it is not kept.
    """
    _Kept.variable = environ.get(_VARIABLE)
    _Kept.zone = _zone(_Kept.variable)


def forget() -> None:
    """Undo ``keep``."""
    _Kept.variable = _Kept.zone = None


def restore(environ: MutableMapping[str, str]) -> None:
    """Put what ``keep`` has found into ``environ``, for a program that takes the place of this one."""
    if _Kept.zone is None:
        return
    if _Kept.variable is None:
        environ.pop(_VARIABLE, None)
    else:
        environ[_VARIABLE] = _Kept.variable


def kept() -> tzinfo | None:
    """Return the zone that ``keep`` has found; None if nothing is kept."""
    return _Kept.zone


def local_time(moment: float) -> datetime:
    """Return ``moment``, in seconds since the epoch, in the zone of the logs."""
    zone = _Kept.zone
    return (
        datetime.fromtimestamp(moment).astimezone() if zone is None else datetime.fromtimestamp(moment, zone)
    )


def midnight(day: date) -> float:
    """Return the beginning of ``day`` in the zone of the logs, in seconds since the epoch."""
    return datetime.combine(day, time(), _Kept.zone).timestamp()


def left(moment: float) -> tuple[str, str] | None:
    """Return the offsets (``+0100``) of the logs and of an app that has set another zone, or None."""
    ours, theirs = local_time(moment), datetime.fromtimestamp(moment).astimezone()
    return None if ours.utcoffset() == theirs.utcoffset() else (f"{ours:%z}", f"{theirs:%z}")


def _zone(name: str | None) -> tzinfo | None:
    """Return the zone that TZ names as ``name`` (tzset(3)); None if it is none that can be read."""
    if name == "":
        return UTC
    path = _OF_MACHINE if name is None else Path(name.removeprefix(":"))
    try:
        if not path.is_absolute():
            return ZoneInfo(str(path))
        with path.open("rb") as file:
            return ZoneInfo.from_file(file)
    except FileNotFoundError:
        return UTC if name is None else None
    except (OSError, ValueError, LookupError):  # it is a rule, or a file of another kind
        return None
