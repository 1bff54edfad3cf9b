"""The gateway between a request and a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.context import ServiceTable, run_in_executor
from skitai.interfaces import IExecutor
from skitai.loop.bridge import Bridge
from skitai.server.apps.slot import AppSlot, AppWatcher, WSGIApp
from skitai.server.wsgi.appcall import AppCall
from skitai.server.wsgi.environ import base_environ, make_environ

if TYPE_CHECKING:
    from skitai.context import Was
    from skitai.server.request.request import Request

_log = Logger()


@implementer(IResource)
class WSGIResource:
    """One app at one mount point.

    ``load()`` returns the app, or raises an exception that says why it cannot be served. Requests are then
    answered with 503, or with 500 if an earlier version was served. ``load`` is called where apps run: until
    it has returned an app, and then before each request for which ``reloads()`` is true.
    ``in_turn(function)`` calls ``function(was)`` where apps run, and returns a Deferred. With a
    ``LoadQueue``, several apps are loaded in order. ``point`` is the mount point, empty for the root.
    ``watcher`` is told about the app's life. ``directories()``, called in any thread, returns the directories
    whose files load the app again. All methods are called in the reactor thread.
    """

    isLeaf = True

    def __init__(
        self,
        load: Callable[[], WSGIApp],
        point: str,
        executor: IExecutor,
        services: ServiceTable,
        *,
        buffer_max: int,
        multiprocess: bool = False,
        watcher: AppWatcher | None = None,
        reloads: Callable[[], bool] = lambda: False,
        in_turn: Callable[[Callable[[Was], None]], Deferred[None]] | None = None,
        directories: Callable[[], set[str]] = set,
    ) -> None:
        self.executor = executor
        self.bridge: Bridge = services.dispatcher.bridge
        self.services = services
        self.buffer_max = buffer_max
        self.watcher = watcher or AppWatcher()
        self.directories = directories
        # In WSGI, native strings carry bytes (PEP 3333, "Unicode Issues").
        self._script_name = point.encode().decode("latin-1")
        self._base = base_environ(executor.multithread, multiprocess)
        self._slot = AppSlot(
            load,
            self._script_name or "/",
            in_turn or partial(run_in_executor, executor, services),
            reloads=reloads,
            watcher=self.watcher,
        )

    def preload(self) -> Deferred[None]:
        """Load the app before a request needs it. Return a Deferred that fires after that, loaded or not.

        Each failure is logged once, with its traceback.
        """
        loaded: Deferred[None] = Deferred()
        self._slot.when_loaded(partial(loaded.callback, None))
        return loaded

    def look_again(self) -> None:
        """Load the app again if its files have changed, without waiting for a request."""
        self._slot.look_again()

    def stop_loading(self) -> None:
        """Do not load the app any more: there will be no requests."""
        self._slot.stop()

    def render(self, request: Request) -> int:
        """Call the app for ``request`` as soon as it is loaded."""
        if self._slot.is_settled:
            self._start(request)
        else:
            self._slot.when_loaded(partial(self._start_late, request))
        return NOT_DONE_YET

    def _start_late(self, request: Request) -> None:
        if request.gone:
            return
        try:
            self._start(request)
        except Exception:  # noqa: BLE001 - other requests wait for the same app
            _log.failure("{point} cannot be called", point=self._script_name or "/", level=LogLevel.error)
            request.fail(500)

    def _start(self, request: Request) -> None:
        app = self._slot.serving
        if app is None:
            request.fail(self._slot.code)
            return
        body = request.take_body()
        environ = make_environ(self._base, request, self._script_name, body)
        self.executor.submit(AppCall(self, app, request, environ, body).run)

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Never called: a leaf has no children."""
        raise NotImplementedError

    def putChild(self, path: bytes, child: Any) -> None:
        """Never called: a leaf has no children."""
        raise NotImplementedError
