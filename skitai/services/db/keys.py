"""What tells statements apart in the cache of results."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from skitai.services.db.query import Query

#: What stands for itself in a key, beside its type: 1 and True are equal, and kept apart.
_PLAIN = frozenset((str, bytes, int, bool, type(None)))


def cache_key(node: Hashable, query: Query) -> Hashable | None:
    """Return the key of a statement on ``node``, None for one whose result cannot be kept.

    It cannot for an ``executemany``, nor for parameters that cannot be compared.
    """
    if query.rows is not None:
        return None
    params = query.params
    if params is None:
        return node, query.sql
    if type(params) is tuple:
        kinds = tuple(map(type, params))
        if _PLAIN.issuperset(kinds):
            return node, query.sql, kinds, params
    try:
        return node, query.sql, _frozen(params)
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
    return kind, value, repr(value)  # 0.0 and -0.0 are equal, and Decimal("1.0") and Decimal("1.00")
