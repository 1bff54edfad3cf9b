"""The call of an app that decides whether it takes a websocket."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from skitai.server.websocket.init import INIT, WebSocketInit, read_init
from skitai.server.websocket.offer import OFFER, Offer, Unwind, Use
from skitai.server.wsgi.appcall import AppCall, ResponseOverError
from skitai.server.wsgi.checks import not_started

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
    is called, and in that of a 400 ``again``, if it is given; their bodies are dropped. If the app uses the
    socket of ``offer``, its response counts for nothing.
    """

    __slots__ = ("_again", "_decide", "_offer")

    def __init__(
        self,
        resource: WSGIResource,
        app: WSGIApp,
        request: Request,
        environ: dict[str, Any],
        decide: Decide,
        again: Callable[[], None] | None,
        offer: Offer | None,
    ) -> None:
        super().__init__(resource, app, request, environ, None)
        self._decide = decide
        self._again = again
        self._offer = offer

    def run(self, action: Callable[[], None] | None = None) -> None:
        """Call the app; see ``AppCall.run``."""
        if self._offer is None:
            super().run(action)
            return
        self._offer.begin()
        try:
            super().run(action)
        finally:
            self._environ.pop(OFFER, None)  # a view that was given to be called may keep the environ
            self._offer.end()

    def _failed(self, error: BaseException) -> None:
        if not self._uses_socket:
            super()._failed(error)
        elif not isinstance(error, Unwind | StopIteration):  # which libraries raise to end the call
            self._resource.app_failed(error, self.line)

    @property
    def _uses_socket(self) -> bool:
        return self._offer is not None and self._offer.use is not Use.NONE

    def _end(self, body: bytes) -> None:
        if self._outgoing is not None or not self._settle():
            super()._end(body)

    def _begin(self) -> OutgoingBody:
        if self._settle():
            raise ResponseOverError
        return super()._begin()

    def _settle(self) -> bool:
        """See what follows from the response; return whether it counts for nothing itself."""
        if self._uses_socket:
            return True
        if not self._status:
            raise not_started()
        if self._status.startswith("2"):
            init = read_init(self._environ.get(INIT))
            action: Callable[[], None] = partial(self._decide, init, self._headers)
        elif self._again is not None and self._status.startswith("400"):
            action = self._again
        else:
            return False
        self.headers_sent = True
        self._post(action)
        return True
