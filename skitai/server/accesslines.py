"""The formats of the access log: what a line says of a request whose response was sent or broke off.

No byte of a client forges a line, or hides a part of one: what is not printable, and what quotes, is escaped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from skitai.formats.loglines import stamp
from skitai.formats.zone import local_time

if TYPE_CHECKING:
    from skitai.server.request.request import Request

Clock = Callable[[], float]
#: Makes the line of a request, without its end.
Line = Callable[["Request"], str]

#: What could forge or hide a part of a line, in a part that ends with a space and in one in quotes.
_UNSAFE = re.compile(rb"[^!-\[\]-~]")
_UNSAFE_QUOTED = re.compile(rb"[^ !#-\[\]-~]")


class SkitaiLine:
    """``2026.11.22 16:09:21 [info] 10.0.0.7:40122 GET /p HTTP/1.1 200 122 1ms 0ms``.

    The numbers are the status, the bytes sent (head included), the milliseconds until the response began, and
    those from there until it was sent. If the client left before that, status and bytes are ``- 0``.
    ``clock`` gives the seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def of(self, request: Request) -> str:
        """Return the line of ``request``."""
        ended = request.ended
        arrived = request.arrived or ended
        answered = request.answered or ended
        return (
            f"{stamp(self._clock())} [info] {_client(request.connection.addresses)} "
            f"{_printable(request.method) or '-'} {_printable(request.uri) or '-'} HTTP/{request.version} "
            f"{request.status_code or '-'} {request.bytes_sent} "
            f"{(answered - arrived) * 1000:.0f}ms {(ended - answered) * 1000:.0f}ms"
        )


class CombinedLine:
    """The Combined Log Format of Apache and nginx: what most programs read.

    ``10.0.0.7 - - [22/Nov/2026:16:09:21 +0000] "GET /p HTTP/1.1" 200 14 "-" "curl/8.5.0"``. The bytes are
    those of the body. Escapes are those of nginx, so a quoted part has no quotes within.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._date = lru_cache(1)(_apache_date)  # most lines are of the second of the one before

    def of(self, request: Request) -> str:
        """Return the line of ``request``."""
        asked = b""
        if request.method or request.uri:
            asked = b"%b %b HTTP/%b" % (request.method or b"-", request.uri or b"-", request.version.encode())
        body = max(request.bytes_sent - request.head_bytes, 0)
        return (
            f"{request.connection.addresses['REMOTE_ADDR'] or '-'} - - [{self._date(int(self._clock()))}] "
            f'"{_quoted(asked)}" {request.status_code or "-"} {body} '
            f'"{_quoted(request.field(b"referer"))}" "{_quoted(request.field(b"user-agent"))}"'
        )


class JSONLine:
    """One JSON object. The fields are always there, in this order; None for what is not known.

    ``time`` is the end of the response (RFC 3339, with milliseconds), ``client`` the address, ``bytes`` those
    of the whole response, ``milliseconds`` the time from the request to the end of the response, and
    ``mount`` the mount point that served it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._date = lru_cache(1)(_rfc_date)

    def of(self, request: Request) -> str:
        """Return the line of ``request``."""
        ended = request.ended
        now = self._clock()
        date, zone = self._date(int(now))
        fields = {
            "time": f"{date}.{int(now * 1000) % 1000:03d}{zone}",
            "client": request.connection.addresses["REMOTE_ADDR"] or None,
            "method": _text(request.method),
            "target": _text(request.uri),
            "protocol": f"HTTP/{request.version}",
            "status": request.status_code or None,
            "bytes": request.bytes_sent,
            "milliseconds": round((ended - (request.arrived or ended)) * 1000, 1),
            "referrer": _text(request.field(b"referer")),
            "user_agent": _text(request.field(b"user-agent")),
            "host": _text(request.authority),
            "request_id": request.identified(),
            "mount": None if request.place is None else request.place.point,
        }
        return json.dumps(fields)  # ASCII: all control characters are escaped


def with_id(line: Line) -> Line:
    """Return a format with the id of the request at the end of each line."""
    return lambda request: f"{line(request)} {request.identified()}"


#: The formats by name.
FORMATS: Mapping[str, Callable[[Clock], Line]] = {
    "skitai": lambda clock: SkitaiLine(clock).of,
    "combined": lambda clock: CombinedLine(clock).of,
    "json": lambda clock: JSONLine(clock).of,
}

#: Characters of ``2026-11-22T16:09:21``.
_DATE_AND_TIME = 19
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _apache_date(second: int) -> str:
    moment = local_time(second)  # the names of months do not depend on the locale
    return f"{moment:%d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S %z}"


def _rfc_date(second: int) -> tuple[str, str]:
    """Return what RFC 3339 has before the fraction of a second, and behind it."""
    text = local_time(second).isoformat()
    return text[:_DATE_AND_TIME], text[_DATE_AND_TIME:]


def _client(addresses: Mapping[str, str]) -> str:
    host, port = addresses["REMOTE_ADDR"], addresses["REMOTE_PORT"]
    if not host:
        return "unix:-"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _printable(text: bytes) -> str:
    """Escape what could forge or hide a part of the line."""
    return _UNSAFE.sub(lambda unsafe: b"\\x%02x" % ord(unsafe[0]), text).decode("ascii")


def _quoted(text: bytes | None) -> str:
    """Return what stands between quotes: as in nginx, with spaces and without quotes."""
    if not text:
        return "-"
    return _UNSAFE_QUOTED.sub(lambda unsafe: b"\\x%02X" % ord(unsafe[0]), text).decode("ascii")


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "backslashreplace") if value else None
