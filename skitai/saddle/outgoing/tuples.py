"""The tuples that views may return as in Flask: the body with its status, header fields or both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from numbers import Number
from typing import Any, NamedTuple

from skitai.saddle.errors import status_line

_STATUS = re.compile(r"([2-5][0-9]{2}) (.+)")
_CODES = range(200, 600)


class Parts(NamedTuple):
    """What a tuple says: the body, the status line (None: as it is) and header fields."""

    body: Any
    status: str | None
    headers: tuple[tuple[str, str], ...]


def parts_of(value: Any) -> Parts | None:
    """Return the parts of ``(body, status)``, ``(body, headers)`` or ``(body, status, headers)``.

    A status is a number from 200 to 599 or a line such as ``"201 Created"``; header fields are a dict or
    pairs of text. Any other tuple is None: it is a value like a list. So are numbers, such as a point
    ``(200, 300)``, and named tuples.
    """
    if not isinstance(value, tuple) or len(value) not in (2, 3) or hasattr(value, "_fields"):
        return None
    body, *rest = value
    if isinstance(body, Number):
        return None
    if len(rest) == 2:
        status, headers = _status_of(rest[0], any_phrase=True), _headers_of(rest[1])
        return None if status is None or headers is None else Parts(body, status, headers)
    status = _status_of(rest[0], any_phrase=False)
    headers = () if status is not None else _headers_of(rest[0])
    return None if headers is None else Parts(body, status, headers)


def _status_of(value: Any, *, any_phrase: bool) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return status_line(int(value)) if value in _CODES else None
    found = _STATUS.fullmatch(value) if isinstance(value, str) else None
    if found is None or not (any_phrase or _is_phrase(int(found[1]), found[2])):
        return None
    return found[0]


def _is_phrase(code: int, phrase: str) -> bool:
    """Whether this is the phrase of the status: any other text beside a body may be a piece of it."""
    return status_line(code).lower() == f"{code} {phrase}".lower() and code in set(HTTPStatus)


def _headers_of(value: Any) -> tuple[tuple[str, str], ...] | None:
    pairs: Iterable[Any]
    if isinstance(value, Mapping):
        pairs = value.items()
    elif isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in value
    ):
        pairs = value
    else:
        return None
    found = tuple((name, text) for name, text in pairs)
    return found if all(isinstance(name, str) and isinstance(text, str) for name, text in found) else None
