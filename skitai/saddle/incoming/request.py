"""``was.request``: what the client asked, as a Saddle view sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skitai.http.fields import media_type
from skitai.saddle.incoming.forms import Form
from skitai.saddle.incoming.pairs import byte_values
from skitai.saddle.outgoing.locations import path_as_uri, query_as_uri

_UNPREFIXED = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class Request:
    """One request: ``args`` are its arguments from URL, form and body, ``user`` is who has logged in."""

    def __init__(self, env: dict[str, Any]) -> None:
        self.env = env
        self.args: dict[str, Any] = {}
        #: The name of the user who has logged in, None without ``app.authorization``.
        self.user: str | None = None
        self.form: Form | None = None
        self._body: bytes | None = None

    @property
    def command(self) -> str:
        """The method in lower case: ``"get"``."""
        return str(self.env["REQUEST_METHOD"]).lower()

    @property
    def method(self) -> str:
        """The method as it came: ``"GET"``."""
        return str(self.env["REQUEST_METHOD"])

    @property
    def version(self) -> str:
        """The HTTP version: ``"1.1"``."""
        return str(self.env.get("SERVER_PROTOCOL", "HTTP/1.1")).removeprefix("HTTP/")

    @property
    def uri(self) -> str:
        """The request target with its query, as it came, or made from the environ under other servers."""
        raw = self.env.get("REQUEST_URI")
        if raw is not None:
            return str(raw)
        path = path_as_uri(f"{self.env.get('SCRIPT_NAME', '')}{self.env.get('PATH_INFO', '')}") or "/"
        query = self.env.get("QUERY_STRING")
        return f"{path}?{query_as_uri(query)}" if query else path

    @property
    def line(self) -> str:
        """Method and target: ``"GET /path?query"``."""
        return f"{self.method} {self.uri}"

    @property
    def path(self) -> str:
        """The path below the app's mount point, decoded."""
        return path_info(self.env)

    def split_uri(self) -> tuple[str, str | None, str | None, str | None]:
        """Return (script, param, querystring, fragment); the last three with ``;``, ``?``, ``#``, or None."""
        rest, hash_mark, fragment = self.uri.partition("#")
        rest, question_mark, query = rest.partition("?")
        script, semicolon, param = rest.partition(";")
        return (
            script,
            semicolon + param if semicolon else None,
            question_mark + query if question_mark else None,
            hash_mark + fragment if hash_mark else None,
        )

    def get_header(self, name: str, default: str | None = None) -> str | None:
        """Return the value of a header field, in any case of its name, or ``default``."""
        key = name.upper().replace("-", "_")
        if key not in _UNPREFIXED:
            key = f"HTTP_{key}"
        value = self.env.get(key)
        return default if value is None else str(value)

    @property
    def headers(self) -> Mapping[str, str]:
        """The header fields by lower-case name."""
        found = {
            key[5:].lower().replace("_", "-"): str(value)
            for key, value in self.env.items()
            if key.startswith("HTTP_")
        }
        return found | {name: str(self.env[key]) for key, name in _UNPREFIXED.items() if self.env.get(key)}

    def get_headers(self) -> list[str]:
        """Return the header lines, each ``"Name: value"``."""
        return [f"{name.title()}: {value}" for name, value in self.headers.items()]

    def get_body(self) -> bytes:
        """Return the whole body. It is empty for a multipart form, which is in ``args``."""
        if self._body is None:
            form = self.form
            self._body = self.env["wsgi.input"].read(self._length()) if form is None else form.raw
        return self._body

    def get_bytes(self, name: str) -> list[bytes]:
        """Return the values of a field of the query and the form as they came, also if they are not UTF-8."""
        query = str(self.env.get("QUERY_STRING", "")).encode("latin-1", "replace")
        return [*byte_values(query, name), *(() if self.form is None else self.form.bytes_of(name))]

    def _length(self) -> int:
        # Under other servers, reading beyond the body may wait for ever (PEP 3333).
        if self.env.get("wsgi.input_terminated"):
            return -1
        digits = str(self.env.get("CONTENT_LENGTH") or "0")
        return int(digits) if digits.isascii() and digits.isdigit() else 0

    def get_scheme(self) -> str:
        """Return ``"http"`` or ``"https"``."""
        return str(self.env["wsgi.url_scheme"])

    def get_remote_addr(self) -> str:
        """Return the client's address."""
        return str(self.env.get("REMOTE_ADDR", ""))

    def get_user_agent(self) -> str | None:
        """Return the User-Agent field, or None."""
        return self.get_header("user-agent")

    def get_content_type(self) -> str | None:
        """Return the type of the body without parameters, or None."""
        return media_type(self.env.get("CONTENT_TYPE")) or None

    def get_main_type(self) -> str | None:
        """Return the first half of the type, such as ``"text"``, or None."""
        kind = self.get_content_type()
        return kind.partition("/")[0] if kind else None

    def get_sub_type(self) -> str | None:
        """Return the second half of the type, such as ``"html"``, or None."""
        kind = self.get_content_type()
        return kind.partition("/")[2] if kind else None


def path_info(env: Mapping[str, Any]) -> str:
    """Return the path below the mount point as text (PEP 3333 carries bytes in a str)."""
    raw = str(env.get("PATH_INFO", ""))
    return raw.encode("latin-1", "replace").decode("utf-8", "replace") or "/"
