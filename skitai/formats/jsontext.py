"""JSON as Saddle writes it, in answers and in cookies."""

from __future__ import annotations

import json
from typing import Any


def as_json(value: Any) -> bytes:
    """Return the JSON of ``value`` in as few bytes as it takes; raise TypeError or ValueError for none."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "surrogatepass")
