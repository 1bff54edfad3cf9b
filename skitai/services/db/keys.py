"""What tells statements apart in the cache of results."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from skitai.services.db.query import Query

#: What stands for itself in a key. Equal values of different types, such as 1 and True, are kept apart.
_PLAIN = (str, bytes, int, float, complex, bool, type(None))


def cache_key(node: Hashable, query: Query) -> Hashable | None:
    """Return the key of a statement on ``node``, None for one whose result cannot be kept.

    It cannot for an ``executemany``, nor for parameters that cannot be compared.
    """
    if query.rows is not None:
        return None
    try:
        return node, query.sql, None if query.params is None else _frozen(query.params)
    except TypeError:
        return None


def _frozen(value: Any) -> Hashable:
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if isinstance(value, Mapping):
        return kind, tuple((key, _frozen(item)) for key, item in value.items())
    if isinstance(value, Sequence):
        return kind, tuple(map(_frozen, value))
    hash(value)  # raises TypeError, as a set would
    return kind, value
