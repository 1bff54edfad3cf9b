"""One question to one DNS server, over UDP (RFC 1035, section 4.2.1)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from random import SystemRandom
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.names import dns

from skitai.net.dns.lookup import LookupResult, NoAnswerError
from skitai.net.exhaustion import no_descriptor

_random = SystemRandom()


class Question(DatagramProtocol):
    """Asks ``server`` for the records of a type, on a socket of its own.

    ``answer`` fires with a ``LookupResult``, or fails with NoAnswerError, or with OSError where there is no
    descriptor left. A forged answer has little chance:
    the port and the ID are random, and the kernel passes on only datagrams of the server (RFC 5452).
    """

    noisy = False

    def __init__(self, reactor: Any, server: tuple[str, int], name: str, kind: int, timeout: float) -> None:
        self._reactor = reactor
        self._server = server
        self._query = dns.Query(name.encode("ascii"), kind)
        self._id = _random.getrandbits(16)
        self._timeout = timeout
        self._timer: Any = None
        self._port: Any = None
        self.answer: Deferred[LookupResult] = Deferred(lambda _: self._close())

    def start(self) -> Deferred[LookupResult]:
        """Send it; cancelling the Deferred closes the socket."""
        try:
            interface = "::" if ":" in self._server[0] else ""
            self._port = self._reactor.listenUDP(0, self, interface=interface)
            assert self.transport is not None
            self.transport.connect(*self._server)
            message = dns.Message(self._id, recDes=1)
            message.queries = [self._query]
            self.transport.write(message.toStr(), None)
        except Exception as error:  # noqa: BLE001 - no socket, no route, or a name that DNS cannot carry
            cause = error.socketError if isinstance(error, CannotListenError) else error
            if no_descriptor(getattr(cause, "errno", None)):  # then no server can be asked
                self.answer.errback(cause)
            else:
                self._fail(f"cannot be asked: {error}")
        else:
            self._timer = self._reactor.callLater(self._timeout, self._fail, "did not answer")
        return self.answer

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:  # noqa: ARG002
        """Take the answer; ignore any datagram that does not answer this question."""
        message = dns.Message()
        try:
            message.fromStr(datagram)
        except Exception:  # noqa: BLE001 - anything may come in a datagram
            return
        if message.id != self._id or not message.answer or message.queries != [self._query]:
            return
        if message.trunc or message.rCode not in (dns.OK, dns.ENAME):
            self._fail(f"answered with code {message.rCode}" if message.rCode else "sent a truncated answer")
            return
        self._close()
        self.answer.callback(_read_answer(message, self._query.type))

    def connectionRefused(self) -> None:
        """Fail: nobody listens there."""
        self._fail("refused the question")

    def stopProtocol(self) -> None:
        """Note that the socket is closed.

        If this class did not close it, nobody listens there. To epoll a refusal looks like a lost connection,
        so Twisted's reactor closes the socket instead of reading the error from it.
        """
        if self._port is not None:
            self._port = None
            self.connectionRefused()

    def _fail(self, why: str) -> None:
        self._close()
        if not self.answer.called:
            self.answer.errback(NoAnswerError(f"DNS server {self._server[0]} {why}"))

    def _close(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        port, self._port = self._port, None
        if port is not None:
            port.stopListening()


def _read_answer(message: dns.Message, kind: int) -> LookupResult:
    """Return the addresses, also those behind aliases; the shortest time to live counts for all."""
    addresses = [_address(record.payload) for record in message.answers if record.type == kind]
    ttls = [record.ttl for record in message.answers]
    return LookupResult(tuple(addresses), min(ttls, default=0))


def _address(payload: Any) -> str:
    data = payload.address
    return str((IPv4Address if len(data) == 4 else IPv6Address)(data))
