"""The id of a request, ``X-Request-ID``: by it, the lines of one request are found in all logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import count
from secrets import token_hex

#: The field, and where the environ of a WSGI app has it.
FIELD = "X-Request-ID"
ENVIRON_KEY = "HTTP_X_REQUEST_ID"

#: What others may give: it stands in logs and in header fields, so it has no spaces, quotes or commas.
_SANE = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")

_ids: Iterator[str] = iter(())


def _begin() -> None:
    """Begin with a prefix that nobody can guess, and no other process has."""
    global _ids
    _ids = map(f"{token_hex(6)}-%x".__mod__, count(1))


_begin()
os.register_at_fork(after_in_child=_begin)


def new_request_id() -> str:
    """Return an id that no other request has: a prefix of this process, and a number. Any thread."""
    return next(_ids)


def is_sane(text: str) -> bool:
    """Return whether an id that others have given can be kept."""
    return _SANE.fullmatch(text) is not None
