"""The connections of a server: their number, their clock, and their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, time
from typing import Any
from wsgiref.handlers import format_date_time

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.calls.observers import RAISED_BY_OBSERVERS, log_failure
from skitai.http.fields import ALLOW_ALL
from skitai.loop.sending import SendQueue
from skitai.loop.turn import turn_end_of
from skitai.server.http1.channel import HTTPChannel
from skitai.server.http1.limits import ServerLimits
from skitai.server.http1.refusals import Refusals
from skitai.server.request.request import Request
from skitai.server.request.storage import Storage

_log = Logger()

#: The Server field. A version would only help those who look for old ones.
SERVER_SOFTWARE = "Skitai"
_SERVER_FIELD = f"Server: {SERVER_SOFTWARE}\r\n".encode()
# Time-outs are checked this often: one sweep over all connections costs less than a timer for each.
_SWEEP_SECONDS = 1.0
# This many connections above connections_max are answered with 503. Further ones are closed at once.
_SURPLUS_MAX = 32
#: Fields that belong to the status of a refusal (RFC 9110, sections 10.2.3 and 15.5.6).
_REFUSAL_FIELDS = {
    405: ("Allow", ALLOW_ALL),
    503: ("Retry-After", "1"),
}


class HTTPFactory(Factory):
    """Makes an ``HTTPChannel`` for each connection.

    ``handle(request)`` answers a complete request. ``judge(request)`` is called before that, at the end of
    the head, if the request has a body or asks for another protocol. It returns whether the request is taken
    care of; ``handle`` is then not called. Each of ``observers`` is called with a request whose response was
    sent or broke off. ``forwarding(request)`` has the request of a proxy show its client before all that.
    ``wall_clock`` gives the seconds since the epoch for the Date field. With ``names_requests``, responses
    have the id of their request if it has one. ``transport_security`` is the Strict-Transport-Security of
    responses to requests that came encrypted. One factory may serve several sockets, with and without TLS.
    All methods are called in the reactor thread.
    """

    noisy = False
    #: The value of the Server field.
    software = SERVER_SOFTWARE

    def __init__(
        self,
        reactor: Any,
        handle: Callable[[Request], None],
        limits: ServerLimits | None = None,
        *,
        judge: Callable[[Request], bool] | None = None,
        observers: Sequence[Callable[[Request], None]] = (),
        forwarding: Callable[[Request], None] | None = None,
        wall_clock: Callable[[], float] = time,
        names_requests: bool = False,
        transport_security: str = "",
    ) -> None:
        self.reactor = reactor
        self.limits = limits or ServerLimits()
        self.refusals = Refusals(self.limits, reactor.seconds)
        self.sending = SendQueue(reactor)
        self.observers = tuple(observers)
        #: Whether responses have an X-Request-ID.
        self.names_requests = names_requests
        #: The Strict-Transport-Security of encrypted responses that have none: its value, and the field.
        self.strictness = transport_security
        self.transport_security = (
            f"Strict-Transport-Security: {transport_security}\r\n".encode() if transport_security else b""
        )
        #: Whether the times of requests are recorded.
        self.timed = bool(self.observers)
        #: The connections: an ``HTTPChannel``, an ``HTTP2Channel``, or what is to be known as one of them.
        self.channels: set[Any] = set()
        #: Requests since the start.
        self.requests = 0
        # The connections above connections_max.
        self._surplus: set[Any] = set()
        #: Counts what all request bodies and unsent responses take.
        self.storage = Storage(self.limits.buffers_max)
        self._turn_end = turn_end_of(reactor)
        self._handle = handle
        self._judge = judge
        self.forwarding = forwarding
        #: Whether the server stops: requests under way are the last.
        self.stopping = False
        self._refused = 0
        self._wall_clock = wall_clock
        self._sweep = LoopingCall(self._tick)
        self._sweep.clock = reactor
        self._idle: Deferred[None] | None = None
        #: Called with the number of connections whenever it changes.
        self.count: Callable[[int], object] | None = None
        self._update_clock()

    def startFactory(self) -> None:
        """Start to check time-outs."""
        self._update_clock()
        self._sweep.start(_SWEEP_SECONDS, now=False)

    def stopFactory(self) -> None:
        """The socket is closed. Time-outs are checked until the last connection is gone."""
        if not self.channels:
            self._sweep.stop()

    def buildProtocol(self, addr: IAddress) -> HTTPChannel | None:  # type: ignore[override]  # noqa: ARG002
        """Return the channel for a new connection, or None to close it if there are far too many."""
        channel: HTTPChannel | None = self.admit(HTTPChannel(self))
        return channel

    def admit(self, channel: Any) -> Any:
        """Return ``channel``, which counts from now on; None if there are far too many."""
        too_many = len(self.channels) - self.limits.connections_max
        if too_many >= _SURPLUS_MAX:
            self._note_refusal()
            return None
        if too_many >= 0:
            self._surplus.add(channel)
        self.channels.add(channel)
        if self.count is not None:
            self.count(len(self.channels))
        return channel

    def _note_refusal(self) -> None:
        if not self._refused:
            _log.warn(
                "connections_max = {most} is reached: new connections are closed at once",
                most=self.limits.connections_max,
            )
        self._refused += 1

    def replace(self, old: Any, channel: Any) -> None:
        """Have ``channel`` count in the place of ``old``: they share a connection."""
        self.channels.discard(old)
        self.channels.add(channel)
        if old in self._surplus:
            self._surplus.discard(old)
            self._surplus.add(channel)

    def forget(self, channel: Any) -> None:
        """Remove a channel whose connection is gone."""
        self.channels.discard(channel)
        if self.count is not None:
            self.count(len(self.channels))
        self._surplus.discard(channel)
        # Not at the first that leaves: under load, another one takes its place at once.
        if self._refused and len(self.channels) <= self.limits.connections_max * 9 // 10:
            _log.warn("there is room for connections again; {count} were closed", count=self._refused)
            self._refused = 0
        if not self.channels:
            if self._idle is not None:
                idle, self._idle = self._idle, None
                idle.callback(None)
            if not self.numPorts and self._sweep.running:
                self._sweep.stop()

    def begin(self, request: Request, channel: Any) -> None:
        """Count a request of ``channel`` whose turn has come. It is refused if the connection is surplus."""
        self.requests += 1
        if self.forwarding is not None:
            self.forwarding(request)
        if self._surplus and channel in self._surplus and not request.refusal:
            request.refuse(503)

    def judge(self, request: Request) -> bool:
        """Return whether ``request`` is taken care of, though only its head has arrived."""
        if self.stopping:
            request.keep_alive = False
        if self.timed:
            request.arrived = monotonic()
        return self._judge is not None and self._judge(request)

    def handle(self, request: Request) -> None:
        """Answer ``request``, with the error page if it was refused."""
        if self._turn_end.sleepers:
            self._turn_end.wake_sleepers()
        if self.stopping:
            request.keep_alive = False
        if self.timed:
            request.arrived = monotonic()
        if request.refusal:
            fields = _REFUSAL_FIELDS.get(request.refusal)
            detail = self.refusals.explain(request)
            request.fail(request.refusal, *([fields] if fields else []), detail=detail)
        else:
            self._handle(request)

    def ended(self, request: Request) -> None:
        """Tell the observers about a request whose response was sent or broke off."""
        if not self.timed:
            return
        request.ended = monotonic()
        for observe in self.observers:
            try:
                observe(request)
            except RAISED_BY_OBSERVERS:  # a full disk under the log must not end connections
                log_failure(observe)

    def finish(self, idle_seconds: float = 0.0) -> Deferred[None]:
        """Let the requests under way end. Return a Deferred that fires when the last connection is gone.

        A request that has begun to arrive is under way. Its response says that the connection closes. A
        connection without any is closed in about ``idle_seconds``: its client may have sent one just now, and
        has no way to know that nobody reads it.
        """
        self.stopping = True
        self._update_clock()  # or they would have a second less
        for channel in list(self.channels):
            channel.close_when_idle(idle_seconds)
        done: Deferred[None] = Deferred()
        if self.channels:
            self._idle = done
        else:
            done.callback(None)
        return done

    def abort(self) -> None:
        """Abort all connections."""
        for channel in list(self.channels):
            channel.transport.abortConnection()

    def statistics(self) -> dict[str, int]:
        """Return what the status page shows: connections now, and requests since the start."""
        return {
            "open": len(self.channels),
            "busy": sum(channel.busy for channel in self.channels),
            "limit": self.limits.connections_max,
            "requests": self.requests,
        }

    def _tick(self) -> None:
        before = self.now
        self._update_clock()
        now = self.now
        stalled = now - before - _SWEEP_SECONDS
        if stalled > _SWEEP_SECONDS:
            # The reactor itself was blocked, and has not yet read what clients have sent meanwhile.
            for channel in self.channels:
                channel.deadline += stalled
        for channel in [channel for channel in self.channels if channel.deadline < now]:
            try:
                channel.timed_out()
            except Exception:  # noqa: BLE001 - the time-outs of all other connections must go on
                _log.failure("a connection that timed out cannot be closed properly")
                channel.transport.abortConnection()

    def _update_clock(self) -> None:
        #: The reactor's time at the last tick, which is exact enough for deadlines and costs nothing.
        self.now: float = self.reactor.seconds()
        #: The value of the Date field.
        self.date = format_date_time(self._wall_clock())
        date = f"Date: {self.date}\r\n".encode()
        #: The Date and Server fields that a response lacks, and the end of its head, by whether it has them.
        self.stamps = {
            (False, False): date + _SERVER_FIELD + b"\r\n",
            (False, True): date + b"\r\n",
            (True, False): _SERVER_FIELD + b"\r\n",
            (True, True): b"\r\n",
        }
