"""Refusals: the page tells the client the limit that it broke, and the log tells the operator the reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.logger import LogLevel

from skitai.config.casters import show_size
from skitai.server.request.refusallog import RefusalLog

if TYPE_CHECKING:
    from skitai.server.http1.limits import ServerLimits
    from skitai.server.request.request import Request

_TOO_LARGE, _URI_TOO_LONG, _HEAD_TOO_LARGE, _UNAVAILABLE = 413, 414, 431, 503
_DETAILS = {
    _TOO_LARGE: "The body of this request is too large for this server, which takes {limit}.",
    _URI_TOO_LONG: "The address of this request is too long for this server, which takes {limit}.",
    _HEAD_TOO_LARGE: "The header of this request is too large for this server, which takes {limit}.",
}


class Refusals:
    """Explains refusals. ``seconds`` is a clock. Called in the reactor thread."""

    def __init__(self, limits: ServerLimits, seconds: Callable[[], float]) -> None:
        self._limits = limits
        self.log = RefusalLog(seconds)

    def explain(self, request: Request) -> str:
        """Return the sentence for the page of a refused request; empty where the usual one will do."""
        details = _DETAILS.get(request.refusal)
        if details is None:
            if request.refused_because:
                # What the server has no room for, only its operator can mend.
                level = LogLevel.error if request.refusal == _UNAVAILABLE else LogLevel.info
                self.log.tell(request, request.refusal, request.refused_because, level)
            return ""
        key, limit = self._limit_of(request)
        # The operator can raise it; what is wrong with other requests, only the client can mend.
        self.log.tell(request, request.refusal, f"{key} = {show_size(limit)}", LogLevel.warn)
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
