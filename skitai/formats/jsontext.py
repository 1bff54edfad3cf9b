"""Strict JSON (RFC 8259)."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from skitai.interfaces import INode


class NumberError(ValueError):
    """A number that Python reads and that cannot be sent back: JSON does not have it."""


class NumberRangeError(NumberError):
    """A number of JSON that no float can hold."""


def read_json(text: str | bytes, *, finite: bool = False) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything else.

    Python's own reader also accepts NaN and Infinity (which section 6 forbids), and raises RecursionError for
    deep nesting. It reads 1e999 as infinity, which could not be written again: with ``finite``, that is
    refused, too, as a NumberRangeError.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite_float if finite else None
        )
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error


def as_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON; a node, such as that of a result, becomes its label.

    Raises TypeError or ValueError for values that JSON does not have.
    """
    text = json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_label_of_node
    )
    return text.encode("utf-8", "surrogatepass")


def _label_of_node(value: Any) -> str:
    if INode.providedBy(value):
        label: str = value.label
        return label
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _refuse_constant(name: str) -> NoReturn:
    raise NumberError(f"{name} is not JSON")


def _finite_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise NumberRangeError(f"{text if len(text) < 40 else 'a number'} is too large for a float")
    return number
