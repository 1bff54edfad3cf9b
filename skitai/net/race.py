"""Connecting to a host name: its addresses race for one connection (RFC 8305, "Happy Eyeballs")."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any
from weakref import ReferenceType, ref

from twisted.internet import error
from twisted.internet.interfaces import IHostResolution, IProtocol, IProtocolFactory, IResolutionReceiver
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress, IConnector

#: Seconds until the next address is tried as well, if one does not answer (RFC 8305, section 5).
ATTEMPT_DELAY = 0.25

# Which failure to report if no address can be reached: these say most about the host.
_TELLING = (error.ConnectionRefusedError, error.TimeoutError)


class BarredError(Exception):
    """A host has no address that may be connected to."""


@implementer(IResolutionReceiver)
class Race:
    """Looks up a host, tries its addresses, and makes the first connection one of ``factory``.

    The next address is tried when the one before has failed, or has not answered for ``ATTEMPT_DELAY``
    seconds. The first connection ends all other attempts. If none is made, and after ``cancel``, ``failed``
    is called once with the most telling failure. Addresses that ``allows(address)`` refuses are not tried: it
    is asked here and not before, because the next look-up may give others. All of it is called in the reactor
    thread.
    """

    def __init__(
        self,
        reactor: Any,
        port: int,
        factory: IProtocolFactory,
        failed: Callable[[Failure], object],
        allows: Callable[[str], bool] | None = None,
    ) -> None:
        self._reactor = reactor
        self._allows = allows
        self._is_barred = False
        self._port = port
        self._factory = factory
        self._failed = failed
        self._found: list[str] = []
        self._untried: deque[str] = deque()
        self._attempts: dict[_AddressAttempt, IConnector] = {}
        self._failures: list[Failure] = []
        self._timer: Any = None
        self._over = False

    def start(self, resolver: Any, host: str) -> None:
        """Ask ``resolver``, an ``IHostnameResolver``, for the addresses of ``host``, and try them."""
        resolver.resolveHostName(self, host, portNumber=self._port)

    def cancel(self) -> None:
        """Give up."""
        self._lose(Failure(error.UserError()))  # type: ignore[no-untyped-call]

    # Called by the resolver (IResolutionReceiver)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        """Do nothing: the search is never cancelled, because others may wait for it, too."""

    def addressResolved(self, address: IAddress) -> None:
        """Take one address."""
        host: str = address.host  # type: ignore[attr-defined]  # it is one of IP
        if self._allows is None or self._allows(host):
            self._found.append(host)
        else:
            self._is_barred = True

    def resolutionComplete(self) -> None:
        """Try the first address."""
        if not self._over:
            self._untried.extend(interleaved(self._found))
            # The one failure if there are no addresses; that of any attempt comes after it and counts more.
            none: Exception = BarredError() if self._is_barred else error.DNSLookupError()
            self._failures.append(Failure(none))  # type: ignore[no-untyped-call]
            self._next()

    def resolution_failed(self, reason: Failure) -> None:
        """Fail: the name could not be looked up."""
        self._lose(reason)

    # Called by the attempts

    def won(self, attempt: _AddressAttempt, address: Any) -> IProtocol | None:
        """Return the protocol for the first connection."""
        del self._attempts[attempt]
        self._end()
        return self._factory.buildProtocol(address)

    def lost(self, attempt: _AddressAttempt, reason: Failure) -> None:
        """Go on with the next address at once."""
        self._attempts.pop(attempt, None)
        if not self._over:
            self._failures.append(reason)
            self._next()

    def _next(self) -> None:
        """Try one more address; fail if all have failed."""
        self._stop_waiting()
        if self._untried:
            attempt = _AddressAttempt(self)
            host = self._untried.popleft()
            self._timer = self._reactor.callLater(ATTEMPT_DELAY, self._next) if self._untried else None
            connecting = self._reactor.connectTCP(host, self._port, attempt, None)
            self._attempts[attempt] = attempt.watch(connecting)
        elif not self._attempts:
            self._lose(_most_telling(self._failures))

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _lose(self, reason: Failure) -> None:
        if not self._over:
            self._end()
            self._failed(reason)

    def _end(self) -> None:
        self._over = True
        self._stop_waiting()
        attempts, self._attempts = self._attempts, {}
        for connector in attempts.values():
            connector.stopConnecting()


def _nothing() -> None:
    """Read and write nothing."""


class OneConnection(ClientFactory):
    """Connects one protocol, once, and leaves nothing that waits for the garbage collector."""

    noisy = False
    _connecting: ReferenceType[Any] | None = None

    def watch(self, connector: Any) -> Any:
        """Return ``connector``, as the reactor has made it for this factory."""
        transport = getattr(connector, "transport", None)
        if transport is not None:  # else it has failed already
            self._connecting = ref(transport)
        return connector

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:  # noqa: ARG002 - Twisted's
        """Free the transport that was not connected: it holds a method of its own in these attributes."""
        transport = None if self._connecting is None else self._connecting()
        if transport is not None:
            # The reactor may still call the second, and the third where it was given up at once.
            transport.doRead = transport.doWrite = transport.doConnect = _nothing

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:  # noqa: ARG002 - Twisted's
        """Free the connection that has ended: the two hold each other, so that one may connect again."""
        connector.transport = None


class _AddressAttempt(OneConnection):
    """The attempt at one address."""

    def __init__(self, race: Race) -> None:
        self._race = race

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return self._race.won(self, addr)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        super().clientConnectionFailed(connector, reason)
        self._race.lost(self, reason)


def interleaved(addresses: Iterable[str]) -> Iterator[str]:
    """Return the addresses so that the two families alternate (RFC 8305, section 4)."""
    families: dict[bool, list[str]] = {}
    for address in addresses:
        families.setdefault(":" in address, []).append(address)
    return (address for address in chain(*zip_longest(*families.values())) if address is not None)


def _most_telling(failures: list[Failure]) -> Failure:
    for kind in _TELLING:
        for failure in failures:
            if isinstance(failure.value, kind):
                return failure
    return failures[-1]
