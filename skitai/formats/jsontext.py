"""Strict JSON (RFC 8259)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from skitai.interfaces import INode

#: Python reads whole numbers of so many digits, whatever its limit is (640 is the lowest).
_DIGITS_SURE = 640


class NumberError(ValueError):
    """A number that Python reads and that cannot be sent back: JSON does not have it."""


class NumberRangeError(NumberError):
    """A number of JSON that no float can hold."""


def read_json(text: str | bytes, *, finite: bool = False) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything else.

    Python's own reader also accepts NaN and Infinity (which section 6 forbids), and raises RecursionError for
    deep nesting. It reads 1e999 as infinity, which could not be written again: with ``finite``, that is
    refused, too, as a NumberRangeError. A whole number of thousands of digits is always a NumberError: Python
    reads it in a time that grows with their square, and so refuses it (``sys.set_int_max_str_digits``).
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite_float if finite else None,
            parse_int=_short_int if len(text) > _DIGITS_SURE else None,
        )
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error


def as_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON in UTF-8; a node, such as that of a result, becomes its label.

    Half of a surrogate pair, which UTF-8 cannot hold, makes it ASCII: it is escaped as it came (section 8.2).
    Raises TypeError or ValueError for values that JSON does not have.
    """
    try:
        return dumped(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return dumped(value, ensure_ascii=True).encode()


def dumped(value: Any, *, ensure_ascii: bool) -> str:
    """Return ``value`` as ``as_json`` does, but as text. Raises TypeError or ValueError."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, separators=(",", ":"), allow_nan=False, default=_label_of_node
    )


def _label_of_node(value: Any) -> str:
    if INode.providedBy(value):
        label: str = value.label
        return label
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _refuse_constant(name: str) -> NoReturn:
    raise NumberError(f"{name} is not JSON")


def _short_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise NumberError("a number has too many digits") from None


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberRangeError(f"{text if len(text) < 40 else 'a number'} is too large for a float")
    return number
