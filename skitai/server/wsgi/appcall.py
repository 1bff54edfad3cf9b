"""One call of a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from greenlet import GreenletExit

from skitai.calls.observers import tell
from skitai.calls.uncollected import OpenCalls
from skitai.context import Was, current_was
from skitai.http.lasting import FirstPiece
from skitai.loop.astray import end_if_child
from skitai.loop.contexts import current_context, run_in
from skitai.loop.native import thread_name
from skitai.server.wsgi.checks import as_bytes, check_headers, check_status, joined, not_started
from skitai.server.wsgi.filewrapper import FileProducer, FileWrapper
from skitai.server.wsgi.lasting import LastingReader
from skitai.server.wsgi.outgoing import OutgoingBody, close_body, request_line, warn_of_excess, whole_body
from skitai.server.wsgi.pieces import BYTES_PER_TURN, Pieces, cannot_send, give_up

if TYPE_CHECKING:
    from skitai.http.lasting import LastingBody
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.request.compress import Headers
    from skitai.server.request.request import Request
    from skitai.server.wsgi.resource import WSGIResource


#: Pieces that are still taken from an app when its body is complete. All of them should be empty.
_PIECES_AFTER_THE_END = 100
#: Methods that change nothing (RFC 9110, section 9.2.1).
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class ResponseOverError(Exception):
    """Raised to end the app where it sends: the client is gone, or has already got another answer."""


class AppCall:
    """Calls an app in a thread or greenlet, and passes its response to the reactor thread.

    A whole response goes there in one step, any other by way of ``Pieces``.
    """

    __slots__ = (
        "_announced",
        "_app",
        "_body",
        "_environ",
        "_handed_over",
        "_headers",
        "_outgoing",
        "_pieces",
        "_resource",
        "_status",
        "headers_sent",
        "request",
        "since",
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
        self.request = request
        self._environ = environ
        self._body = body
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        #: The Content-Length that the app has set.
        self._announced: int | None = None
        self._outgoing: OutgoingBody | None = None
        self._pieces: Pieces | None = None
        #: Whether the reactor sends the body. That is closed in a second run, which may overtake the first.
        self._handed_over = False
        #: Whether the head is on its way and can no longer be changed.
        self.headers_sent = False

    @property
    def line(self) -> str:
        """Method and target of the request, for the log. Read in any thread."""
        return request_line(self.request)

    @property
    def mark(self) -> tuple[int, float]:
        """What tells this call from others, also from those that are over. Read in any thread."""
        return id(self.request), self.request.arrived

    def has_left(self, standing: bool) -> bool:
        """Return whether the client does not want the answer any more; see ``Waiter``.

        A client that has closed its half of the connection may still read. It is taken for gone only where
        requests have to wait: there most of them are. What changes something is done in any case.
        """
        request = self.request
        if not request.gone and not (standing and request.read_ended):
            return False
        return request.method in _SAFE

    def refuse(self) -> None:
        """Answer with 503: the app has not begun, and will not. Called in the reactor thread."""
        if self._body is not None:
            self._body.close()
        if not self.request.gone:
            self._resource.refuse(self.request)

    # -- in the app's thread or greenlet -------------------------------------------------------------------

    def run(self, action: Callable[[], None] | None = None) -> None:
        """Call the app and send its response; with ``action``, call that instead, as code of the app."""
        # What ``call_with_was`` does: calling it would be two functions more for each request.
        environ, open_calls = self._environ, OpenCalls()
        was = Was(self._resource.services, environ, open_calls)
        current_was.set(was)
        environ["skitai.was"] = was
        environ["skitai.thread"] = thread_name()
        try:
            if action is None:
                self._serve()
            else:
                action()
        except ResponseOverError:
            pass  # it has ended the app, as intended
        except BaseException as error:  # an app may raise anything, and the response is then a 500
            end_if_child(error)
            self._failed(error)
            if isinstance(error, GreenletExit):
                raise  # it ends the greenlet, not only this call
        finally:
            # environ and was refer to each other: without this, only the garbage collector would free them.
            environ.pop("skitai.was", None)
            open_calls.end()
            if self._body is not None and not self._handed_over:
                self._body.close()

    def _serve(self) -> None:
        iterable: Any = self._app(self._environ, self.start_response)
        if type(iterable) in (list, tuple):
            is_one = len(iterable) == 1 and type(iterable[0]) is bytes  # as of most apps: a function less
            self._end(iterable[0] if is_one else joined(iterable))
            return
        try:
            if isinstance(iterable, FileWrapper) and iterable.is_regular():
                self._hand_over(iterable)
            else:
                self._send_each(iterable)
        finally:
            if not self._handed_over:  # else see _close_handed_over()
                close_body(iterable)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take the status and the header fields, and return ``write`` (PEP 3333).

        Raises AssertionError for a second call without ``exc_info``, and for a malformed status or field. If
        the head has been sent, raises ``exc_info``.
        """
        if exc_info is not None:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._status:
            raise AssertionError("start_response was called twice without exc_info")
        status = check_status(status)
        self._announced, self._headers = check_headers(headers)
        self._status = status
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body: the callable that ``start_response`` returns."""
        data = as_bytes(data)
        if self._is_over():
            raise ResponseOverError
        if data:
            self._send(self._outgoing or self._begin(), data)
        else:
            self._sending().take_turns()

    def _is_over(self) -> bool:
        """Whether the client is gone, or has got an error page because the head could not be sent."""
        return self.request.gone or self.request.written

    def _send_each(self, iterable: Iterable[bytes]) -> None:
        pieces = iter(iterable)
        for chunk in pieces:
            if self._is_over():
                return
            if not chunk:
                self._sending().take_turns()
                continue
            data = as_bytes(chunk)
            if self._outgoing is None and self._announced == len(data):
                # Most frameworks return an iterator whose only piece is the whole body.
                self._end(data)
                self._exhaust(pieces)
                return
            outgoing = self._outgoing or self._begin()
            self._send(outgoing, data)
            if outgoing.overflown:
                break
            if isinstance(chunk, FirstPiece) and not outgoing.complete:
                self._hand_over_rest(chunk.body, outgoing, iterable)
                return
        self._end(b"")

    def _exhaust(self, pieces: Iterator[bytes]) -> None:
        """Let the app run to its end. Its further pieces exceed its Content-Length."""
        if any(islice(pieces, _PIECES_AFTER_THE_END)):
            warn_of_excess(self.request)

    def _end(self, body: bytes) -> None:
        """Send the rest of the body: all of it, if nothing has been sent."""
        if self._outgoing is not None:
            if body:
                self._send(self._outgoing, body)
            self._finish(self._outgoing)
            return
        if not self._status:
            raise not_started()
        headers, body = whole_body(self.request, self._status, self._headers, self._announced, body)
        self.headers_sent = True
        if len(body) <= BYTES_PER_TURN or self.request.method == b"HEAD":
            self._resource.bridge.submit(partial(self._respond, headers, body))
        else:
            self._send_pieces(headers, body)

    def _send_pieces(self, headers: list[tuple[str, str]], body: bytes) -> None:
        """Send a large body in pieces, so that other requests get their turn while it is written to disk."""
        pieces = self._sending()
        pieces.append(lambda: self.request.start(self._status, headers, len(body)))
        for start in range(0, len(body), BYTES_PER_TURN):
            if self._is_over():
                return
            pieces.send(body[start : start + BYTES_PER_TURN])
        pieces.post(self.request.end)

    def _hand_over(self, file: FileWrapper) -> None:
        """Let the reactor send the file as fast as the client reads it."""
        outgoing = self._outgoing or self._begin()
        if outgoing.complete:
            self._finish(outgoing)
            return
        read = partial(run_in, current_context(), next, outgoing.of_file(file), None)
        producer = FileProducer(self.request, read, self._later_close(file))
        self._post(lambda: self._send_file(producer))

    def _hand_over_rest(self, body: LastingBody, outgoing: OutgoingBody, iterable: Iterable[bytes]) -> None:
        """Let the reactor send the rest of a body that lasts."""
        reader = LastingReader(self.request, outgoing, body, self._later_close(iterable))
        self._post(reader.begin)

    def _later_close(self, iterable: Any) -> Callable[[], None]:
        """Return what closes a body that the reactor sends, once that is done."""
        self._handed_over = True
        # Closing it may run code of the app, and that must not run in the reactor thread.
        closing = partial(run_in, current_context(), self.run, partial(self._close_handed_over, iterable))
        return partial(self._resource.executor.submit, closing)

    def _close_handed_over(self, iterable: Any) -> None:
        """Close a body that was sent by the reactor, and the request's body, from which it may read."""
        try:
            close_body(iterable)
        finally:
            if self._body is not None:
                self._body.close()

    def _begin(self) -> OutgoingBody:
        """Queue the head, which is sent together with the first piece."""
        if not self._status:
            raise not_started()
        self._outgoing = outgoing = OutgoingBody(self.request, self._status, self._headers, self._announced)
        self.headers_sent = True
        status = self._status
        self._sending().append(lambda: self.request.start(status, outgoing.headers))
        return outgoing

    def _send(self, outgoing: OutgoingBody, data: bytes) -> None:
        self._sending().send(outgoing.piece(data))

    def _finish(self, outgoing: OutgoingBody) -> None:
        last = outgoing.last()
        if last:
            self._sending().append(lambda: self.request.send(last))
        self._post(self.request.end)

    def _failed(self, error: BaseException) -> None:
        try:
            self._resource.app_failed(error, self.line)
        finally:  # whatever a watcher does, the client is answered
            self._post(partial(give_up, self._resource, self.request, error))

    def _post(self, action: Callable[[], None]) -> None:
        self._sending().post(action)

    def _sending(self) -> Pieces:
        """Return what sends in pieces: most responses are whole, and need none."""
        if self._pieces is None:
            self._pieces = Pieces(self._resource, self.request)
        return self._pieces

    # -- in the reactor thread -----------------------------------------------------------------------------

    def _respond(self, headers: Headers, body: bytes) -> None:
        """Send the whole response at once: nothing is in the queue then."""
        try:
            self.request.respond(self._status, headers, body)
        except Exception:  # noqa: BLE001 - a field that breaks the framing, for example
            cannot_send(self._resource, self.request)

    def _send_file(self, producer: FileProducer) -> None:
        if self.request.written:
            producer.stopProducing()
        else:
            self.request.registerProducer(producer, False)


class ObservedAppCall(AppCall):
    """A call of an app of which the observers of its resource are told."""

    __slots__ = ()

    def _serve(self) -> None:
        tell(self._resource.observers, self.request, self._environ)
        super()._serve()
