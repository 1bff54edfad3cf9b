"""Forms with files, as browsers send them (RFC 7578; WHATWG HTML, "multipart form data")."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from skitai.http.mediatypes import BINARY, type_of_name
from skitai.services.http.contents import Content, utf8
from skitai.services.http.filesource import FileSource
from skitai.services.http.streaming import StreamedBody

_TYPE = re.compile(r"[\x20-\x7e]+/[\x20-\x7e]+")


def multipart_content(data: Any) -> Content:
    """Return the content of a form: a dict of names to values, or to a list of values.

    A value is a str, bytes or number, a binary file, or a tuple ``(filename, file[, type])``, whose file may
    also be str or bytes. Files are read when they are sent.
    Raises TypeError or ValueError that names the wrong field. Called in the app's thread.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"data must be a dict of fields and files, not {type(data).__name__}")
    boundary = secrets.token_hex(16)
    parts: list[bytes | FileSource] = []
    for name, values in data.items():
        if not isinstance(name, str):
            raise TypeError(f"data[{name!r}]: names must be str, not {type(name).__name__}")
        for value in values if isinstance(values, list) else [values]:
            head, content = _part(name, value)
            parts += [f"--{boundary}\r\n".encode() + head, content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    content_type = f"multipart/form-data; boundary={boundary}"
    return Content(StreamedBody(parts), content_type, type_is_fixed=True)


def _part(name: str, value: Any) -> tuple[bytes, bytes | FileSource]:
    """Return the header and the content of one part."""
    argument = f"data[{name!r}]"
    if isinstance(value, str | bytes | int | float):
        return _head(name), _bytes(value)
    if isinstance(value, tuple):
        filename, content, content_type = _unpacked(value, argument)
    else:
        filename, content, content_type = _filename(value) or name, value, None
    if isinstance(content, str | bytes):
        content = _bytes(content)
    elif hasattr(content, "read"):
        content = FileSource.of(content, argument)
    else:
        raise TypeError(
            f"{argument} is {type(content).__name__}: it must be a str, bytes, a number, a binary file,"
            " a tuple (filename, file) or a list of these"
        )
    return _head(name, filename, content_type or type_of_name(filename) or BINARY), content


def _unpacked(value: tuple[Any, ...], argument: str) -> tuple[str, Any, str | None]:
    if not 2 <= len(value) <= 3 or not isinstance(value[0], str):
        raise TypeError(f"{argument}: a tuple must be (filename, file) or (filename, file, type)")
    filename, content, content_type = value if len(value) == 3 else (*value, None)
    if content_type is not None and not (isinstance(content_type, str) and _TYPE.fullmatch(content_type)):
        raise ValueError(f"{argument}: {content_type!r} is not a content type such as 'image/png'")
    return filename, content, content_type


def _filename(file: Any) -> str:
    """Return the base name of a file; an upload that the app received has it in ``filename``."""
    for name in (getattr(file, "filename", None), getattr(file, "name", None)):
        if isinstance(name, str):
            return PurePath(name).name
    return ""


def _head(name: str, filename: str | None = None, content_type: str | None = None) -> bytes:
    lines = f'Content-Disposition: form-data; name="{_escaped(name)}"'
    if filename is not None:
        lines += f'; filename="{_escaped(filename)}"\r\nContent-Type: {content_type}'
    return utf8(f"{lines}\r\n\r\n")


def _escaped(text: str) -> str:
    """Return a name as browsers put it between quotes."""
    return text.replace("\r", "%0D").replace("\n", "%0A").replace('"', "%22")


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else utf8(str(value))
