"""How an app is asked whether it takes a websocket."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from skitai.server.websocket.handshaking import Fields, HandshakeCall
from skitai.server.websocket.init import INIT, WebSocketInit
from skitai.server.websocket.offer import OFFER, Offer

if TYPE_CHECKING:
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.request.request import Request
    from skitai.server.websocket.state import WebSockets
    from skitai.server.wsgi.resource import WSGIResource

#: What frameworks take for a request that only a route of another kind may answer: Werkzeug, for example.
_UPGRADE = ("HTTP_UPGRADE", "HTTP_CONNECTION")
#: Takes the environ for the app's further calls, what it has set, and the fields of its response.
Decide = Callable[[dict[str, Any], WebSocketInit | None, Fields], None]


#: Paths of an app that are remembered. A client that makes up others cannot fill the memory.
_PATHS_MAX = 1000


class Manners:
    """How apps are asked first: what they have taught.

    The request is shown as it is, with the socket of its connection: that is what libraries need which answer
    the handshake themselves. Werkzeug answers it with 400 unless the route is one of such a library. Then the
    app is asked again as for a plain request, and from then on so at first.

    Where the app has used the socket in a greenlet that must not block, it is asked again in a thread, and at
    the same path from then on at once.
    """

    def __init__(self) -> None:
        self._plain: WeakSet[WSGIResource] = WeakSet()
        self._in_threads: WeakKeyDictionary[WSGIResource, set[bytes]] = WeakKeyDictionary()

    def is_plain(self, resource: WSGIResource) -> bool:
        """Return whether the app of ``resource`` is first asked as for a plain request."""
        return resource in self._plain

    def learn(self, resource: WSGIResource, plain: bool) -> None:
        """Note how the app of ``resource`` has taken a websocket."""
        (self._plain.add if plain else self._plain.discard)(resource)

    def needs_thread(self, resource: WSGIResource, path: bytes) -> bool:
        """Return whether the app of ``resource`` has used the socket at ``path``, in a greenlet."""
        return path in self._in_threads.get(resource, ())

    def learn_thread(self, resource: WSGIResource, path: bytes) -> None:
        """Note that the app of ``resource`` needs a thread at ``path``."""
        paths = self._in_threads.setdefault(resource, set())
        if len(paths) < _PATHS_MAX:
            paths.add(path)


class Asking:
    """Asks an app about one websocket. All methods are called in the reactor thread.

    ``decide`` is called when it has answered with 2xx. ``no_thread`` answers the request where there is no
    thread for it.
    """

    def __init__(
        self,
        websockets: WebSockets,
        manners: Manners,
        resource: WSGIResource,
        request: Request,
        app: WSGIApp,
        decide: Decide,
        no_thread: Callable[[], None],
    ) -> None:
        self._websockets = websockets
        self._manners = manners
        self._resource = resource
        self._request = request
        self._app = app
        self._decide = decide
        self.no_thread = no_thread
        self._plain = manners.is_plain(resource)
        self._is_first = True

    def ask(self) -> None:
        """Ask the app: where it runs, or in a thread if it needs that."""
        if not self._plain and self._manners.needs_thread(self._resource, self._request.path):
            self._ask_in_thread()
        else:
            self._resource.line.submit(self._call())

    def _ask_again(self) -> None:
        if not self._request.gone:
            self._plain, self._is_first = not self._plain, False
            self.ask()

    def taken(self) -> None:
        """Note that the app has taken the socket."""
        self._manners.learn(self._resource, plain=False)

    def misplaced(self) -> None:
        """Ask again in a thread, where the app may block: it has used the socket in a greenlet."""
        self._manners.learn_thread(self._resource, self._request.path)
        if not (self._request.gone or self._request.written):
            self._ask_in_thread()

    def _ask_in_thread(self) -> None:
        try:
            self._websockets.threads.submit(self._call(in_own_thread=True).run)
        except RuntimeError:  # too many threads, or the system has no more
            self.no_thread()

    def _call(self, in_own_thread: bool = False) -> HandshakeCall:
        resource, request = self._resource, self._request
        environ = {**resource.environ_of(request), INIT: None}
        offer = None
        if self._plain:
            _hide(environ)
        else:
            offer = Offer(self._websockets, resource.executor, request, self, in_own_thread)
            environ[OFFER] = offer.socket
        if in_own_thread:
            environ["wsgi.multithread"] = True
        again = self._ask_again if self._is_first else None
        return HandshakeCall(resource, self._app, request, environ, self._decided, again, offer)

    def _decided(self, init: WebSocketInit | None, fields: Fields) -> None:
        if self._request.gone or self._request.written:
            return
        if init is not None and self._plain:
            self._manners.learn(self._resource, plain=True)
        environ = self._resource.environ_of(self._request)
        _hide(environ)
        self._decide(environ, init, fields)


def _hide(environ: dict[str, Any]) -> None:
    for name in _UPGRADE:
        environ.pop(name, None)
