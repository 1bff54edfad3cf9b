"""Casters turn the text of a value into a typed one, or raise ValueError with the problem and the fix.

The ``show_*`` functions go the other way, for ``twist skitai --check``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from skitai.config.forms import Caster, Form, form, like
from skitai.net.addresses import name_for_dns
from skitai.net.trust import UNIX, Network

_SECONDS = {"": 1.0, "s": 1.0, "ms": 0.001, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
# The digits are limited, so that no number overflows and int() refuses none for its length.
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?[0-9]{1,15}(\.[0-9]{1,15})?")
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,15})?)\s*([A-Za-z]*)")
_LONGEST_SHOWN = 60


def quoted(value: str) -> str:
    """Return a value from the file as a message shows it: in quotes, and cut where it is long."""
    return repr(value if len(value) <= _LONGEST_SHOWN else f"{value[:_LONGEST_SHOWN]}...")


@form("text", "words")
def text(value: str) -> str:
    """Cast any text but an empty one."""
    if not value:
        raise ValueError("needs a value")
    return value


def integer(minimum: int, maximum: int | None = None) -> Caster:
    """Return a caster for whole numbers from ``minimum`` to ``maximum``, both included."""
    span = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def cast(value: str) -> int:
        if _INTEGER.fullmatch(value):
            number = int(value)
            if number >= minimum and (maximum is None or number <= maximum):
                return number
        raise ValueError(f"must be a whole number {span}, not {quoted(value)}")

    words = f"{minimum} or more" if maximum is None else f"{minimum} to {maximum}"
    return Form(cast, words, str(max(minimum, 10) if maximum is None else min(max(minimum, 10), maximum)))


@form("number", "1.5")
def number(value: str) -> float:
    """Cast a decimal number, such as ``-1.5``."""
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"must be a number such as 1.5, not {quoted(value)}")
    return float(value)


@form("yes or no", "yes")
def yes_no(value: str) -> bool:
    """Cast ``yes`` or ``no``, in any case of letters."""
    try:
        return {"yes": True, "no": False}[value.lower()]
    except KeyError:
        raise ValueError(f"must be yes or no, not {quoted(value)}") from None


@form("size", "10 MB")
def size(value: str) -> int:
    """Cast a number of bytes, such as ``5 MB``; 1 KB is 1024 bytes."""
    match = _AMOUNT.fullmatch(value)
    if not match or match.group(2).upper() not in _BYTES:
        raise ValueError(f"must be a number of bytes, or one with KB, MB or GB, not {quoted(value)}")
    return int(float(match.group(1)) * _BYTES[match.group(2).upper()])


@form("time", "30 s")
def seconds(value: str) -> float:
    """Cast a time, such as ``10``, ``1.5 s`` or ``5 min``."""
    match = _AMOUNT.fullmatch(value)
    if not match or match.group(2).lower() not in _SECONDS:
        raise ValueError(f"must be a number of seconds, or one with ms, s, min, h or d, not {quoted(value)}")
    return float(match.group(1)) * _SECONDS[match.group(2).lower()]


def one_of(*choices: str) -> Caster:
    """Return a caster that takes the ``choices`` and nothing else."""

    def cast(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {quoted(value)}")
        return value

    return Form(cast, _either(choices), choices[-1])


def _either(choices: Sequence[str]) -> str:
    *others, last = (f"`{choice}`" for choice in choices)
    return " or ".join(filter(None, (", ".join(others), last)))


@form("path", "/srv/site/FILE")
def path(value: str) -> Path:
    """Cast a path. When the section is read, a relative path is taken from the folder of the file."""
    if not value:
        raise ValueError("needs a path")
    return Path(value)


@form("list", "a, b")
def comma_list(value: str) -> tuple[str, ...]:
    """Cast a list with commas, such as ``a, b``; empty items are left out."""
    return tuple(item for item in map(str.strip, value.split(",")) if item)


@form("list of addresses, networks and `unix`; or `none`", "127.0.0.1, 10.0.0.0/8")
def networks(value: str) -> tuple[Network | str, ...]:
    """Cast a list of addresses and networks, such as 10.0.0.0/8; ``unix`` stands for Unix sockets."""
    if value.lower() == "none":
        return ()
    return tuple(_network(item) for item in comma_list(value))


def show_networks(value: Sequence[Network | str]) -> str:
    """Return such a list as ``--check`` shows it."""
    return ", ".join(map(str, value)) or "none"


def dns_name(written: str) -> str:
    """Return the name of a host as ``name_for_dns`` has it; empty for what is none there."""
    try:
        return name_for_dns(written)
    except ValueError:
        return ""


def _network(item: str) -> Network | str:
    if item == UNIX:
        return item
    try:
        return ip_network(item)
    except ValueError:
        raise ValueError(
            f"{quoted(item)} is not an address, a network such as 10.0.0.0/8, or {UNIX}"
        ) from None


def optional(cast: Caster) -> Caster:
    """Return ``cast`` with None for an empty value."""
    return like(cast, lambda value: cast(value) if value else None, "or empty")


def positive(cast: Caster) -> Caster:
    """Return ``cast``, for a number or an amount, with values of 0 and less refused."""

    def cast_positive(value: str) -> Any:
        result = cast(value)
        if result <= 0:
            raise ValueError(f"must be more than 0, not {quoted(value)}")
        return result

    return like(cast, cast_positive, "above 0")


def show_value(value: Any) -> str:
    """Return a typed value in the form of the file."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def show_size(value: int) -> str:
    """Return a number of bytes with the largest unit that divides it."""
    unit = next(unit for unit in ("GB", "MB", "KB", "B") if value % _BYTES[unit] == 0) if value else "B"
    return f"{value // _BYTES[unit]} {unit}"


def show_secret(value: Any) -> str:
    """Return stars for a secret, and nothing for none."""
    return "****" if value else ""
