"""Bodies that the reactor sends for as long as somebody reads, such as event streams: no thread waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

if TYPE_CHECKING:
    from skitai.http.lasting import LastingBody
    from skitai.server.request.request import Request
    from skitai.server.wsgi.outgoing import OutgoingBody

_log = Logger()


@implementer(IPushProducer)
class LastingReader:
    """Passes what ``body`` sends to the client, and calls ``done()`` once when either of them has ended.

    It is a ``BodyReader`` for the body, and a producer for the request. All methods are called in the reactor
    thread.
    """

    def __init__(
        self, request: Request, outgoing: OutgoingBody, body: LastingBody, done: Callable[[], None]
    ) -> None:
        self._request = request
        self._outgoing = outgoing
        self._body = body
        self._done: Callable[[], None] | None = done

    def begin(self) -> None:
        """Have the body send, if there is still a client."""
        request = self._request
        if request.written or request.gone:
            self._finish()
            return
        request.registerProducer(self, True)
        request.at_read_end = (
            self.end
        )  # a browser that leaves only closes its end, and there may be no message
        if request.read_ended:
            self.end()
        else:
            self._body.begin(self)

    # -- for the body --------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many bytes the client has yet to take."""
        return self._request.waiting

    def send(self, data: bytes) -> None:
        """Send a piece, at the latest when the reactor's turn ends."""
        if self._done is None:
            return
        self._request.send(self._outgoing.piece(data))
        if self._outgoing.complete:
            self.end()

    def end(self) -> None:
        """Complete the response."""
        if self._done is None:
            return
        self._finish()
        try:
            last = self._outgoing.last()
        except AssertionError:  # it is shorter than announced
            _log.failure("a body cannot be completed", level=LogLevel.error)
            self._request.abort()
            return
        self._request.send(last)
        self._request.end()

    def abort(self) -> None:
        """Cut the client off."""
        if self._done is not None:
            self._finish()
            self._request.abort()

    # -- for the request -----------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Do nothing: the body looks at ``waiting``."""

    def resumeProducing(self) -> None:
        """Do nothing."""

    def stopProducing(self) -> None:
        """Stop: the client is gone."""
        self._finish()

    def _finish(self) -> None:
        done, self._done = self._done, None
        if done is not None:
            self._request.unregisterProducer()
            self._request.at_read_end = None
            self._body.close()
            done()
