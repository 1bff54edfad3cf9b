"""The gateway between a request and a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.context import ServiceTable
from skitai.interfaces import IExecutor
from skitai.loop.bridge import Bridge
from skitai.server.wsgi.appcall import AppCall
from skitai.server.wsgi.environ import base_environ, make_environ

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_log = Logger()

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class AppWatcher:
    """Who wants to know of the life of apps; this one does not. Called in the reactor thread."""

    def loaded(self, app: WSGIApp, previous: WSGIApp | None) -> None:
        """Learn that ``app`` was loaded, in the place of ``previous`` if there was one."""

    def broken(self, app: WSGIApp, error: BaseException) -> WSGIApp | None:  # noqa: ARG002 - see above
        """Return what to serve while ``app`` cannot be loaded again because of ``error``; None: 500."""
        return None

    def failed(self, error: BaseException, doing: str) -> None:
        """Learn that an app left ``error`` to the server while ``doing``, such as ``GET /``.

        Called in the app's thread, or in the reactor thread while an app is loaded.
        """


@implementer(IResource)
class WSGIResource:
    """One app at one mount point.

    ``load()`` returns the app, or raises an exception that says why it cannot be served: answered with 503,
    and with 500 where another version was served before. ``point`` is the mount point, empty for the root;
    ``watcher`` learns of the app's life; ``directories()``, called in any thread, returns those whose files
    load the app again. All methods are called in the reactor thread.
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
        directories: Callable[[], set[str]] = set,
    ) -> None:
        self.executor = executor
        self.bridge: Bridge = services.dispatcher.bridge
        self.services = services
        self.buffer_max = buffer_max
        self._load = load
        self.watcher = watcher or AppWatcher()
        self.directories = directories
        self._app: WSGIApp | None = None
        self._failure: Exception | None = None
        # Native strings of WSGI carry bytes: PEP 3333, "Unicode Issues".
        self._script_name = point.encode().decode("latin-1")
        self._base = base_environ(executor.multithread, multiprocess)

    def preload(self) -> WSGIApp | None:
        """Return the app, or None if it cannot be loaded; each failure is logged once, with its traceback."""
        try:
            app = self._load()
        except Exception as error:  # noqa: BLE001 - whatever an app's module raises
            # What the app's own code raised is the cause: its traceback shows the line to mend.
            cause = error.__cause__ or error
            if error is not self._failure:
                self._failure = error
                self._report(error, cause)
            return None if self._app is None else self.watcher.broken(self._app, cause)
        if app is not self._app:
            previous, self._app = self._app, app
            self.watcher.loaded(app, previous)
        return app

    def _report(self, error: Exception, cause: BaseException) -> None:
        point = self._script_name or "/"
        reason = Failure(cause)  # type: ignore[no-untyped-call]
        _log.failure("{error}; {point} answers {code}", reason, error=error, point=point, code=self._unloaded)
        self.watcher.failed(cause, f"load {point}")

    @property
    def _unloaded(self) -> int:
        """The status while the app cannot be loaded: never there, or broken by a change."""
        return 503 if self._app is None else 500

    def render(self, request: Request) -> int:
        """Start the app for ``request``; the answer comes when it is ready."""
        app = self.preload()
        if app is None:
            request.fail(self._unloaded)
            return NOT_DONE_YET
        body = request.take_body()
        environ = make_environ(self._base, request, self._script_name, body)
        self.executor.submit(AppCall(self, app, request, environ, body).run)
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Never called: a leaf has no children."""
        raise NotImplementedError

    def putChild(self, path: bytes, child: Any) -> None:
        """Never called: a leaf has no children."""
        raise NotImplementedError
