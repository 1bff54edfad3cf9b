"""Turns the ``data`` that an app gives into a body and its content type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from skitai.services.http.filesource import FileSource
from skitai.services.http.streaming import StreamedBody

_SCALARS = (str, bytes, int, float)


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


def form(data: Mapping[Any, Any]) -> str:
    """Return a dict as application/x-www-form-urlencoded; a list of values repeats its name."""
    for name, value in data.items():
        for one in value if isinstance(value, list | tuple) else (value,):
            if not isinstance(name, str) or not isinstance(one, _SCALARS):
                raise TypeError(
                    f"data[{name!r}] is {type(one).__name__}: names must be str, values str, bytes, int,"
                    " float or lists of these"
                )
    try:
        return urlencode(data, doseq=True)
    except UnicodeEncodeError as error:
        raise ValueError("data holds a lone surrogate, which UTF-8 cannot encode") from error


def utf8(text: str) -> bytes:
    """Return ``text`` as UTF-8; raise ValueError for a lone surrogate."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("data holds a lone surrogate, which UTF-8 cannot encode") from error
