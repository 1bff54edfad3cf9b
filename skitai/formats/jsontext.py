"""Strict JSON (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything else.

    Python's own reader also accepts NaN and Infinity (which section 6 forbids), and raises RecursionError for
    deep nesting.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error


def as_json(value: Any) -> bytes:
    """Return ``value`` as compact JSON. Raises TypeError or ValueError for values that JSON does not have."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
