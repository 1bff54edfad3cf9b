"""A connection to Redis that is made anew when it is lost, with growing pauses."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from skitai.errors import CODE_BUSY, CODE_CLOSED, OperationError, UnsentError, stopping

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from skitai.services.redis.driver import Commands
    from skitai.services.redis.health import Health

#: The pause before a lost connection is made anew, in seconds: each failure doubles it, up to the longest. Up
#: to a quarter more or less, so that many workers do not come back at once.
FIRST_PAUSE, LONGEST_PAUSE, JITTER = 0.1, 5.0, 0.25
#: Commands, and their bytes, that may wait for an answer; the next fails at once.
UNANSWERED_MAX, UNANSWERED_BYTES_MAX = 10_000, 64 << 20

_random = SystemRandom()
_log = Logger()


class Link:
    """One connection, kept alive by PINGs. All of it is called in the reactor thread.

    ``connect()`` makes a connection. ``timeout`` is how many seconds of silence are too many where an answer
    is due. The functions ``when_up`` are called when a connection was made: what they send is before what
    waits for that. ``on_down(error)`` is called when it was lost, and at each attempt that fails.
    ``bounded``: commands fail at once where too many are under way.
    """

    def __init__(
        self,
        clock: Any,
        name: str,
        connect: Callable[[], Deferred[Any]],
        timeout: float,
        health: Health,
        *,
        bounded: bool = True,
    ) -> None:
        self._clock = clock
        self._name = name
        self._connect = connect
        self._timeout = timeout
        self._health = health
        self._bounded = bounded
        self.when_up: list[Callable[[], None]] = []
        self.on_down: Callable[[OperationError], None] = lambda _error: None
        self._protocol: Commands | None = None
        self._connecting: Deferred[Any] | None = None
        self._error: OperationError | None = None
        self._pause = FIRST_PAUSE
        #: The next attempt, or the next look after the connection.
        self._timer: IDelayedCall | None = None
        self._closed = False
        self._gone: Deferred[None] | None = None
        #: Commands of the present connection that have no answer yet, and since when nothing was answered.
        self._unanswered = self._unanswered_bytes = 0
        self._silent_since = 0.0
        #: What waits for the first connection.
        self._early: list[tuple[Deferred[Any], tuple[bytes | str | int, ...]]] = []

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._protocol is not None

    @property
    def is_new(self) -> bool:
        """Whether the first attempt to connect is still to come, or under way."""
        return self._protocol is None and self._error is None and not self._closed

    @property
    def error(self) -> UnsentError | None:
        """Why nothing can be sent; None if there is a connection, or the first attempt is not over."""
        if self._closed:
            return stopping(UnsentError)
        if self._error is None:
            return None
        return UnsentError(f"Redis is away: {self._error.message}", code=self._error.code)

    def start(self) -> None:
        """Connect, if nobody has said so before."""
        if self.is_new and self._connecting is None:
            self._attempt()

    def hurry(self) -> None:
        """Try to connect now instead of after the pause: there is a sign that Redis is back."""
        if self._protocol is None and self._timer is not None:
            self._timer.reset(0)

    def ask(self, *words: bytes | str | int) -> Deferred[Any]:
        """Send a command in the order of the calls; fire with the reply.

        Fails with UnsentError if Redis is away or too many commands are under way, with OperationError if
        the connection is lost or Redis refuses. There is no time-out; cancelling forgets the reply.
        """
        answer: Deferred[Any] = Deferred()
        error = self.error
        if error is not None:
            answer.errback(error)
        elif self._bounded and (
            self._unanswered + len(self._early) >= UNANSWERED_MAX
            or self._unanswered_bytes >= UNANSWERED_BYTES_MAX
        ):
            answer.errback(UnsentError("too many commands wait for an answer of Redis", code=CODE_BUSY))
        elif self._protocol is not None:
            self._send(self._protocol, answer, words)
        else:
            self._early.append((answer, words))
            self.start()
        return answer

    def _send(self, protocol: Commands, answer: Deferred[Any], words: tuple[bytes | str | int, ...]) -> None:
        size = sum(len(word) for word in words if not isinstance(word, int))
        if not self._unanswered:
            self._silent_since = self._clock.seconds()
        self._unanswered += 1
        self._unanswered_bytes += size
        self._health.commands += 1

        def answered(reply: Any) -> None:
            self._unanswered -= 1
            self._unanswered_bytes -= size
            self._silent_since = self._clock.seconds()
            if not answer.called:
                answer.callback(reply)  # a failure, too

        protocol.ask(*words).addBoth(answered)

    # -- the connection --------------------------------------------------------------------------------------

    def _attempt(self) -> None:
        self._timer = None
        self._health.attempts += 1
        self._connecting = connecting = self._connect()
        connecting.addCallbacks(self._up, self._failed)
        connecting.addErrback(lambda failure: _log.failure("{name}", failure, name=self._name))

    def _up(self, protocol: Commands) -> None:
        self._connecting = None
        self._protocol, self._error = protocol, None
        protocol.on_lost = lambda reason: self._lost(protocol, reason)
        self._timer = self._clock.callLater(self._timeout, self._look_after)
        self._health.up(self._name)
        for function in self.when_up:
            function()
        early, self._early = self._early, []
        for answer, words in early:
            if not answer.called:
                self._send(protocol, answer, words)

    def _failed(self, failure: Failure) -> None:
        self._connecting = None
        if self._closed:
            return
        error = failure.value
        if not isinstance(error, OperationError):
            _log.failure("{name}: no connection", failure, name=self._name)
            error = OperationError(str(error))
        self._down(error)

    def _look_after(self) -> None:
        """Ask whether Redis is there, or find that it does not answer."""
        protocol = self._protocol
        assert protocol is not None
        self._timer = self._clock.callLater(self._timeout, self._look_after)
        if not self._unanswered:
            # It has been well for a while, so the next loss is not part of the last one.
            self._pause = FIRST_PAUSE
            self.ask("PING").addErrback(lambda _: None)
        elif self._clock.seconds() - self._silent_since >= self._timeout:
            reason = f"no answer for {self._timeout:g} s"
            protocol.abort(reason)
            self._lost(protocol, reason)

    def _lost(self, protocol: Commands, reason: str) -> None:
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)
        if protocol is self._protocol and not self._closed:
            self._protocol = None
            self._down(OperationError(reason, code=CODE_CLOSED))

    def _down(self, error: OperationError) -> None:
        self._error = error
        if self._timer is not None:
            self._timer.cancel()
        pause = self._pause * _random.uniform(1 - JITTER, 1 + JITTER)
        self._timer = self._clock.callLater(pause, self._attempt)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._health.down(self._name, error.message)
        self._fail_early()
        self.on_down(error)

    def _fail_early(self) -> None:
        early, self._early = self._early, []
        for answer, _ in early:
            if not answer.called:
                answer.errback(self.error)

    def close(self) -> Deferred[None]:
        """Close the connection and make none any more; fire when the socket is closed."""
        if self._closed:
            return succeed(None)
        self._closed = True
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
        self._fail_early()
        if self._protocol is None:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._gone = gone
        protocol, self._protocol = self._protocol, None
        protocol.abort("the server is stopping")
        return gone
