"""One connection to Redis: txredisapi's protocols, whose failures are OperationErrors here.

Bytes come and go as they are. txredisapi's factories and handlers are not used: they connect by themselves,
and let commands wait for a connection without any limit. Of its two parsers it must be that over hiredis: the
one in Python pauses the transport and waits a turn of the reactor for each string. Importing txredisapi
installs the default reactor, so this module is imported only where a connection is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred, fail
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from skitai.errors import CODE_CLOSED, OperationError


class Commands(txredisapi.HiredisProtocol):  # type: ignore[misc]
    """A connection for commands. All of it is called in the reactor thread.

    ``on_lost(reason)`` is called when it is lost, before the commands under way fail.
    """

    def __init__(self) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.on_lost: Callable[[str], None] = lambda _reason: None
        self._reason = "the connection was lost"

    def ask(self, *words: bytes | str | int) -> Deferred[Any]:
        """Send a command; fire with the reply, with bytes where it has text, or fail with OperationError."""
        try:
            reply: Deferred[Any] = self.execute_command(*words)
        except txredisapi.ConnectionError as error:
            return fail(OperationError(str(error), code=CODE_CLOSED))
        return reply.addErrback(self._told)

    def _told(self, failure: Failure) -> None:
        if isinstance(failure.value, txredisapi.ConnectionError):
            raise OperationError(self._reason, code=CODE_CLOSED) from None
        if isinstance(failure.value, txredisapi.RedisError):
            raise OperationError(str(failure.value).strip()) from None
        failure.raiseException()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Take what Redis has sent; see IProtocol."""
        try:
            super().dataReceived(data, unpause)
        except txredisapi.InvalidData:
            self.abort("what answers there does not speak as Redis does")

    def abort(self, reason: str) -> None:
        """Cut the connection."""
        self._reason = reason
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell who waits; see IProtocol."""
        self.on_lost(self._reason)
        super().connectionLost(reason)


class Subscriptions(Commands, txredisapi.SubscriberProtocol):  # type: ignore[misc]
    """A connection for subscriptions: ``on_message(channel, data)`` is called for each message.

    SUBSCRIBE must name one channel at a time, because txredisapi takes the first of several replies for the
    answer, and the second for that to the next command.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_message: Callable[[bytes, bytes], None] = lambda _channel, _data: None

    def messageReceived(self, _pattern: bytes | None, channel: bytes, message: bytes) -> None:
        """Pass a message on; see txredisapi."""
        self.on_message(channel, message)
