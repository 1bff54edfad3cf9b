"""WEBSOCKET_DEDICATE: a view for each websocket, as long as it is open."""

from __future__ import annotations

from functools import partial

from skitai.server.websocket.state import Accepted, WebSockets
from skitai.server.websocket.view import View
from skitai.websocket.closing import INTERNAL_ERROR, NORMAL, TRY_AGAIN_LATER
from skitai.websocket.contracts import Listener, Wire
from skitai.websocket.conversation import WebSocket


class Dedicated:
    """A websocket and its view. All methods are called in the reactor thread."""

    kind = "dedicate"

    def __init__(self, websockets: WebSockets, accepted: Accepted, wire: Wire) -> None:
        self._websockets = websockets
        self._websocket = WebSocket(websockets.bridge, wire, websockets.limits)
        #: What comes before the view takes it waits there.
        self.listener: Listener = self._websocket
        self._view = View(websockets, accepted, self._websocket, self._over)

    def start(self) -> None:
        """Begin the view."""
        self._websockets.opened(self)
        self._websocket.at_close(self, partial(self._websockets.closed, self))
        try:
            self._view.start()
        except RuntimeError:  # the system has no more threads
            self._websocket.close(TRY_AGAIN_LATER)

    def _over(self, ok: bool) -> None:
        self._websocket.close(NORMAL if ok else INTERNAL_ERROR)
