"""Turns the ``data`` that an app gives into a body and its content type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import attrs

from skitai.formats.jsonrpc import dump
from skitai.services.http.filesource import FileSource
from skitai.services.http.streaming import StreamedBody

_SCALARS = (str, bytes, int, float)

#: What goes into a query.
Params = Mapping[str, Any] | Sequence[tuple[str, Any]]


@attrs.frozen
class Content:
    """A body and its own content type.

    ``present`` says whether there is a body, which may be empty. ``type_is_fixed`` says that the app must not
    set another type.
    """

    body: bytes | StreamedBody = b""
    type: str | None = None
    present: bool = True
    type_is_fixed: bool = False


_NOTHING = Content(present=False)


def content_of(data: Any) -> Content:
    """Return the content for None, bytes, a str (UTF-8), a dict (a form) or a binary file.

    Raises TypeError or ValueError naming the argument. Called in the app's thread.
    """
    if data is None:
        return _NOTHING
    if isinstance(data, bytes):
        return Content(data)
    if isinstance(data, str):
        return Content(utf8(data), "text/plain; charset=utf-8")
    if isinstance(data, Mapping):
        return Content(form(data).encode("ascii"), "application/x-www-form-urlencoded")
    if hasattr(data, "read"):
        return Content(StreamedBody([FileSource.of(data, "data")]))
    raise TypeError(f"data must be a dict, str, bytes or a binary file, not {type(data).__name__}")


def form(data: Mapping[Any, Any], argument: str = "data") -> str:
    """Return a dict as application/x-www-form-urlencoded; a list of values repeats its name.

    Raises TypeError or ValueError naming the ``argument``.
    """
    for name, value in data.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(name, str) or not isinstance(one, _SCALARS):
                raise TypeError(
                    f"{argument}[{name!r}] is {type(one).__name__}: names must be str, values str, bytes,"
                    " int, float or lists of these"
                )
    try:
        return urlencode(data, doseq=True)
    except UnicodeEncodeError as error:
        raise ValueError(f"{argument} holds a lone surrogate, which UTF-8 cannot encode") from error


def json_content(value: Any) -> Content:
    """Return ``value`` as JSON in ASCII, without NaN and infinities, which JSON does not have (RFC 8259).

    Raises TypeError or ValueError naming the argument.
    """
    try:
        return Content(dump(value), "application/json")
    except TypeError as error:
        raise TypeError(f"json: {error}") from error
    except ValueError as error:
        raise ValueError(f"json: {error}") from error


def query_of(params: Params) -> str:
    """Return a dict or a list of pairs as a query; a list of values repeats its name, and None leaves it out.

    Raises TypeError or ValueError naming the argument.
    """
    if isinstance(params, Mapping):
        pairs = list(params.items())
    elif isinstance(params, list | tuple) and all(isinstance(pair, tuple | list) for pair in params):
        pairs = list(params)
    else:
        raise TypeError(f"params must be a dict or a list of (name, value) pairs, not {params!r:.100}")
    names = []
    for pair in pairs:
        if len(pair) != 2:
            raise TypeError(
                f"params must be a dict or a list of (name, value) pairs, but one is {pair!r:.100}"
            )
        if pair[1] is not None:
            names.append((pair[0], pair[1]))
    return "&".join(filter(None, (form({name: value}, "params") for name, value in names)))


def utf8(text: str) -> bytes:
    """Return ``text`` as UTF-8; raise ValueError for a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("data holds a lone surrogate, which UTF-8 cannot encode") from error
