"""The app at one mount point: loaded where apps run, while requests for it wait."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from skitai.context import Was

_log = Logger()

#: Characters of a traceback that are passed on: the last ones tell the most.
_TRACE_MAX = 10_000

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class AppWatcher:
    """Is told about the life of apps. This one ignores it. Called where apps run."""

    def loaded(self, app: WSGIApp, previous: WSGIApp | None) -> None:
        """Take note that ``app`` was loaded, in place of ``previous`` if any, and will serve."""

    def broken(self, app: WSGIApp, error: BaseException) -> WSGIApp | None:  # noqa: ARG002 - see above
        """Return what serves while ``error`` keeps ``app`` from being loaded again, or None for a 500."""
        return None

    def not_loaded(self, error: BaseException, point: str) -> None:
        """Take note that ``error`` keeps the app at ``point`` from being loaded."""
        self.failed(error, f"load {point}")

    def failed(self, error: BaseException, doing: str) -> None:
        """Take note that an app raised ``error`` in ``doing``, for example ``GET /``."""


class AppSlot:
    """The app that serves a mount point, which the log calls ``point``.

    ``load()`` returns the app, or raises what keeps it from being served. It is called where apps run, by
    ``in_turn(function)``, which calls ``function(was)`` there and returns a Deferred. It is called until it
    has returned an app, and then before each request for which ``reloads()`` is true. A request that arrives
    during a load waits for the next one. ``watcher`` is told about the app's life, where apps run. All public
    methods are called in the reactor thread.
    """

    def __init__(
        self,
        load: Callable[[], WSGIApp],
        point: str,
        in_turn: Callable[[Callable[[Was], None]], Deferred[None]],
        *,
        reloads: Callable[[], bool],
        watcher: AppWatcher,
    ) -> None:
        self.point = point
        #: Whether ``serving`` stays as it is, so that requests need not wait.
        self.is_settled = False
        #: The app that answers requests; None if they are answered with ``code``.
        self.serving: WSGIApp | None = None
        self._load = load
        self._in_turn = in_turn
        self._reloads = reloads
        self._watcher = watcher
        self._app: WSGIApp | None = None
        self._failure: BaseException | None = None
        self._is_loading = self._is_stopped = False
        self._waiting: list[Callable[[], None]] = []

    @property
    def code(self) -> int:
        """The status without an app: 503 if it was never loaded, 500 if a change has broken it."""
        return 503 if self._app is None else 500

    @property
    def failure(self) -> BaseException | None:
        """What the last attempt to load the app raised."""
        return self._failure

    def load_now(self) -> str | None:
        """Load the app, but do not let it begin; see ``WSGIResource.load_now``."""
        try:
            self._load()
        except Exception as error:  # noqa: BLE001 - whatever an app's module raises
            cause = error.__cause__
            has_trace = cause is not None and _says_more(cause)
            trace = "".join(traceback.format_exception(cause)).rstrip() if has_trace else ""
            return f"{error}\n{trace[-_TRACE_MAX:]}".rstrip()
        return None

    def when_loaded(self, call: Callable[[], None]) -> None:
        """Call ``call()``, which must not raise, when ``serving`` is up to date with the files."""
        self._waiting.append(call)
        if not self._is_loading:
            self._begin()

    def look_again(self) -> None:
        """Load the app again if it has changed, without waiting for a request."""
        if not (self.is_settled or self._is_loading):
            self._begin()

    def stop(self) -> None:
        """Load nothing any more, even if a load is in the queue."""
        self._is_stopped = True

    def _begin(self) -> None:
        # Later requests wait for another load: a file may change while this one is under way.
        waiting, self._waiting = self._waiting, []
        self._is_loading = True
        looked = maybeDeferred(self._in_turn, self.look)
        looked.addErrback(self._give_up).addCallback(self._end, waiting)

    def _end(self, _outcome: None, waiting: list[Callable[[], None]]) -> None:
        self._is_loading = False
        self.is_settled = self._failure is None and not self._reloads()
        if self.is_settled:
            waiting, self._waiting = [*waiting, *self._waiting], []
        for call in waiting:
            call()
        if self._waiting:
            self._begin()

    def _give_up(self, failure: Failure) -> None:
        """Serve nothing: the load was interrupted, or could not be started."""
        self._failure, self.serving = failure.value, None
        _log.failure("{point} cannot be loaded", failure, point=self.point, level=LogLevel.error)

    # -- where apps run ------------------------------------------------------------------------------------

    def look(self, _was: Was) -> None:
        """Load the app if it must be, for those who wait for it. ``in_turn`` calls it."""
        if self._is_stopped:
            return
        try:
            app = self._load()
        except Exception as error:  # noqa: BLE001 - whatever an app's module raises
            # The cause comes from the app's own code: its traceback shows the line to mend.
            cause = error.__cause__ or error
            if error is not self._failure:
                self._failure = error
                self._report(error, cause)
            self.serving = None if self._app is None else self._watcher.broken(self._app, cause)
            return
        is_again = self._app is not None or self._failure is not None
        if app is not self._app:
            previous, self._app = self._app, app
            self._watcher.loaded(app, previous)
            if is_again:
                _log.info("the app at {point} was loaded again", point=self.point)
        self._failure, self.serving = None, app

    def _report(self, error: Exception, cause: BaseException) -> None:
        words: dict[str, Any] = {"error": error, "point": self.point, "code": self.code}
        if _says_more(cause):
            reason = Failure(cause)  # type: ignore[no-untyped-call]
            _log.failure("{error}; {point} answers {code}", reason, level=LogLevel.error, **words)
        else:
            _log.error("{error}; {point} answers {code}", **words)
        self._watcher.not_loaded(cause, self.point)


def _says_more(cause: BaseException) -> bool:
    """Return whether the traceback of ``cause`` shows a place in the app's code; else words are enough."""
    return cause.__traceback__ is not None or isinstance(cause, SyntaxError)
