"""The call of an app that decides whether it takes a websocket."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from skitai.server.websocket.init import INIT, WebSocketInit, read_init
from skitai.server.wsgi.appcall import AppCall, ResponseOverError

if TYPE_CHECKING:
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.request.request import Request
    from skitai.server.wsgi.outgoing import OutgoingBody
    from skitai.server.wsgi.resource import WSGIResource

Fields = list[tuple[str, str]]
#: Takes what the app has set, or None, and the fields of its response. Called in the reactor thread.
Decide = Callable[[WebSocketInit | None, Fields], None]


class HandshakeCall(AppCall):
    """Calls the app for a handshake.

    A response other than 2xx goes to the client as it is: the app refuses. In the place of a 2xx ``decide``
    is called; its body is dropped.
    """

    __slots__ = ("_decide",)

    def __init__(
        self, resource: WSGIResource, app: WSGIApp, request: Request, environ: dict[str, Any], decide: Decide
    ) -> None:
        super().__init__(resource, app, request, environ, None)
        self._decide = decide

    def _end(self, body: bytes) -> None:
        if self._outgoing is not None or not self._settle():
            super()._end(body)

    def _begin(self) -> OutgoingBody:
        if self._settle():
            raise ResponseOverError
        return super()._begin()

    def _settle(self) -> bool:
        """Have it decided if the app has answered with 2xx; return whether it has."""
        self._check_started()
        if not self._status.startswith("2"):
            return False
        init = read_init(self._environ.get(INIT))
        self.headers_sent = True
        self._post(partial(self._decide, init, self._headers))
        return True
