"""Plain values as bytes and back: MessagePack (https://msgpack.org) with types of our own.

Nothing that is read can run code, so the bytes may come from a store that others can write.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgpack


def _delta_text(value: timedelta) -> str:
    return f"{value.days} {value.seconds} {value.microseconds}"


def _delta_of(text: str) -> timedelta:
    return timedelta(*map(int, text.split(" ", 2)))


#: By code: the type, how it is written as text, and how it is read.
_TYPES: dict[int, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    2: (datetime, datetime.isoformat, datetime.fromisoformat),
    3: (date, date.isoformat, date.fromisoformat),
    4: (time, time.isoformat, time.fromisoformat),
    5: (timedelta, _delta_text, _delta_of),
    6: (Decimal, str, Decimal),
    7: (UUID, str, UUID),
    8: (int, str, int),  # one of more than 64 bits
}
_CODES = {kind: code for code, (kind, _, _) in _TYPES.items()}
_TUPLE = 1


def to_bytes(value: Any) -> bytes:
    """Return ``value`` as bytes: None, bool, numbers, str, bytes, lists, tuples, dicts, times, UUIDs.

    Dicts of any class become dicts. Raises TypeError or ValueError for anything else, also within.
    """
    try:
        packed: bytes = msgpack.packb(value, default=_pack, strict_types=True)
    except (OverflowError, RecursionError, UnicodeError) as error:
        raise ValueError(f"it cannot be written as plain values: {error}") from error
    return packed


def from_bytes(data: bytes) -> Any:
    """Return the value that ``to_bytes`` wrote. Raises ValueError for anything else."""
    try:
        return msgpack.unpackb(data, ext_hook=_unpack, strict_map_key=False)
    except (ArithmeticError, RecursionError, TypeError, msgpack.UnpackException) as error:
        raise ValueError(f"these are not plain values: {error}") from error


def _pack(value: Any) -> Any:
    kind = type(value)
    if kind is tuple:
        return msgpack.ExtType(_TUPLE, to_bytes(list(value)))
    if isinstance(value, dict):
        return dict(value)
    code = _CODES.get(kind)
    if code is None:
        raise TypeError(f"{kind.__qualname__} is no plain value")
    return msgpack.ExtType(code, _TYPES[code][1](value).encode())


def _unpack(code: int, data: bytes) -> Any:
    if code == _TUPLE:
        return tuple(from_bytes(data))
    if code not in _TYPES:
        raise ValueError(f"{code} is not the code of a type")
    return _TYPES[code][2](data.decode())
