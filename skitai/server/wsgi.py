"""The gateway between a request and a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.calls.bridge import Bridge, Pending
from skitai.context import ServiceTable, Was, current_was
from skitai.interfaces import IExecutor
from skitai.server.compress import LENGTH_MIN, Compressor, negotiate
from skitai.server.environ import base_environ, make_environ
from skitai.server.filewrapper import FileProducer, FileWrapper
from skitai.server.wsgi_checks import as_bytes, check_headers, check_status

if TYPE_CHECKING:
    from skitai.server.request import Request

_log = Logger()

#: Seconds; a paused app is woken by its client's progress or end, this is only how long one wait lasts.
_PAUSE_SECONDS = 60.0

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@implementer(IResource)
class WSGIResource:
    """One app at one mount point.

    ``load()`` returns the app, or raises an exception that says why it cannot be served (answered with 503).
    ``point`` is the mount point, empty for the root. All methods are called in the reactor thread.
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
    ) -> None:
        self.executor = executor
        self.bridge: Bridge = services.dispatcher.bridge
        self.services = services
        self.buffer_max = buffer_max
        self._load = load
        self._failure: Exception | None = None
        self._script_name = point
        self._base = base_environ(executor.multithread, multiprocess)

    def preload(self) -> WSGIApp | None:
        """Return the app, or None if it cannot be loaded; each failure is logged once, with its traceback."""
        try:
            return self._load()
        except Exception as error:  # noqa: BLE001 - whatever an app's module raises
            if error is not self._failure:
                self._failure = error
                _log.failure("The app at {point} answers 503", point=self._script_name or "/")
            return None

    def render(self, request: Request) -> int:
        """Start the app for ``request``; the answer comes when it is ready."""
        app = self.preload()
        if app is None:
            request.fail(503)
            return NOT_DONE_YET
        body = request.take_body()
        environ = make_environ(self._base, request, self._script_name, body)
        self.executor.submit(Exchange(self, app, request, environ, body).run)
        return NOT_DONE_YET

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Never called: a leaf has no children."""
        raise NotImplementedError

    def putChild(self, path: bytes, child: Any) -> None:
        """Never called: a leaf has no children."""
        raise NotImplementedError


class Exchange:
    """One call of an app: runs where the executor says, and hands what the app says to the reactor.

    ``run`` and what it calls run in the app's thread or greenlet; ``_deliver`` and what it calls in the
    reactor thread. Between them lies a queue, so that several pieces cost one wake-up.
    """

    __slots__ = (
        "_app",
        "_body",
        "_compressor",
        "_environ",
        "_headers",
        "_outbox",
        "_request",
        "_resource",
        "_status",
        "headers_sent",
    )

    def __init__(
        self,
        resource: WSGIResource,
        app: WSGIApp,
        request: Request,
        environ: dict[str, Any],
        body: IO[bytes] | None,
    ) -> None:
        self._resource = resource
        self._app = app
        self._request = request
        self._environ = environ
        self._body = body
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._compressor: Compressor | None = None
        self._outbox: deque[Callable[[], None]] = deque()
        #: Whether the head is on its way, so that it can no longer be changed.
        self.headers_sent = False

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def run(self) -> None:
        """Call the app and send what it gives."""
        was = Was(self._resource.services, self._environ)
        self._environ["skitai.was"] = was
        token = current_was.set(was)
        try:
            self._serve()
        except Exception:  # noqa: BLE001 - an app may raise anything: it is this request's 500
            self._failed()
        finally:
            current_was.reset(token)
            if self._body is not None:
                self._body.close()

    def _serve(self) -> None:
        iterable = self._app(self._environ, self.start_response)
        handed_over = False
        try:
            if type(iterable) in (list, tuple):
                self._send_all(b"".join([as_bytes(chunk) for chunk in iterable]))
            elif isinstance(iterable, FileWrapper) and iterable.is_regular():
                self._begin(None)
                handed_over = True
                self._post(lambda: self._send_file(iterable))
            else:
                self._send_each(iterable)
        finally:
            if not handed_over:
                close = getattr(iterable, "close", None)
                if close is not None:
                    close()

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Note status and header fields, as PEP 3333 has it; return ``write``.

        Raises AssertionError for a second call without ``exc_info`` or for what cannot be a status or a
        field, and ``exc_info`` when the head was sent.
        """
        if exc_info is not None:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status:
            raise AssertionError("start_response was called twice without exc_info")
        check_status(status)
        check_headers(headers)
        self._status = status
        self._headers = list(headers)
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body: the callable that ``start_response`` returns."""
        data = as_bytes(data)
        if not self.headers_sent:
            self._begin(None)
        self._send(data)

    def _send_each(self, iterable: Iterable[bytes]) -> None:
        request = self._request
        for chunk in iterable:
            if request.gone:
                return
            if chunk:
                data = as_bytes(chunk)
                if not self.headers_sent:
                    self._begin(self._complete_length(data))
                self._send(data)
        if self.headers_sent:
            self._finish()
        else:
            self._send_all(b"")

    def _complete_length(self, first: bytes) -> int | None:
        """Frameworks that stream one chunk announce its length: then all of the body is at hand."""
        for name, value in self._headers:
            if name.lower() == "content-length":
                return len(first) if value == str(len(first)) else None
        return None

    def _send_all(self, body: bytes) -> None:
        if self.headers_sent:  # by write()
            if body:
                self._send(body)
            self._finish()
            return
        self._check_started()
        self._compressor, self._headers = self._negotiate(len(body))
        if self._compressor is not None:
            body = self._compressor.flush(body)
        self.headers_sent = True
        self._post(lambda: self._request.respond(self._status, self._headers, body))

    def _begin(self, length: int | None) -> None:
        self._check_started()
        self._compressor, self._headers = self._negotiate(length)
        self.headers_sent = True
        status, headers = self._status, self._headers
        self._outbox.append(lambda: self._request.start(status, headers))

    def _check_started(self) -> None:
        if not self._status:
            raise AssertionError("the app sent a body before it called start_response")

    def _negotiate(self, length: int | None) -> tuple[Compressor | None, list[tuple[str, str]]]:
        if length is not None and length < LENGTH_MIN:
            return None, self._headers
        return negotiate(self._request, int(self._status[:3]), self._headers, length)

    def _send(self, data: bytes) -> None:
        if self._compressor is not None:
            data = self._compressor.compress(data)
        self._post(lambda: self._request.send(data))
        if self._request.waiting > self._resource.buffer_max:
            self._pause()

    def _pause(self) -> None:
        """Wait until a client that takes much less than the app makes has caught up, or is gone."""
        caught_up = Pending()
        low = self._resource.buffer_max // 2
        self._post(lambda: self._request.when_below(low, caught_up.end))
        while not self._resource.bridge.wait(caught_up, _PAUSE_SECONDS):
            pass  # the connection's own time-out ends this: a client that takes nothing is cut off

    def _finish(self) -> None:
        if self._compressor is not None:
            last = self._compressor.flush()
            self._outbox.append(lambda: self._request.send(last))
        self._post(self._request.end)

    def _failed(self) -> None:
        if self._request.gone:
            return
        _log.failure("{method} {uri} failed", method=self._environ["REQUEST_METHOD"], uri=self._request.uri)
        self._post(lambda: self._request.fail(500))

    def _post(self, action: Callable[[], None]) -> None:
        self._outbox.append(action)
        self._resource.bridge.submit(self._deliver)

    # -- in the reactor thread -----------------------------------------------------------------------------

    def _deliver(self) -> None:
        outbox = self._outbox
        while outbox:
            try:
                outbox.popleft()()
            except ValueError as error:
                _log.error("{uri}: {error}", uri=self._request.uri, error=error)
                self._request.fail(500)

    def _send_file(self, file: FileWrapper) -> None:
        self._request.registerProducer(FileProducer(self._request, file, file.close), False)
