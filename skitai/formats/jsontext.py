"""JSON as it is read from strangers and written for them (RFC 8259)."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def read_json(text: str | bytes) -> Any:
    """Return what a JSON text says; raise ValueError for anything else.

    Python's own reader also takes NaN and Infinity, which are not JSON (section 6), and gives up on deep
    nesting with RecursionError.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deep") from error


def as_json(value: Any) -> bytes:
    """Return the JSON of ``value`` in as few bytes as it takes; raise TypeError or ValueError for none."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
