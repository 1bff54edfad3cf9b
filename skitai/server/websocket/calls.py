"""Runs of app code for a websocket that is open: their response does not go to a client as HTTP."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
from greenlet import GreenletExit

from skitai.context import call_with_was
from skitai.loop.native import thread_name
from skitai.server.wsgi.checks import as_bytes, check_headers, check_status, not_started
from skitai.server.wsgi.outgoing import close_body

if TYPE_CHECKING:
    from skitai.context import Was
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.wsgi.appcall import ExcInfo
    from skitai.server.wsgi.resource import WSGIResource

T = TypeVar("T")


@attrs.define
class Response:
    """What an app has answered: the status, such as ``"200 OK"``, the header fields and the body."""

    status: str = ""
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: bytes = b""

    @property
    def is_ok(self) -> bool:
        """Whether the app has answered with 2xx."""
        return self.status.startswith("2")

    def field(self, name: str) -> str:
        """Return the header field ``name``, in lower case; empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


def call_app(app: WSGIApp, environ: dict[str, Any]) -> Response:
    """Call ``app`` (PEP 3333) and return its whole response. Raises what it raises, and AssertionError."""
    response = Response()
    pieces: list[bytes] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is None and response.status:
            raise AssertionError("start_response was called twice without exc_info")
        response.status = check_status(status)
        response.headers = check_headers(headers)[1]
        return write

    def write(data: bytes) -> None:
        pieces.append(as_bytes(data))

    iterable = app(environ, start_response)
    try:
        for piece in iterable:
            pieces.append(as_bytes(piece))
    finally:
        close_body(iterable)
    if not response.status:
        raise not_started()
    response.body = b"".join(pieces)
    return response


class WebSocketCall:
    """One run of app code; ``doing`` is what the log calls it. ``environ`` is the run's own."""

    __slots__ = ("_began", "_environ", "_function", "_resource", "line")

    def __init__(self, resource: WSGIResource, environ: dict[str, Any], doing: str) -> None:
        self.line = doing
        self._resource = resource
        self._environ = environ
        self._began = 0.0

    @property
    def mark(self) -> tuple[int, float]:
        """What tells this run from others, also from those that are over. Read in any thread."""
        return id(self), self._began

    def run(self, function: Callable[[], T], failed: T) -> T:
        """Return what ``function()`` returns, with a ``was`` of its own; ``failed`` if it raises.

        What it raises is logged. Called in a thread or greenlet for apps.
        """
        self._began = monotonic()
        # No ``partial``: it would be another C function on the stack, which a greenlet that waits keeps.
        self._function = function
        try:
            found: T = call_with_was(self._resource.services, self._run, self._environ)
        except BaseException as error:  # an app may raise anything
            self._resource.app_failed(error, self.line)
            if isinstance(error, GreenletExit):
                raise  # it ends the greenlet, not only this run
            return failed
        finally:
            # environ and was refer to each other: without this, only the garbage collector would free them.
            self._environ.pop("skitai.was", None)
        return found

    def _run(self, was: Was) -> Any:
        self._environ["skitai.was"] = was
        self._environ["skitai.thread"] = thread_name()
        return self._function()
