"""A port for the pages alone, which all workers of a server share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import DeferredList, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.web.server import Site

from skitai.net.endpoints import PortEndpoint
from skitai.net.listening import Listening, serve
from skitai.net.sockets import ListenError, open_port
from skitai.processes import State
from skitai.services.metrics.pages import PathPages

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall
    from twisted.web.resource import Resource

    from skitai.interfaces import IInstance

_log = Logger()

#: Seconds after the beginning of its stop in which a worker looks whether others go on.
_LEAVE_SECONDS = 0.5
#: Seconds in which a page is asked for and answered by a client that has connected.
_ANSWER_SECONDS = 0.05


class _Quiet(Site):
    """A site without an access log."""

    noisy = False
    displayTracebacks = False

    def log(self, request: Any) -> None:
        """Log nothing."""

    def getResourceFor(self, request: Any) -> Any:
        """Return the page, which does not tell strangers the version of Twisted."""
        request.setHeader(b"server", b"Skitai")
        return super().getResourceFor(request)  # type: ignore[no-untyped-call]


class OwnPort:
    """Serves ``pages`` at ``endpoint``. Called in the reactor thread.

    Each worker has a socket of its own there, and the system chooses: any of them answers for all.
    """

    def __init__(self, instance: IInstance, endpoint: PortEndpoint, pages: Mapping[str, Resource]) -> None:
        self._instance = instance
        self._endpoint = endpoint
        self._site: Any = _Quiet(PathPages(pages))  # type: ignore[no-untyped-call]
        self._listening: Listening | None = None
        self._leaving: IDelayedCall | None = None
        self._closed: Deferred[Any] | None = None

    def start(self) -> None:
        """Listen. A port that cannot be had is logged: the server itself may serve."""
        try:
            # Among others, also with one process: while it begins anew, there is another.
            opened = open_port(self._endpoint)
        except ListenError as error:
            _log.error("metrics: {error}", error=error)
            return
        (self._listening,) = serve(self._instance.reactor, [opened], self._site)
        _log.info("metrics are at {url}", url=self._listening.url)

    @property
    def url(self) -> str:
        """The URL of the port, empty if it is closed."""
        return "" if self._listening is None else self._listening.url

    def leave_to_others(self) -> None:
        """Stop soon if another worker can answer; without one, this says that the server stops.

        Not at once: where all workers stop, each would still take the others for ready.
        """
        self._leaving = self._instance.reactor.callLater(_LEAVE_SECONDS, self._leave)

    def _leave(self) -> None:
        slots = self._instance.board.taken()
        if self._instance.others_serve or any(slot.state == State.READY for slot in slots):
            self.stop()

    def stop(self) -> Deferred[Any] | None:
        """Listen no longer. Returns a Deferred that fires when those who came before are answered."""
        if self._leaving is not None and self._leaving.active():
            self._leaving.cancel()
        listening, self._listening = self._listening, None
        if listening is not None:
            # The system would reset those that wait, and the end of the process those that were not answered.
            listening.begin_nothing()
            listening.accept_all()
            closed = maybeDeferred(listening.port.stopListening)
            self._closed = DeferredList([closed, deferLater(self._instance.reactor, _ANSWER_SECONDS)])
        return self._closed
