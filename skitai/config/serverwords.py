"""What the values of ``[server]`` may be, where that is said of no other section."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Any

from skitai.config.casters import integer, path, quoted, seconds
from skitai.config.forms import Caster, form, like
from skitai.config.machine import usable_cores

_AT_LEAST_ONE = integer(1)
#: The supervisor has places for twice as many: a worker and the one that replaces it both need one.
_PROCESSES_MAX = 128
#: Words that may follow the time of ``hsts`` (RFC 6797, section 6.1, and the list of browsers).
_HSTS_WORDS = {"includesubdomains": "includeSubDomains", "preload": "preload"}
_MAX_AGE = "max-age="


@form("name", "shop")
def instance_name(value: str) -> str:
    """Cast the name of a server, which is that of a folder, too."""
    if not value or "/" in value or value in {".", ".."}:
        raise ValueError(f"{quoted(value)} cannot name a folder for logs: use letters, digits, - and _")
    return value


@form("IP address or empty", "127.0.0.1")
def ip(value: str) -> str:
    """Cast an IP address; empty is all."""
    if not value:
        return ""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        message = f"{quoted(value)} is not an IP address such as 127.0.0.1; 0.0.0.0 or :: is all interfaces"
        raise ValueError(message) from None


@form("path, `-` or `off`", "/var/log/site/request.log")
def access_log(value: str) -> Path | str | None:
    """Cast a path, ``-`` or ``off``, which is None."""
    if value.lower() == "off":
        return None
    return "-" if value == "-" else path(value)


def show_access_log(value: Path | str | None) -> str:
    """Return what ``access_log`` casts."""
    return "off" if value is None else str(value)


@form("path or `-`", "/var/log/site/app.log")
def app_log(value: str) -> Path | str:
    """Cast a path or ``-``."""
    if value.lower() == "off":
        raise ValueError("cannot be off: give a path, or - for standard error")
    return "-" if value == "-" else path(value)


@form("1 to 128, or `auto`", "auto")
def processes(value: str) -> int:
    """Cast a number of workers, or ``auto``."""
    if value.lower() == "auto":
        return min(usable_cores(), _PROCESSES_MAX)
    try:
        count = int(_AT_LEAST_ONE(value))
    except ValueError as error:
        raise ValueError(f"{error}; auto takes one for each core") from None
    if count > _PROCESSES_MAX:
        raise ValueError(f"must be at most {_PROCESSES_MAX}, not {quoted(value)}: run several servers")
    return count


def or_off(cast: Caster) -> Caster:
    """Return a caster like ``cast`` that takes ``off``, too: 0."""
    return like(cast, lambda value: 0 if value.lower() == "off" else cast(value), "or `off`")


def show_or_off(show: Callable[[Any], str]) -> Callable[[Any], str]:
    """Return a function that shows 0 as ``off``, and all else as ``show`` does."""
    return lambda value: show(value) if value else "off"


@form("time and words, or `off`", "365 d; includeSubDomains")
def hsts(value: str) -> str | None:
    """Cast a time with words behind it, such as ``365 d; includeSubDomains``, to the value of the field."""
    if not value or value.lower() == "off":
        return None
    time, *words = (part.strip() for part in value.split(";"))
    if unknown := [word for word in words if word.lower() not in _HSTS_WORDS]:
        raise ValueError(f"{quoted(unknown[0])} is not includeSubDomains or preload")
    known = (_HSTS_WORDS[word.lower()] for word in words)
    return "; ".join((f"{_MAX_AGE}{int(seconds(time))}", *known))


def show_hsts(value: str | None) -> str:
    """Return what ``hsts`` casts."""
    return "off" if value is None else value.removeprefix(_MAX_AGE)


@form("0 or more, or `off`", "200")
def count_or_off(value: str) -> float:
    """Cast a number that may not be exceeded; infinite for ``off``: here 0 is a number, too."""
    return inf if value.lower() == "off" else int(integer(0)(value))


def show_count(value: float) -> str:
    """Return what ``count_or_off`` casts."""
    return "off" if value == inf else str(value)
