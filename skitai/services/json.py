"""``was.tojson`` and ``was.fromjson``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skitai.formats.jsontext import dumped, read_json
from skitai.plugins import hookimpl


def tojson(obj: Any) -> str:
    """Return ``obj`` as compact JSON; letters outside ASCII are not escaped.

    The ``node`` of a result is its label. Raises TypeError for an object that JSON cannot express, and
    ValueError for NaN and infinities, which it does not have (RFC 8259, 6). Called in any thread.
    """
    return dumped(obj, ensure_ascii=False)


def fromjson(text: str | bytes) -> Any:
    """Return the value of a JSON text; bytes are UTF-8, UTF-16 or UTF-32.

    Raises ValueError for a text that is not JSON. Called in any thread.
    """
    return read_json(text)


@hookimpl
def skitai_attributes() -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.tojson`` and ``was.fromjson``."""
    return {"tojson": lambda _was: tojson, "fromjson": lambda _was: fromjson}
