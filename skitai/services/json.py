"""``was.tojson`` and ``was.fromjson``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from skitai.plugins import hookimpl


def tojson(obj: Any) -> str:
    """Return ``obj`` as compact JSON; letters outside ASCII are not escaped.

    Raises TypeError for an object that JSON cannot express. Called in any thread.
    """
    return json.dumps(obj, ensure_ascii=False, separators=(",", ":"))


def fromjson(text: str | bytes) -> Any:
    """Return the value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Raises ValueError for a text that is not JSON. Called in any thread.
    """
    return json.loads(text)


@hookimpl
def skitai_attributes() -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.tojson`` and ``was.fromjson``."""
    return {"tojson": lambda _was: tojson, "fromjson": lambda _was: fromjson}
