"""Passes bytes between a client and the socket of an app, which speaks the protocol itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.interfaces import ILastingProtocol
from skitai.server.websocket.appside import PIECE, AppEnd
from skitai.websocket.sending import Outgoing, outgoing_for

if TYPE_CHECKING:
    from _socket import socket

    from skitai.loop.sending import SendQueue
    from skitai.websocket.watch import Watch


@implementer(IProtocol, IHalfCloseableProtocol, ILastingProtocol)
class Pump:
    """The protocol of a connection whose bytes an app exchanges through ``end``, one of a pair of sockets.

    Who does not read makes the other one wait. When the app has closed its end, the client gets what is left,
    and the connection is closed. The end of a client is the end of the app's input. ``patience`` is for how
    many seconds, at the end, the app may not close, or the client may take none of the rest or not close.
    ``closed()`` is called when the connection is gone. All methods are called in the reactor thread.
    """

    slot = 0
    _out: Outgoing
    _transport: Any

    def __init__(
        self,
        reactor: Any,
        end: socket,
        queue: SendQueue,
        watch: Watch,
        patience: float,
        closed: Callable[[], None],
    ) -> None:
        self._app = AppEnd(reactor, end, self)
        self._queue = queue
        self._watch = watch
        self._patience = patience
        self._on_close = closed
        #: Whether the client sends no more, and whether the connection is gone.
        self._client_ended = self._gone = False
        #: Whether the app is done, and whether our half of the connection is closed.
        self._closing = self._closed_half = False
        self._untaken = 0

    # -- the client ----------------------------------------------------------------------------------------

    def makeConnection(self, transport: Any) -> None:
        """Begin on a connection that was taken over."""
        self._transport = transport
        self._out = outgoing_for(transport, self._queue, self._sent)
        self._app.read_on(True)

    def connectionMade(self) -> None:
        """Called by nobody: there is nothing to do."""

    def dataReceived(self, data: bytes) -> None:
        """Give the app what the client has sent."""
        if not self._app.give(data):
            self._transport.pauseProducing()

    def app_took_all(self) -> None:
        """Read on from the client."""
        if not self._client_ended:
            self._transport.resumeProducing()

    def readConnectionLost(self) -> None:
        """Note that the client sends no more."""
        self._client_ended = True
        if self._closed_half:
            self._transport.loseConnection()
        else:
            self._app.end_input()

    def writeConnectionLost(self) -> None:
        """Do nothing: we have closed our half ourselves."""

    def connectionLost(self, reason: Failure) -> None:  # noqa: ARG002 - named by the interface
        """Note that the client is gone."""
        self._client_ended = self._gone = True
        self._watch.forget(self)
        self._out.discard()
        self._app.hang_up()
        self._on_close()

    # -- the app -------------------------------------------------------------------------------------------

    def app_sent(self, data: bytes) -> None:
        """Send the client what the app has written."""
        self._out.write(data)
        if self._out.blocked or self._out.waiting > PIECE:
            self._app.read_on(False)

    def _sent(self) -> None:
        if self._app.ended:
            self._end_output()
        else:
            self._app.read_on(True)

    def app_ended(self) -> None:
        """Close our half of the connection, or all of it, when the client has got everything."""
        if self._gone:
            return
        if self._app.deaf:
            self._close()
        self._out.flush()
        if not self._out.waiting:
            self._end_output()

    def _end_output(self) -> None:
        if ISSLTransport.providedBy(self._transport):
            if self._closing:  # TLS closes both halves
                self._out.hang_up()
        elif self._client_ended:
            self._transport.loseConnection()
        elif not self._closed_half:
            # Not both halves: with input unread, that would take from the client what it has yet to read.
            self._closed_half = True
            self._transport.loseWriteConnection()
            self._transport.resumeProducing()

    # -- the end -------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Let the app see the end of its input; close when it has closed its end, or at last after a while.

        Not at once: a thread of the app's library may be about to answer the client's close.
        """
        self.stop()
        if not self._gone:
            self._close()
            if self._app.ended:
                self.app_ended()

    def stop(self) -> None:
        """Let the app see the end of its input: the server stops."""
        self._app.end_input(at_once=True)
        self.app_took_all()

    def abort(self) -> None:
        """Cut the connection."""
        if not self._gone:
            self._transport.abortConnection()

    def _close(self) -> None:
        if not self._closing:
            self._closing = True
            self._wait_for_client()

    def _wait_for_client(self) -> None:
        self._untaken = self._out.untaken
        self._watch.call(self, self._watch.seconds() + self._patience)

    def check(self, now: float) -> None:  # noqa: ARG002 - named by the watch
        """End what takes too long: that the app closes, or that the client takes the rest and closes."""
        if not self._app.deaf:
            self._app.finish()
            self._wait_for_client()
        elif self._out.waiting and self._out.untaken < self._untaken:
            self._wait_for_client()
        else:
            self._transport.abortConnection()
