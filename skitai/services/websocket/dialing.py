"""Opens websockets: the handshake is a request of the HTTP client, with TLS, proxies, logins, redirects."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from skitai.errors import OperationError, UnsentError
from skitai.loop.sending import SendQueue
from skitai.services.http.conversation import converse
from skitai.services.http.result import HTTPResult
from skitai.services.websocket.opening import Opening, refusal
from skitai.services.websocket.urls import as_http
from skitai.websocket.handshake import Fields, check_reply, new_key, request_fields
from skitai.websocket.protocol import ClientWire
from skitai.websocket.settings import WebSocketSettings
from skitai.websocket.watch import Watch

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.auth import Logins
    from skitai.services.http.pool import ConnectionPool
    from skitai.services.http.request import HTTPRequest
    from skitai.websocket.contracts import Listener, Wire

_SWITCHING = 101


class Dialer:
    """Opens websockets over the connections of ``http``, which should have ``tunnels``.

    ``logins`` are those that are known. Called in the reactor thread.
    """

    def __init__(
        self, http: ConnectionPool, logins: Logins, settings: WebSocketSettings, watch: Watch
    ) -> None:
        self._http = http
        self._logins = logins
        self._settings = settings
        self._watch = watch
        self._queue = SendQueue(http.reactor)

    def dial(
        self, node: HTTPNode, opening: Opening, listen: Callable[[Wire], Listener]
    ) -> Deferred[Listener]:
        """Open a websocket: fire with the listener that ``listen(wire)`` returned, or fail with UnsentError.

        ``listen`` is called before anything comes from the wire. Cancelling closes the socket.
        """
        return Deferred.fromCoroutine(self._dial(node, opening, listen))

    async def _dial(self, node: HTTPNode, opening: Opening, listen: Callable[[Wire], Listener]) -> Listener:
        listeners: list[Listener] = []

        def opened(wire: ClientWire) -> None:
            wire.listener = listen(wire)
            listeners.append(wire.listener)

        node = opening.node or node
        ask = partial(self._ask, opening.subprotocols, opened)
        try:
            reply = await converse(ask, self._logins, node, opening.request)
        except UnsentError:
            raise
        except OperationError as error:  # of the handshake: nothing of a message was sent
            raise UnsentError(error.message, code=error.code, status=error.status, node=error.node) from error
        if reply.code != _SWITCHING or not listeners:
            raise refusal(reply)
        return listeners[-1]

    def _ask(
        self,
        subprotocols: tuple[str, ...],
        opened: Callable[[ClientWire], None],
        node: HTTPNode,
        request: HTTPRequest,
    ) -> Deferred[HTTPResult]:
        """Send one request of a handshake; ``opened`` gets the wire if the reply is 101."""
        settings, key = self._settings, new_key()

        def switch(reply: HTTPResult) -> ClientWire:
            subprotocol, deflate = check_reply(
                reply.code, _raw(reply.headers), key, subprotocols, deflate=settings.deflate
            )
            wire = _LookedAt(settings, self._watch, self._queue, subprotocol=subprotocol, deflate=deflate)
            opened(wire)
            return wire

        for name, value in request_fields(key, subprotocols, deflate=settings.deflate):
            request = request.with_field(name, value)
        return self._http.ask(node, attrs.evolve(request, switch=switch)).addCallback(_with_http_location)


class _LookedAt(ClientWire):
    """A wire whose transport can be looked at, before the next message is sent."""

    __slots__ = ("transport",)

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        super().makeConnection(transport)


def _raw(headers: Iterable[tuple[str, str]]) -> Fields:
    """Return the fields of a reply as the handshake reads them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _with_http_location(reply: HTTPResult) -> HTTPResult:
    """Return a reply whose redirect, if it is one, can be followed: to ``http://`` in the place of ``ws://``."""
    if 300 <= reply.code < 400:
        reply.headers = [
            (name, _as_http(value) if name.lower() == "location" else value) for name, value in reply.headers
        ]
    return reply


def _as_http(location: str) -> str:
    scheme, separator, _ = location.partition("://")
    return as_http(location) if separator and scheme.lower() in ("ws", "wss") else location
