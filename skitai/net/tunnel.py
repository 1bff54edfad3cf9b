"""Tunnels through upstream proxies (RFC 9110, section 9.3.6)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from skitai.errors import CODE_EXCEPTION, UnsentError
from skitai.net.addresses import HostNode
from skitai.net.proxies import Proxy

#: Bytes of a proxy's reply to CONNECT.
_REPLY_MAX = 16 * 1024
_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3}(?: [^\r\n]*)?)(?:\r\n|\Z)")
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d\b")


class Tunnel(Protocol):
    """Asks ``proxy`` for a tunnel to ``node``.

    ``granted`` is called with the transport, which leads to the node from then on, and with the bytes that
    have come from there. If the connection to the proxy is lost before that, ``failed`` is called.
    """

    transport: Any

    def __init__(
        self,
        proxy: Proxy,
        node: HostNode,
        granted: Callable[[Any, bytes], object],
        failed: Callable[[Failure], object],
    ) -> None:
        self._proxy = proxy
        self._node = node
        self._granted = granted
        self._failed = failed
        self._received = b""
        self._refusal: UnsentError | None = None

    def connectionMade(self) -> None:
        """Send the CONNECT request."""
        self.transport.write(self._proxy.connect_request(self._node))

    def dataReceived(self, data: bytes) -> None:
        """Read the proxy's reply."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        while end and _INTERIM.match(head):  # RFC 9110, section 15.2: the final reply is yet to come
            self._received = rest
            head, end, rest = rest.partition(b"\r\n\r\n")
        if end:
            self._replied(head, rest)
        elif len(self._received) > _REPLY_MAX or not _BEGINNING.startswith(self._received[: len(_BEGINNING)]):
            self._refuse("its reply is not HTTP")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Report that there will be no tunnel."""
        closed = self._failure(f"it closed the connection: {reason.getErrorMessage()}")
        self._failed(Failure(self._refusal or closed))  # type: ignore[no-untyped-call]

    def _replied(self, head: bytes, rest: bytes) -> None:
        match = _STATUS_LINE.match(head)
        status = match[1].decode("latin-1") if match else ""
        if not status:
            self._refuse("its reply is not HTTP")
        elif not status.startswith("2"):
            hint = ": user and password are wrong or missing" if status.startswith("407") else ""
            self._refuse(f"it answered {status[:80]!r}{hint}")
        elif rest and self._node.tls:
            # In TLS the client speaks first: these bytes are not from the node.
            self._refuse("it sent more than its reply")
        else:
            self._granted(self.transport, rest)

    def _refuse(self, why: str) -> None:
        self._refusal = self._failure(why)
        self.transport.abortConnection()

    def _failure(self, why: str) -> UnsentError:
        text = f"{self._proxy.label} gave no tunnel to {self._node.label}: {why}"
        return UnsentError(text, code=CODE_EXCEPTION, node=self._node)
