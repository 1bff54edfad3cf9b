"""A client's request in the form in which its destination gets it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from skitai.http.fields import quoted
from skitai.services.proxy.fields import WITHHELD, request_lines
from skitai.services.proxy.forwarding import PSEUDONYM
from skitai.services.proxy.message import Message, target_of

if TYPE_CHECKING:
    from skitai.services.forward.way import Outward

#: Beside what ends at the reverse proxy, too. The id of a request is its client's, and not ours.
_WITHHELD = WITHHELD - {b"x-request-id"} | {b"max-forwards", b"proxy-authentication-info"}
#: These log a connection in, not a request (RFC 4559): the next client of the connection would be that user.
_OF_CONNECTION = re.compile(rb"(?:ntlm|negotiate)\b", re.IGNORECASE)
#: A URI without a path (RFC 9112, section 3.2.4).
_NO_PATH = re.compile(rb"[^/?]*//[^/?]*")
#: The methods that count how far they are forwarded (RFC 9110, section 7.6.2).
_COUNTED = (b"OPTIONS", b"TRACE")
_DIGITS_MAX = 9


def hops_left(request: Any) -> int | None:
    """Return Max-Forwards; None where it is missing or means nothing."""
    value = request.field(b"max-forwards") if request.method in _COUNTED else None
    if value is None or not value.isdigit() or len(value) > _DIGITS_MAX:
        return None
    return int(value)


class OutwardMessage(Message):
    """What the pool must know of a request. Host is that of the target (RFC 9112, section 3.2.2).

    Nothing says who the client is unless the config asks for that. Raises UnsendableError.
    """

    __slots__ = ()

    def _target_of(self, way: Outward, request: Any) -> bytes:  # type: ignore[override]
        if request.method == b"OPTIONS" and _NO_PATH.fullmatch(request.uri):
            return b"*"
        return target_of(way, request)

    def _lines_of(self, way: Outward, request: Any) -> list[bytes]:  # type: ignore[override]
        headers = [
            (name, value)
            for name, value in request.headers
            if name != b"authorization" or _OF_CONNECTION.match(value) is None
        ]
        lines = request_lines(headers, trusted=False, withheld=_WITHHELD)
        lines.append(f"Via: {request.version} {PSEUDONYM}\r\n".encode())
        hops = hops_left(request)
        if hops is not None:
            lines.append(b"Max-Forwards: %d\r\n" % (hops - 1))
        client = getattr(request.connection.peer, "host", None) if way.tells_client else None
        if client is not None:
            node = quoted(f"[{client}]") if ":" in client else client
            lines.append(f"X-Forwarded-For: {client}\r\nForwarded: for={node}\r\n".encode())
        return lines
