"""TLS that fails for a reason of which somebody should hear: the log, or a client without TLS."""

from __future__ import annotations

import time
from collections.abc import Callable
from ssl import SSLCertVerificationError, SSLError
from typing import Any

from twisted.logger import Logger

from skitai.http.hosts import peer_name

#: The same is said of a client once in so many seconds, and of so many clients at a time.
_SECONDS, _CLIENTS_MAX = 60.0, 1000
_ADVICE = b"There is HTTPS at this address, and this request came without: begin the address with https://\n"
#: For clients that send HTTP where TLS is expected. It is all that they understand.
PLAIN_REPLY = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
    b"Connection: close\r\n\r\n%b" % (len(_ADVICE), _ADVICE)
)
#: What OpenSSL says of the beginning of such a request; it knows GET, POST, HEAD, PUT and CONNECT.
_PLAIN = ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST")

_log = Logger()


def is_plain_http(error: SSLError) -> bool:
    """Return whether a handshake failed because the client sent HTTP."""
    return error.reason in _PLAIN


class HandshakeFailures:
    """Logs what clients and those who configured them cannot find out: all else is the noise of scanners.

    ``seconds`` is a clock. Called in the reactor thread.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._told: dict[tuple[str, str], float] = {}

    def tell(self, error: SSLError, peer: Any) -> None:
        """Log a line of ``error`` with the client at the address ``peer``, unless it was logged just now."""
        if isinstance(error, SSLCertVerificationError):
            what = f"its certificate is refused: {error.verify_message} (client_ca in [server])"
        elif is_plain_http(error):
            what = "it sends HTTP where HTTPS is expected"
        else:
            return
        self._say("no TLS with {client}: {what}", what, peer)

    def tell_of_flood(self, peer: Any) -> None:
        """Log a line of a client that sends records without data, likewise."""
        self._say("TLS with {client} is cut off: {what}", "it sends records without data", peer)

    def _say(self, text: str, what: str, peer: Any) -> None:
        client, now = peer_name(peer), self._seconds()
        if now < self._told.get((client, what), 0.0):
            return
        if len(self._told) >= _CLIENTS_MAX:
            self._told.clear()
        self._told[client, what] = now + _SECONDS
        _log.warn(text, client=client, what=what)


#: Of all addresses of the process.
FAILURES = HandshakeFailures()
