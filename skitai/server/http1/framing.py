"""The head of a response and how its body is framed (RFC 9112, sections 4 to 7)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from skitai.http.fields import HOP_BY_HOP
from skitai.http.recurring import Recurring

#: How many heads are remembered, and the most bytes of each: an app sends the same few again and again.
HEADS_MAX, HEAD_SIZE_MAX = 512, 2048

#: The fields that the server itself must look at.
SPECIAL = HOP_BY_HOP | {"content-length", "date", "server", "strict-transport-security", "x-request-id"}
#: What no interim response has: it has no body, and does not end the connection (RFC 9110, section 8.6).
NOT_INTERIM = HOP_BY_HOP | {"content-length"}


@attrs.frozen
class Head:
    """The head of a response, without its last lines (``HTTPFactory.stamps``), and the framing of its body.

    ``length`` is the length of the body; None if it is unknown, or if there is no body. ``chunked`` says that
    the body is sent in chunks, and ``close`` that the connection ends with it. ``dated`` and ``served`` say
    that the head has a Date or a Server field, ``identified`` that it has an X-Request-ID, and ``strict`` a
    Strict-Transport-Security.
    """

    data: bytes
    length: int | None
    chunked: bool
    close: bool
    dated: bool
    served: bool
    identified: bool
    strict: bool


_heads: Recurring[tuple[object, ...], Head] = Recurring(HEADS_MAX)


def render_head(
    status: str,
    headers: tuple[tuple[str, str], ...],
    length: int | None,
    version: str,
    bodyless: bool,
    keep_alive: bool,
) -> Head:
    """Return the head of a response to a request of HTTP ``version``.

    ``status`` looks like ``"200 OK"``. ``length`` is the length of the body, if all of it is at hand; a
    Content-Length among the fields overrides it. ``bodyless`` says that the response must have no body, and
    ``keep_alive`` that the connection may stay open. Raises ValueError for control characters in the status
    or a field, for an interim status, and for a Content-Length that is not a number or differs from another.
    Called in the reactor thread.
    """
    key = (status, headers, length, version, bodyless, keep_alive)
    head = _heads.get(key)
    if head is None:
        head = _make_head(status, headers, length, version, bodyless, keep_alive)
        if len(head.data) <= HEAD_SIZE_MAX:
            _heads.remember(key, head)
    return head


def _make_head(
    status: str,
    headers: tuple[tuple[str, str], ...],
    length: int | None,
    version: str,
    bodyless: bool,
    keep_alive: bool,
) -> Head:
    lines = ["HTTP/1.1 " + status + "\r\n"]
    announced: int | None = None
    close = not keep_alive
    options: list[str] = []
    dated = served = identified = strict = False
    for name, value in headers:
        lower = name.lower()
        if lower in SPECIAL:
            if lower == "content-length":
                announced = content_length(value, announced)
                continue
            if lower in HOP_BY_HOP:  # only the server can set these: those of an app are dropped
                close = close or (lower == "connection" and "close" in value.lower())
                if lower != "upgrade" or not status.startswith("426"):  # RFC 9110, section 15.5.22
                    continue
                options.append("upgrade")
            dated = dated or lower == "date"
            served = served or lower == "server"
            identified = identified or lower == "x-request-id"
            strict = strict or lower == "strict-transport-security"
        # Not an f-string, which would write the name of a (str, Enum) instead of its value.
        lines.append(name + ": " + value + "\r\n")
    code = status[:3]
    if code < "200":
        raise ValueError(f"{status!r} is not a final status")
    length, is_told = body_length(code, length, announced, bodyless)
    if is_told:
        lines.append(f"Content-Length: {length}\r\n")
    chunked = length is None and not bodyless and version == "1.1"
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif length is None and not bodyless:
        close = True
    if close:
        options.append("close")
    elif version == "1.0":
        options.append("keep-alive")
    if options:
        lines.append(f"Connection: {', '.join(options)}\r\n")
    data = _joined(lines)
    return Head(data, None if bodyless else length, chunked, close, dated, served, identified, strict)


def render_switch(status: str, headers: Sequence[tuple[str, str]], stamp: bytes) -> bytes:
    """Return the head after which the connection speaks another protocol (RFC 9110, 9.3.6 and 15.2.2).

    ``status`` is 101 for an upgrade, or 2xx for CONNECT. ``stamp`` ends the head: see ``HTTPFactory.stamps``.
    Raises ValueError for any other status, and for control characters.
    """
    if status[:3] != "101" and status[:1] != "2":
        raise ValueError(f"{status!r} does not hand the connection over: it must be 101 or 2xx")
    lines = [f"HTTP/1.1 {status}\r\n", *(f"{name}: {value}\r\n" for name, value in headers)]
    if status[:3] == "101":
        lines.append("Connection: upgrade\r\n")
    return _joined(lines) + stamp


def render_interim(status: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return an interim response (RFC 9110, section 15.2).

    Fields of the connection and of the framing are left out. Raises ValueError for control characters.
    """
    fields = [(name, value) for name, value in headers if name.lower() not in NOT_INTERIM]
    return _joined([f"HTTP/1.1 {status}\r\n", *(f"{name}: {value}\r\n" for name, value in fields), "\r\n"])


def render_trailers(trailers: Sequence[tuple[str, str]]) -> bytes:
    """Return the end of a chunked body (RFC 9112, section 7.1). Raises ValueError for control characters."""
    return _joined(["0\r\n", *(f"{name}: {value}\r\n" for name, value in trailers), "\r\n"])


def _joined(lines: Sequence[str]) -> bytes:
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("control character in the status or a header field")
    return text.encode("latin-1")


def body_length(
    code: str, length: int | None, announced: int | None, bodyless: bool
) -> tuple[int | None, bool]:
    """Return the length of a response's body, None if it is unknown; and whether Content-Length tells it.

    ``length`` is that of the body at hand, and ``announced`` what the fields of the app say.
    """
    if announced is not None or (bodyless and length == 0):  # a body left out is not one of length 0
        length = announced
    # The length of a 304 is that of the 200 it stands for (RFC 9110, section 8.6): only the app knows it.
    return length, length is not None and code != "204" and not (code == "304" and not announced)


def content_length(value: str, announced: int | None) -> int:
    """Return the number in a Content-Length field. Raises ValueError if it is none, or not ``announced``."""
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length: {value!r} is not a number")
    if announced not in (None, int(value)):
        raise ValueError(f"Content-Length is both {announced} and {value}")
    return int(value)
