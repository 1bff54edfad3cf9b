"""The gateway between a request and a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.context import ServiceTable, current_request_id, run_in_executor
from skitai.formats.loglines import about_request
from skitai.interfaces import IExecutor, IHeadResource
from skitai.loop.bridge import Bridge
from skitai.loop.lines import NO_LIMITS, Limits
from skitai.server.apps.failure import answer_with_error, answer_with_failure
from skitai.server.apps.slot import AppSlot, AppWatcher, WSGIApp
from skitai.server.wsgi.appcall import AppCall, ObservedAppCall
from skitai.server.wsgi.environ import base_environ, make_environ

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.context import Was
    from skitai.server.request.request import Request

_log = Logger()

#: Takes a request and the app that is to answer it.
Use = Callable[["Request", WSGIApp], None]


class Upgrades(Protocol):
    """Lets an app accept requests for another protocol."""

    def at_head(self, resource: WSGIResource, request: Request) -> bool:
        """Return whether ``request`` to the app of ``resource`` is taken care of; see ``IHeadResource``."""


@implementer(IResource, IHeadResource)
class WSGIResource:
    """One app at one mount point.

    ``load()`` returns the app, or raises an exception that says why it cannot be served. Requests are then
    answered with 503, or with 500 if an earlier version was served. ``load`` is called where apps run: until
    it has returned an app, and then before each request for which ``reloads()`` is true.
    ``in_turn(function)`` calls ``function(was)`` where apps run, and returns a Deferred. With a
    ``LoadQueue``, several apps are loaded in order. ``point`` is the mount point, empty for the root.
    ``watcher`` is told about the app's life. ``directories()``, called in any thread, returns the directories
    whose files load the app again. ``upgrades`` takes requests for other protocols; None: they are served as
    plain requests. ``name`` tells this mount from others, also in other processes. Each of ``observers`` is
    called with a request and its environ, where the app runs, before that is called. ``limits`` say which
    requests are refused because too many wait, or have waited too long. ``shows_failures``: while the app
    cannot be loaded, clients are told why. All methods are called in the reactor thread.
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
        upgrades: Upgrades | None = None,
        name: str = "",
        observers: Sequence[Callable[[Request, dict[str, Any]], object]] = (),
        limits: Limits = NO_LIMITS,
        shows_failures: bool = False,
    ) -> None:
        self.executor = executor
        #: Requests that wait for their turn in the executor.
        self.line = executor.line(point or "/", limits)
        self.bridge: Bridge = services.dispatcher.bridge
        self.services = services
        self.buffer_max = buffer_max
        self.watcher = watcher or AppWatcher()
        self.directories = directories
        self.name = name
        self.observers = observers
        self._app_call = ObservedAppCall if observers else AppCall
        self._upgrades = upgrades
        self._shows_failures = shows_failures
        self._retry_after = str(max(ceil(limits.queue_timeout), 1))
        # In WSGI, native strings carry bytes (PEP 3333, "Unicode Issues").
        self._script_name = point.encode().decode("latin-1")
        base = base_environ(executor.multithread, multiprocess, self._script_name)
        #: Returns a new environ for the app, of a request and its body, if it has one; see ``make_environ``.
        self.environ_of = partial(make_environ, base)
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

    @property
    def failure(self) -> BaseException | None:
        """What keeps the app from being loaded, if it was tried."""
        return self._slot.failure

    def load_now(self) -> str | None:
        """Load the app in this thread, for processes that are forked from this one.

        Nobody is told that the app begins: that is for those processes. Returns what keeps it from being
        loaded, with the traceback of its own code; None if it was loaded.
        """
        return self._slot.load_now()

    def look_again(self) -> None:
        """Load the app again if its files have changed, without waiting for a request."""
        self._slot.look_again()

    def stop_loading(self) -> None:
        """Do not load the app any more: there will be no requests."""
        self._slot.stop()

    def at_head(self, request: Request) -> bool:
        """Return whether ``request`` is taken care of: it asks for another protocol, or too many wait."""
        if self.line.is_full:  # its body would be read in vain
            self._turn_away(request)
            return True
        return self._upgrades is not None and self._upgrades.at_head(self, request)

    def render(self, request: Request) -> int:
        """Call the app for ``request`` as soon as it is loaded."""
        slot = self._slot
        if slot.is_settled and slot.serving is not None:  # as of nearly all requests: two functions less
            self._call(request, slot.serving)
        else:
            self.serve(request, self._call)
        return NOT_DONE_YET

    def serve(self, request: Request, use: Use) -> None:
        """Call ``use(request, app)`` when the app is loaded; without an app, the request gets 503 or 500."""
        if self._slot.is_settled:
            self._start(request, use)
        else:
            self._slot.when_loaded(partial(self._start_late, request, use))

    def app_failed(self, error: BaseException, doing: str, failure: Failure | None = None) -> None:
        """Log what the app raised while ``doing``, such as ``GET /``, and tell the watcher.

        Called in any thread, where it is handled; elsewhere with its ``failure``.
        """
        about = about_request(current_request_id())
        _log.failure("{doing} failed{about}", failure, doing=doing, about=about, level=LogLevel.error)
        self.watcher.failed(error, doing)

    def answer_failed(self, request: Request, error: BaseException | None) -> None:
        """Answer with 500, and show a developer the ``error`` that the app has raised. Reactor thread."""
        if error is None or not self._shows_failures or request.status_code:
            request.fail(500)
        else:
            answer_with_error(request, error)

    def _start_late(self, request: Request, use: Use) -> None:
        if request.gone:
            return
        try:
            self._start(request, use)
        except Exception:  # noqa: BLE001 - other requests wait for the same app
            _log.failure("{point} cannot be called", point=self._script_name or "/", level=LogLevel.error)
            request.fail(500)

    def _start(self, request: Request, use: Use) -> None:
        app, failure = self._slot.serving, self._slot.failure
        if app is None and failure is not None and self._shows_failures:
            answer_with_failure(request, self._slot.code, failure)
        elif app is None:
            request.fail(self._slot.code)
        else:
            use(request, app)

    def _call(self, request: Request, app: WSGIApp) -> None:
        line = self.line
        if len(line.held) >= line.room and line.is_full:
            self._turn_away(request)
            return
        body = None if request.spool is None else request.take_body()
        line.submit(self._app_call(self, app, request, self.environ_of(request, body), body))

    def _turn_away(self, request: Request) -> None:
        self.line.full += 1
        self.refuse(request)

    def refuse(self, request: Request) -> None:
        """Answer with 503: the app would not come to it in time."""
        request.fail(503, ("Retry-After", self._retry_after))

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Never called: a leaf has no children."""
        raise NotImplementedError

    def putChild(self, path: bytes, child: Any) -> None:
        """Never called: a leaf has no children."""
        raise NotImplementedError
