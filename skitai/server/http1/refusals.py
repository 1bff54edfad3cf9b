"""Refusals by a limit: the page tells the client the limit, and the log tells the operator its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import Logger

from skitai.config.casters import show_size

if TYPE_CHECKING:
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.request import Request

_log = Logger()

_TOO_LARGE, _URI_TOO_LONG, _HEAD_TOO_LARGE = 413, 414, 431
#: Characters of what was asked that a line shows.
_SHOWN = 200
#: Seconds between two lines about one key: whoever sends such requests may send many.
_PAUSE = 1.0
_DETAILS = {
    _TOO_LARGE: "The body of this request is too large for this server, which takes {limit}.",
    _URI_TOO_LONG: "The address of this request is too long for this server, which takes {limit}.",
    _HEAD_TOO_LARGE: "The header of this request is too large for this server, which takes {limit}.",
}


class Refusals:
    """Explains refusals. ``seconds`` is a clock. Called in the reactor thread."""

    def __init__(self, limits: ServerLimits, seconds: Callable[[], float]) -> None:
        self._limits = limits
        self._seconds = seconds
        #: When a line was written about a key, and how many were left out since.
        self._told: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def explain(self, request: Request) -> str:
        """Return the sentence for the page of a refused request; empty where the usual one will do."""
        details = _DETAILS.get(request.refusal)
        if details is None:
            return ""
        key, limit = self._limit_of(request)
        self._tell(request, key, limit)
        return details.format(limit=show_size(limit))

    def _limit_of(self, request: Request) -> tuple[str, int]:
        limits = self._limits
        if request.refusal == _URI_TOO_LONG:
            return "uri_max", limits.uri_max
        if request.refusal == _HEAD_TOO_LARGE:
            return "header_max", limits.header_max
        content_type = request.field(b"content-type") or b""
        most = limits.body_max_of(content_type)
        return ("body_max" if most == limits.body_max_of(b"") else "multipart_max"), most

    def _tell(self, request: Request, key: str, limit: int) -> None:
        now = self._seconds()
        if now - self._told.get(key, -_PAUSE) < _PAUSE:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._told[key] = now
        others = self._left_out.pop(key, 0)
        _log.warn(
            "{client} {asked} was refused with {code}: {key} = {limit}{others}",
            client=request.connection.addresses["REMOTE_ADDR"] or "unix",
            asked=(request.method + b" " + request.uri)[:_SHOWN].decode("latin-1"),
            code=request.refusal,
            key=key,
            limit=show_size(limit),
            others=f", and {others} more before it" if others else "",
        )
