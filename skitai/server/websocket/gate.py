"""The handshake of a websocket (RFC 6455, section 4.2), which the app decides on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai import WEBSOCKET_MULTICAST, WEBSOCKET_REQDATA
from skitai.http.fields import HOP_BY_HOP
from skitai.server.request.refusallog import RefusalLog
from skitai.server.websocket.asking import Asking, Manners
from skitai.server.websocket.dedicate import Dedicated
from skitai.server.websocket.handshaking import Fields
from skitai.server.websocket.init import WebSocketInit
from skitai.server.websocket.multicast import Member, Rooms
from skitai.server.websocket.reqdata import MessageRuns
from skitai.server.websocket.state import Accepted, Design, WebSockets
from skitai.server.wsgi.outgoing import request_line
from skitai.websocket.handshake import HandshakeError, Opening, accept_fields, read_request
from skitai.websocket.protocol import ServerWire

if TYPE_CHECKING:
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.request.request import Request
    from skitai.server.wsgi.resource import WSGIResource

#: What a 101 does not have of the app's response: it has no body, and its framing is the server's.
_NOT_IN_101 = HOP_BY_HOP | {"content-length", "content-type", "date", "server"}
_OF_HANDSHAKE = "sec-websocket-"
#: Those of HTTP in which a connection, or a stream, can change to another protocol.
_VERSIONS = ("1.1", "2")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Gate:
    """Takes the requests for websockets to all apps of an instance: see ``Upgrades``.

    All methods are called in the reactor thread.
    """

    def __init__(self, websockets: WebSockets) -> None:
        self._websockets = websockets
        self._rooms = Rooms(websockets)
        self._manners = Manners()
        self._refusals = RefusalLog(monotonic)

    def at_head(self, resource: WSGIResource, request: Request) -> bool:
        """Have the app asked whether it takes the websocket; return whether ``request`` is for one."""
        if not _asks_for_websocket(request):
            return False
        try:
            opening = self._checked(request)
        except HandshakeError as error:
            self._refusals.tell(request, error.status, str(error).rstrip("."))
            _refuse(request, error.status, str(error), error.fields)
        else:
            resource.serve(request, partial(self._ask, resource, opening))
        return True

    def _checked(self, request: Request) -> Opening:
        """Return what the client asks for. Raises HandshakeError for a request that cannot be granted."""
        if request.version not in _VERSIONS:
            raise HandshakeError(
                400, "A websocket needs HTTP/1.1 or HTTP/2, also from a proxy to this server."
            )
        if request.method != b"GET":
            raise HandshakeError(405, "A websocket is opened by GET.", [("Allow", "GET")])
        if not request.upgrade:
            raise HandshakeError(400, "A websocket is opened by a GET without a body.")
        opening = read_request(request.method, request.headers)
        origin = request.field(b"origin")
        if not self._websockets.origins.allows(origin, request.authority, request.connection.secure):
            raise HandshakeError(
                403, "Pages of this origin may not open websockets here ([websocket] origins)."
            )
        return opening

    def _ask(self, resource: WSGIResource, opening: Opening, request: Request, app: WSGIApp) -> None:
        decide = partial(self._decide, resource, opening, request, app)
        no_thread = partial(_refuse_thread, request)
        Asking(self._websockets, self._manners, resource, request, app, decide, no_thread).ask()

    def _decide(
        self,
        resource: WSGIResource,
        opening: Opening,
        request: Request,
        app: WSGIApp,
        environ: dict[str, Any],
        init: WebSocketInit | None,
        fields: Fields,
    ) -> None:
        if init is None:
            self._refusals.tell(request, 400, "its app takes no websockets there")
            _refuse(request, 400, "This address takes no websockets.")
            return
        websockets = self._websockets
        subprotocol = opening.choose(init.subprotocols)
        deflate = opening.deflate() if websockets.settings.deflate else None
        wire = ServerWire(
            websockets.settings,
            websockets.watch,
            websockets.queue,
            subprotocol=subprotocol,
            deflate=deflate,
            keep_alive=init.keep_alive or 0,
        )
        accepted = Accepted(resource, app, environ, f"{request_line(request)} (websocket)", init)
        design = self._design(init, accepted, wire)
        if design is None:
            _refuse_thread(request)
            return
        wire.listener = design.listener
        kept = [(name, value) for name, value in fields if _is_kept(name.lower())]
        agreed = accept_fields(opening, subprotocol, deflate)
        own = [field for field in agreed if field[0] != "Connection"]  # the channel writes it
        request.take_over(wire, "101 Switching Protocols", [*own, *kept])
        design.start()

    def _design(self, init: WebSocketInit, accepted: Accepted, wire: ServerWire) -> Design | None:
        """Return the websocket as the app wants it; None if there is no thread for its view."""
        websockets = self._websockets
        if init.design == WEBSOCKET_REQDATA:
            return MessageRuns(websockets, accepted, wire)
        if init.design == WEBSOCKET_MULTICAST:
            return Member(self._rooms, accepted, wire) if self._rooms.has_room(accepted) else None
        return Dedicated(websockets, accepted, wire) if websockets.has_room(accepted) else None


def _asks_for_websocket(request: Request) -> bool:
    """Return whether ``request`` names the protocol, and means this connection (RFC 9110, section 7.8)."""
    upgrade = request.field(b"upgrade")
    if upgrade is None or b"websocket" not in _names(upgrade):
        return False
    return b"upgrade" in _names(request.field(b"connection") or b"")


def _names(value: bytes) -> list[bytes]:
    return [name.strip() for name in value.lower().split(b",")]


def _is_kept(name: str) -> bool:
    return name not in _NOT_IN_101 and not name.startswith(_OF_HANDSHAKE)


def _refuse_thread(request: Request) -> None:
    text = "All threads for websockets are in use ([websocket] threads_max)."
    _refuse(request, 503, text, [("Retry-After", "1")])


def _refuse(request: Request, code: int, text: str, fields: Sequence[tuple[str, str]] = ()) -> None:
    request.respond(f"{code} {HTTPStatus(code).phrase}", [_TEXT, *fields], f"{text}\n".encode())
