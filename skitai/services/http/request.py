"""What is sent: an app's data and headers, checked and turned into the bytes of one request (RFC 9112)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

Headers = Mapping[str, str] | Iterable[tuple[str, str]]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_DEFAULTS = (("User-Agent", "Skitai/0.15"), ("Accept", "*/*"), ("Accept-Encoding", "gzip, deflate"))
_DEFAULT_FIELDS = "".join(f"{name}: {value}\r\n" for name, value in _DEFAULTS)

#: Framing and connection are the client's business: an app that sets these would desynchronise them.
_OWNED = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)

# RFC 9110, section 9.2.2.
_IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
# A dict has no place in a body that nobody reads, so it goes where a form with method=get puts it.
_DATA_IN_QUERY = frozenset(["GET", "HEAD", "DELETE", "OPTIONS"])
# RFC 9110, section 8.6: these say Content-Length: 0 where they carry nothing.
_ALWAYS_WITH_LENGTH = frozenset(["POST", "PUT", "PATCH"])

_SCALARS = (str, bytes, int, float)


@attrs.frozen
class HTTPRequest:
    """One request, independent of the node that will get it.

    ``target`` is the origin-form, ``fields`` the header lines except Host, each with its CRLF; ``host`` takes
    the place of the node's own name.
    """

    method: str
    target: str
    fields: str
    body: bytes = b""
    host: str | None = None

    @property
    def idempotent(self) -> bool:
        """Whether sending it twice does no harm."""
        return self.method in _IDEMPOTENT

    def encode(self, authority: str) -> bytes:
        """Return all of its bytes for the node whose Host header is ``authority``."""
        head = f"{self.method} {self.target} HTTP/1.1\r\nHost: {self.host or authority}\r\n{self.fields}\r\n"
        return head.encode("latin-1") + self.body


def build_request(
    method: str, target: str, data: Any = None, headers: Headers | None = None
) -> tuple[HTTPRequest, tuple[tuple[str, str], ...]]:
    """Return the request, and the app's own headers in an order-free form to tell it from others by.

    ``data``: None; a dict (a form, or more of the query for GET), str (UTF-8) or bytes.
    Raises TypeError or ValueError naming the argument that makes no sense. Called in the app's thread.
    """
    if isinstance(data, Mapping) and method in _DATA_IN_QUERY:
        target = _with_query(target, _form(data))
        data = None
    body, content_type = _body(data)
    pairs = header_pairs(headers) if headers else []
    host = _host_override(pairs)
    fields = _fields(pairs, content_type)
    if data is not None or method in _ALWAYS_WITH_LENGTH:
        fields += f"Content-Length: {len(body)}\r\n"
    identity = tuple(sorted((name.lower(), value) for name, value in pairs))
    return HTTPRequest(method, target, fields, body, host), identity


def header_pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return the pairs of a dict or of a list of pairs, checked (RFC 9110, section 5) and stripped."""
    if isinstance(headers, str | bytes):
        raise TypeError("headers must be a dict or a list of (name, value) pairs, not text")
    pairs = []
    for item in headers.items() if isinstance(headers, Mapping) else headers:
        if not (isinstance(item, tuple | list) and len(item) == 2):
            raise TypeError(f"headers must be a dict or a list of (name, value) pairs, but one is {item!r}")
        pairs.append(_checked(*item))
    return pairs


def _checked(name: Any, value: Any) -> tuple[str, str]:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"headers: {name!r} and its value must be str, not {type(value).__name__}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"headers: {name!r} is not a header name")
    if name.lower() in _OWNED:
        raise ValueError(f"headers: {name!r} is set by the client itself: leave it out")
    value = value.strip(" \t")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"headers: the value of {name!r} holds a line break or a character beyond latin-1")
    return name, value


def _host_override(pairs: list[tuple[str, str]]) -> str | None:
    hosts = [value for name, value in pairs if name.lower() == "host"]
    if len(hosts) > 1 or hosts == [""]:
        raise ValueError(f"headers: 'Host' must be given once and not empty, got {hosts!r}")
    return hosts[0] if hosts else None


def _fields(pairs: list[tuple[str, str]], content_type: str | None) -> str:
    """Return the header lines: the app's own, then the defaults that it did not give."""
    if not pairs and content_type is None:
        return _DEFAULT_FIELDS
    given = {name.lower() for name, _ in pairs}
    defaults = _DEFAULTS if content_type is None else (*_DEFAULTS, ("Content-Type", content_type))
    lines = [pair for pair in pairs if pair[0].lower() != "host"]
    lines += [pair for pair in defaults if pair[0].lower() not in given]
    return "".join(f"{name}: {value}\r\n" for name, value in lines)


def _body(data: Any) -> tuple[bytes, str | None]:
    """Return the bytes of a body and the content type that they have of themselves."""
    if data is None:
        return b"", None
    if isinstance(data, bytes):
        return data, None
    if isinstance(data, str):
        return _utf8(data), "text/plain; charset=utf-8"
    if isinstance(data, Mapping):
        return _form(data).encode("ascii"), "application/x-www-form-urlencoded"
    raise TypeError(f"data must be a dict, str or bytes, not {type(data).__name__}")


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError("data holds a lone surrogate, which UTF-8 cannot say") from error


def _form(data: Mapping[Any, Any]) -> str:
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
        raise ValueError("data holds a lone surrogate, which UTF-8 cannot say") from error


def _with_query(target: str, query: str) -> str:
    if not query:
        return target
    joint = "?" if "?" not in target else "" if target[-1] in "?&" else "&"
    return f"{target}{joint}{query}"
