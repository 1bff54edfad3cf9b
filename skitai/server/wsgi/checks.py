"""Checks of what an app gives to ``start_response`` (PEP 3333, "The start_response() Callable").

They run in the app's thread, so that a traceback shows where a malformed value comes from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from skitai.http.fields import FIELD_VALUE, TOKEN, plain
from skitai.http.recurring import Recurring

_STATUS = re.compile(r"[2-9][0-9]{2} [^\x00-\x1f\x7f]*")

_DIGITS_MAX = 18

# What has passed before: apps use few statuses and names. One that makes them up cannot fill the memory.
_KNOWN_MAX = 1000
_good_statuses: set[str] = set()
#: Of each name, whether it is Content-Length.
_good_names: dict[str, bool] = {}
#: Of how many responses the fields are remembered, and how many characters these may have.
_FIELDS_MAX, _FIELDS_SIZE_MAX = 256, 2048
#: Of all fields of a response, the Content-Length, and the fields as they are sent.
_good_fields: Recurring[tuple[Any, ...], tuple[int | None, list[tuple[str, str]]]] = Recurring(_FIELDS_MAX)

_BYTES = frozenset((bytes,))


def not_started() -> AssertionError:
    """Return what an app gets that has not said what it responds with."""
    return AssertionError("the app did not call start_response before it sent or ended its body")


def check_status(status: Any) -> str:
    """Return ``status`` as a plain str. Raises AssertionError unless it is like ``"404 Not Found"``."""
    if type(status) is str and status in _good_statuses:
        return status
    if not isinstance(status, str) or _STATUS.fullmatch(status) is None or not _is_latin1(status):
        raise AssertionError(f"{status!r} is not a status: write it as in '200 OK'")
    text = plain(status)
    if len(_good_statuses) < _KNOWN_MAX:
        _good_statuses.add(text)
    return text


def check_headers(headers: Any) -> tuple[int | None, list[tuple[str, str]]]:
    """Return the Content-Length among the header fields, or None, and a copy of the fields.

    Members of a ``(str, Enum)`` and other subclasses of str become plain str. Raises AssertionError unless
    ``headers`` is a list of (name, value) tuples of native strings that are valid header fields. Also raises
    it for a Content-Length that is not a number or differs from another one.
    """
    if not isinstance(headers, list):
        raise AssertionError(f"the headers must be a list of tuples, not {type(headers).__name__}")
    try:
        known = _good_fields.get(tuple(headers))
    except TypeError:  # a field is a list, for example
        known = None
    if known is not None:
        return known[0], known[1][:]
    return _check_fields(headers)


def _check_fields(headers: list[Any]) -> tuple[int | None, list[tuple[str, str]]]:
    announced: int | None = None
    is_plain, size = True, 0
    for field in headers:
        if not isinstance(field, tuple) or len(field) != 2:
            raise AssertionError(f"{field!r} is not a (name, value) tuple")
        name, value = field
        if type(name) is str is type(value):
            is_length = _good_names.get(name)
        else:
            is_plain, is_length = False, None
        if is_length is None:
            is_length = _check_name(name)
        if not is_plain and not isinstance(value, str):
            raise AssertionError(f"the value of {name} must be a str, not {value!r}")
        # Nearly all values are printable ASCII: checking that costs half as much as the expression.
        if not (value.isascii() and value.isprintable()) and FIELD_VALUE.fullmatch(value) is None:
            raise AssertionError(f"the value of {name} has a character that is not allowed: {value!r}")
        size += len(name) + len(value)
        if is_length:
            length = _number(value)
            if announced not in (None, length):
                raise AssertionError(f"Content-Length is both {announced} and {length}")
            announced = length
    fields = headers[:] if is_plain else [(plain(name), plain(value)) for name, value in headers]
    if size <= _FIELDS_SIZE_MAX:
        _good_fields.remember(tuple(fields), (announced, fields[:]))
    return announced, fields


def as_bytes(chunk: Any) -> bytes:
    """Return a piece of a body as bytes. A str is encoded as UTF-8, as Skitai has always done."""
    if isinstance(chunk, bytes):
        return chunk
    if isinstance(chunk, str):
        return chunk.encode()
    if isinstance(chunk, bytearray | memoryview):
        return bytes(chunk)
    raise TypeError(f"the pieces of a body must be bytes, not {type(chunk).__name__}")


def joined(chunks: Iterable[Any]) -> bytes:
    """Return the pieces of a body as one: a list or a tuple of what ``as_bytes`` takes."""
    # By itself, ``join`` takes more than that: an array of numbers, for example, as the memory has it.
    if _BYTES.issuperset(map(type, chunks)):
        return b"".join(chunks)
    return b"".join([as_bytes(chunk) for chunk in chunks])


def _check_name(name: Any) -> bool:
    """Return whether ``name`` is Content-Length."""
    if not isinstance(name, str) or TOKEN.fullmatch(name) is None:
        raise AssertionError(f"{name!r} is not the name of a header field")
    is_length = name.lower() == "content-length"
    if len(_good_names) < _KNOWN_MAX:
        _good_names[plain(name)] = is_length
    return is_length


def _number(text: str) -> int:
    digits = text.strip()
    # No length has more digits, and int() refuses thousands of them.
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX:
        raise AssertionError(f"Content-Length is {text!r}, which is not a number of bytes")
    return int(digits)


def _is_latin1(text: str) -> bool:
    return text.isascii() or max(text) <= "\xff"
