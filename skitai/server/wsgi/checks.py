"""What an app may hand to ``start_response`` (PEP 3333, "The start_response() Callable").

Malformed values are refused in the app's thread, so that the traceback shows where they come from.
"""

from __future__ import annotations

import re
from typing import Any

from skitai.http.fields import FIELD_VALUE, TOKEN

_STATUS = re.compile(r"[2-9][0-9]{2} [^\x00-\x1f\x7f]*")

_CONTENT_LENGTH = "content-length"
_CONTENT_LENGTH_SIZE = len(_CONTENT_LENGTH)
_DIGITS_MAX = 18

# What has passed before. Apps use few statuses and names; one that makes them up cannot fill the memory.
_KNOWN_MAX = 1000
_good_statuses: set[str] = set()
_good_names: set[str] = set()


def check_status(status: Any) -> None:
    """Raise AssertionError unless ``status`` is text such as ``"404 Not Found"``."""
    if type(status) is str and status in _good_statuses:
        return
    if not isinstance(status, str) or _STATUS.fullmatch(status) is None or not _is_latin1(status):
        raise AssertionError(f"{status!r} is not a status: write it as in '200 OK'")
    _remember(_good_statuses, status)


def check_headers(headers: Any) -> int | None:
    """Return the Content-Length among the header fields, None where there is none.

    Raises AssertionError unless ``headers`` is a list of (name, value) tuples of native strings that can be
    header fields, and for a Content-Length that is not a number or differs from another one.
    """
    announced: int | None = None
    if not isinstance(headers, list):
        raise AssertionError(f"the headers must be a list of tuples, not {type(headers).__name__}")
    for field in headers:
        if not isinstance(field, tuple) or len(field) != 2:
            raise AssertionError(f"{field!r} is not a (name, value) tuple")
        name, value = field
        if type(name) is not str or name not in _good_names:
            if not isinstance(name, str) or TOKEN.fullmatch(name) is None:
                raise AssertionError(f"{name!r} is not the name of a header field")
            _remember(_good_names, name)
        if not isinstance(value, str):
            raise AssertionError(f"the value of {name} must be a str, not {value!r}")
        # Nearly all values are visible ASCII, which is seen at half the cost of an expression.
        if not (value.isascii() and value.isprintable()) and FIELD_VALUE.fullmatch(value) is None:
            raise AssertionError(f"the value of {name} holds a character that cannot be sent: {value!r}")
        if len(name) == _CONTENT_LENGTH_SIZE and name.lower() == _CONTENT_LENGTH:
            length = _number(value)
            if announced not in (None, length):
                raise AssertionError(f"Content-Length is both {announced} and {length}")
            announced = length
    return announced


def as_bytes(chunk: Any) -> bytes:
    """Return a piece of a body as bytes. Text becomes UTF-8: Skitai has always taken it."""
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"the pieces of a body must be bytes, not {type(chunk).__name__}")


def _number(text: str) -> int:
    digits = text.strip()
    # No length has more digits, and int() refuses thousands of them.
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        raise AssertionError(f"Content-Length is {text!r}, which is not a number of bytes")
    return int(digits)


def _is_latin1(text: str) -> bool:
    return text.isascii() or max(text) <= "\xff"


def _remember(known: set[str], text: str) -> None:
    if len(known) < _KNOWN_MAX:
        known.add(text)
