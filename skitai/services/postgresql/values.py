"""Values on their way to PostgreSQL and back, beyond what psycopg2 converts by itself.

psycopg2's registers are shared with the app's own use of it, so nothing is added to them: parameters are
wrapped one by one, and each connection is told the types of its results.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg2 import BINARY
from psycopg2.extensions import new_array_type, new_type, register_type
from psycopg2.extras import Json, UUID_adapter

from skitai.services.db.query import Params

#: What psycopg2 converts by itself, and what comes most.
_PLAIN = frozenset(
    {int, str, type(None), float, bool, bytes, Decimal, datetime.date, datetime.datetime, datetime.time}
    | {datetime.timedelta}
)


def adapted(params: Params | None) -> Any:
    """Return ``params`` for psycopg2: with dicts as JSON and UUIDs as such, in lists, too."""
    if params is None:
        return None
    # Asking for a Mapping takes longer than all the rest.
    for value in params if type(params) is tuple else _values(params):
        if type(value) not in _PLAIN:
            break
    else:
        return params
    if isinstance(params, Mapping):
        return {name: _adapted(value) for name, value in params.items()}
    return tuple(map(_adapted, params))


def _values(params: Params) -> Iterable[Any]:
    return params.values() if isinstance(params, Mapping) else params


def _adapted(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if isinstance(value, dict):
        return Json(value)
    if isinstance(value, UUID):
        return UUID_adapter(value)
    if type(value) in (list, tuple):
        return type(value)(map(_adapted, value))
    return value


def _to_bytes(text: str | None, cursor: Any) -> bytes | None:
    return None if text is None else bytes(BINARY(text, cursor))


def _to_uuid(text: str | None, cursor: Any) -> UUID | None:  # noqa: ARG001 - psycopg2's signature
    return None if text is None else UUID(text)


_BYTEA = new_type((17,), "BYTEA", _to_bytes)
_UUID = new_type((2950,), "UUID", _to_uuid)
_TYPES = (
    _BYTEA,
    new_array_type((1001,), "BYTEA[]", _BYTEA),
    _UUID,
    new_array_type((2951,), "UUID[]", _UUID),
)


def register_types(connection: Any) -> None:
    """Have results on a connection of psycopg2 give bytes for bytea, and UUIDs."""
    for kind in _TYPES:
        register_type(kind, connection)
