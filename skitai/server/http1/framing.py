"""The head of a response and how its body is framed (RFC 9112, sections 4 to 7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skitai.http.fields import HOP_BY_HOP

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_LOOKED_AT = HOP_BY_HOP | {"content-length", "date", "server"}


class Framing:
    """How one response is framed, and the state of it.

    ``head`` are the bytes up to the body. ``remaining`` counts down an announced Content-Length (None: none
    was); ``chunked`` says that the body goes in chunks; ``bodyless`` that whatever is sent is dropped;
    ``close`` that the connection must end with the response.
    """

    __slots__ = ("bodyless", "chunked", "close", "head", "remaining")

    def __init__(
        self, head: bytes, remaining: int | None, chunked: bool, bodyless: bool, close: bool
    ) -> None:
        self.head = head
        self.remaining = remaining
        self.chunked = chunked
        self.bodyless = bodyless
        self.close = close


def render_head(
    request: Request, status: str, headers: Sequence[tuple[str, str]], length: int | None
) -> Framing:
    """Return the framing of the answer to ``request``.

    ``status`` is such as ``"200 OK"``; ``length`` the length of the body where all of it is at hand (an
    announced Content-Length is believed otherwise). Raises ValueError for control characters in the status
    or a field, for an interim status, and for a Content-Length that is none.
    """
    lines = [f"HTTP/1.1 {status}\r\n"]
    announced: int | None = None
    close = not request.keep_alive
    dated = served = False
    for name, value in headers:
        lower = name.lower()
        if lower in _LOOKED_AT:
            if lower == "content-length":
                announced = _content_length(value)
                continue
            if lower in HOP_BY_HOP:  # the server's affair: an app's are dropped
                close = close or (lower == "connection" and "close" in value.lower())
                continue
            dated = dated or lower == "date"
            served = served or lower == "server"
        lines.append(f"{name}: {value}\r\n")
    code = status[:3]
    if code < "200":
        raise ValueError(f"{status!r} cannot be the end of an answer")
    bodyless = request.method == b"HEAD" or code in ("204", "304")
    if length is None or (bodyless and length == 0):  # none is at hand: the app knows how long it would be
        length = announced
    # A 304's is that of another answer (RFC 9110, section 8.6), of which nobody knows what announces none.
    if length is not None and code != "204" and not (code == "304" and not announced):
        lines.append(f"Content-Length: {length}\r\n")
    chunked = length is None and not bodyless and request.version == "1.1"
    if chunked:
        lines.append("Transfer-Encoding: chunked\r\n")
    elif length is None and not bodyless:
        close = True
    if close:
        lines.append("Connection: close\r\n")
    elif request.version == "1.0":
        lines.append("Connection: keep-alive\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
        raise ValueError("control character in the status or a header field")
    stamp = request.channel.factory.stamp(dated, served)
    return Framing(text.encode("latin-1") + stamp, None if bodyless else length, chunked, bodyless, close)


def _content_length(value: str) -> int:
    value = value.strip()
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"Content-Length: {value!r} is not a number")
    return int(value)
