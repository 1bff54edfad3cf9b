"""``was.response``: the status and the header fields of the response."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Never

from skitai.http.fields import FIELD_VALUE, TOKEN, plain
from skitai.saddle.words import RESPONSE

_STATUS = re.compile(r"([1-9][0-9]{2}) [\x20-\x7e\x80-\xff]+")

ExcInfo = tuple[Any, Any, Any]


class ResponseBody:
    """What ``was.response(...)`` returns: the body. It is true even if the body is empty."""

    __slots__ = ("body",)

    def __init__(self, body: Any) -> None:
        self.body = body


class Response:
    """The head of the response. Calling it sets all of it and returns the body for the view to return.

    ``error_body(code, exc_info)`` makes the page for a status without a body.
    """

    def __init__(self, error_body: Callable[[int, ExcInfo | None], tuple[str, bytes]]) -> None:
        self._error_body = error_body
        self._status = "200 OK"
        self._headers: list[tuple[str, str]] = []

    def __call__(
        self,
        status: str = "200 OK",
        body: Any = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        exc_info: ExcInfo | None = None,
        **others: Never,
    ) -> ResponseBody:
        """Set status and header fields (a dict or pairs), and return the body for the view to return.

        Without a body, a status from 400 on gets its error page, with the traceback of ``exc_info``. Raises
        AssertionError for a status that is not like ``"404 Not Found"``.
        """
        if others:  # views call this often
            RESPONSE.refuse("was.response()", others)
        self.set_status(status)
        for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
            self.set_header(name, value)
        if body is None and self.code >= HTTPStatus.BAD_REQUEST:
            kind, body = self._error_body(self.code, exc_info)
            self.set_header("Content-Type", kind)
        return ResponseBody(body)

    @property
    def code(self) -> int:
        """The number in the status."""
        return int(self._status[:3])

    def set_status(self, status: str) -> None:
        """Set the status, such as ``"404 Not Found"``. Raises AssertionError for any other form."""
        if not isinstance(status, str) or not _STATUS.fullmatch(status):
            raise AssertionError(
                f"a status must be a number and its phrase, such as '404 Not Found', not {status!r}"
            )
        self._status = status

    def get_status(self) -> str:
        """Return the status, such as ``"404 Not Found"``."""
        return self._status

    def set_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Set each of these header fields."""
        for name, value in headers:
            self.set_header(name, value)

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the header fields in the order in which they were set."""
        return list(self._headers)

    def set_header(self, name: str, value: str) -> None:
        """Set a header field in place of those with its name. ``Set-Cookie`` is added instead."""
        if name.lower() != "set-cookie":
            self.del_header(name)
        self.add_headers([(name, value)])

    def add_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Add header fields, and keep those with the same name. Raises ValueError for a malformed one."""
        for name, value in headers:
            self._add(plain(name), plain(value))

    def _add(self, name: str, value: str) -> None:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header field")
        if not FIELD_VALUE.fullmatch(value):
            raise ValueError(f"the value of {name} has a line break or a character beyond latin-1")
        self._headers.append((name, value))

    def get_header(self, name: str) -> str | None:
        """Return the value of the first field with this name, in any case, or None."""
        wanted = name.lower()
        return next((value for key, value in self._headers if key.lower() == wanted), None)

    def del_header(self, name: str) -> None:
        """Remove the fields with this name."""
        wanted = name.lower()
        self._headers = [(key, value) for key, value in self._headers if key.lower() != wanted]

    def __getitem__(self, name: str) -> str:
        value = self.get_header(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set_header(name, value)

    def __delitem__(self, name: str) -> None:
        self.del_header(name)

    def __contains__(self, name: str) -> bool:
        return self.get_header(name) is not None
