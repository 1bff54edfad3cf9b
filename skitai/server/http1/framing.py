"""The head of a response and how its body is framed (RFC 9112, sections 4 to 7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from skitai.http.fields import HOP_BY_HOP
from skitai.server.budget import Budget

#: Heads that are remembered, and the bytes they may take: an app gives the same few again and again.
_REMEMBERED, _REMEMBERED_BYTES = 512, 4 << 20

_LOOKED_AT = HOP_BY_HOP | {"content-length", "date", "server"}


class Head(NamedTuple):
    """The head of an answer, without its end (``stamp``), and how what follows it is framed.

    ``length`` is that of the body; None where it is unknown, or where there is no body. ``chunked`` says that
    the body goes in chunks, ``close`` that the connection must end with it. ``dated`` and ``served`` say that
    there is a Date or a Server field.
    """

    data: bytes
    length: int | None
    chunked: bool
    close: bool
    dated: bool
    served: bool


@lru_cache(_REMEMBERED)
def render_head(
    status: str,
    headers: tuple[tuple[str, str], ...],
    length: int | None,
    version: str,
    bodyless: bool,
    keep_alive: bool,
) -> Head:
    """Return the head of an answer to a request of HTTP ``version``.

    ``status`` is such as ``"200 OK"``; ``length`` the length of the body where all of it is at hand. A
    Content-Length among the fields comes before it: the body is kept to that. ``bodyless`` says that there
    must be none, ``keep_alive`` that the connection may go on. Raises ValueError for control characters in
    the status or a field, for an interim status, and for a Content-Length that is not a number or differs
    from another one.
    """
    lines = ["HTTP/1.1 " + status + "\r\n"]
    announced: int | None = None
    close = not keep_alive
    dated = served = False
    for name, value in headers:
        lower = name.lower()
        if lower in _LOOKED_AT:
            if lower == "content-length":
                announced = _content_length(value, announced)
                continue
            if lower in HOP_BY_HOP:  # the server's affair: an app's are dropped
                close = close or (lower == "connection" and "close" in value.lower())
                continue
            dated = dated or lower == "date"
            served = served or lower == "server"
        # Not an f-string, which takes of a (str, Enum) its name.
        lines.append(name + ": " + value + "\r\n")
    code = status[:3]
    if code < "200":
        raise ValueError(f"{status!r} cannot be the end of an answer")
    if announced is not None or (bodyless and length == 0):  # none is at hand: who made it knows its length
        length = announced
    # A 304's is that of another answer (RFC 9110, section 8.6), of which nobody knows what announces none.
    if length is not None and code != "204" and not (code == "304" and not announced):
        lines.append(f"Content-Length: {length}\r\n")
    chunked = length is None and not bodyless and version == "1.1"
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif length is None and not bodyless:
        close = True
    if close:
        lines.append("Connection: close\r\n")
    elif version == "1.0":
        lines.append("Connection: keep-alive\r\n")
    data = _joined(lines)
    _budget.spend(2 * len(data), len(headers))
    return Head(data, None if bodyless else length, chunked, close, dated, served)


_budget = Budget(_REMEMBERED_BYTES, render_head.cache_clear)


def render_switch(
    status: str, headers: Sequence[tuple[str, str]], stamp: Callable[[bool, bool], bytes]
) -> bytes:
    """Return the head after which the connection speaks another protocol (RFC 9110, 9.3.6 and 15.2.2).

    ``status`` is that of an upgrade (101) or of CONNECT (2xx). Raises ValueError for any other, and for
    control characters.
    """
    if status[:3] != "101" and status[:1] != "2":
        raise ValueError(f"{status!r} does not hand the connection over: it must be 101 or 2xx")
    lines = [f"HTTP/1.1 {status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers)]
    if status[:3] == "101":
        lines.append("Connection: upgrade\r\n")
    return _joined(lines) + stamp(False, False)


def _joined(lines: Sequence[str]) -> bytes:
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("control character in the status or a header field")
    return text.encode("latin-1")


def _content_length(value: str, announced: int | None) -> int:
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length: {value!r} is not a number")
    if announced not in (None, int(value)):
        raise ValueError(f"Content-Length is both {announced} and {value}")
    return int(value)
