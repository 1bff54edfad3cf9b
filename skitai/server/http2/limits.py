"""What one HTTP/2 connection may cost its server, beside the limits of all protocols."""

from __future__ import annotations

from skitai.server.http2.frames import ErrorCode, HTTP2Error

#: Bytes of one request's body that its client may send before anybody has taken them: so many may wait in
#: memory for each stream.
STREAM_WINDOW = 128 * 1024
#: The same of a connection. It is opened again as soon as bytes arrive, whoever takes them: a stream that
#: nobody reads is held by its own window, and must not hold the others.
CONNECTION_WINDOW = 1024 * 1024
#: Frames that serve nobody: how many at once, and for how many the client is forgiven in a second.
_BURST, _RATE = 1000, 50
#: Clients open a window when they have read a part of it: Go's does so each 4 KB.
_OPENED_BYTES = 512
#: A stream that its client has reset has cost a request (CVE-2023-44487).
RESET_COST = 4


class Calm:
    """Counts what a client sends that brings no request further, and is more than honest ones need.

    These are SETTINGS, PING, PRIORITY, empty DATA, WINDOW_UPDATE beyond what it got, frames for streams that
    are gone, streams above the limit and those that it resets.
    """

    __slots__ = ("_left", "_now")

    def __init__(self, now: float) -> None:
        self._left = float(_BURST)
        self._now = now

    def spend(self, now: float, what: str, cost: int = 1) -> None:
        """Count one frame at the time ``now``. Raises HTTP2Error when there are too many."""
        self._left -= cost
        if self._left < 0:
            self._left = min(self._left + (now - self._now) * _RATE, _BURST)
            self._now = now
            if self._left < 0:
                raise HTTP2Error(ErrorCode.ENHANCE_YOUR_CALM, f"too many frames without use: {what}")

    def earn(self, size: int = 0) -> None:
        """Note that the client got ``size`` bytes of data, or the end of a response.

        It may open both windows again for each KB, and for each frame. A proxy's clients leave now and then,
        which is forgiven for the responses that others have got.
        """
        self._left = min(self._left + 2 + size // _OPENED_BYTES, _BURST)
