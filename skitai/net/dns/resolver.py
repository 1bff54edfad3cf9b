"""Resolves host names for the connector, and remembers the answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.logger import Logger
from zope.interface import implementer

from skitai.net.addresses import is_host_name
from skitai.net.dns.files import Watched, parse_hosts, parse_resolv_conf
from skitai.net.dns.lookup import FailingReceiver, LookupResult, NoAnswerError
from skitai.net.dns.system import ask_system

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from twisted.python.failure import Failure

_log = Logger()

#: How many names are remembered.
_KEPT_MAX = 1024
#: Seconds for which an answer is valid that comes without a time: the system's, and that a name has none.
_SYSTEM_SECONDS, _NEGATIVE_SECONDS = 10, 5
#: Limits of a DNS server's time to live. Without the first, every connection might ask again.
_TTL_MIN, _TTL_MAX = 1, 3600


@implementer(IHostnameResolver)
class Resolver:
    """Asks the hosts file, then DNS, then the system's own resolver, which may know mDNS, LDAP and more.

    Answers are remembered for as long as they are valid, and several look-ups of one name at the same time
    share one search. With ``dns=False`` only the system is asked, in the reactor's thread pool. The paths,
    ``port``, that of the DNS servers, and ``system`` are for tests. All is called in the reactor thread.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        dns: bool = True,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        hosts: Path = Path("/etc/hosts"),
        port: int = 53,
        system: Callable[[Any, str], Awaitable[tuple[str, ...]]] = ask_system,
    ) -> None:
        self._reactor = reactor
        self._dns = dns
        self._conf = Watched(resolv_conf, parse_resolv_conf)
        self._hosts = Watched(hosts, parse_hosts)
        self._port = port
        self._system = system
        self._kept: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._searches: dict[str, Deferred[LookupResult]] = {}
        self._waiting: dict[str, list[Deferred[tuple[str, ...]]]] = {}
        self._closed = False

    def lookup(self, name: str) -> Deferred[tuple[str, ...]]:
        """Fire with the addresses of a host name, the one most likely to work first; empty if there are none.

        Fails if nobody can look now, for want of a descriptor for example. Cancelling ends the wait, not the
        search.
        """
        expires, addresses = self._kept.get(name, (0.0, ()))
        if self._closed or self._reactor.seconds() < expires:
            return succeed(addresses)
        waiter: Deferred[tuple[str, ...]] = Deferred()
        waiting = self._waiting.setdefault(name, [])
        waiting.append(waiter)
        if len(waiting) == 1:
            search = Deferred.fromCoroutine(self._find(name)).addErrback(_none_if_closed)
            self._searches[name] = search
            search.addCallbacks(self._found, self._not_looked, callbackArgs=(name,), errbackArgs=(name,))
        return waiter

    def close(self) -> None:
        """End every search: whoever waits gets no address."""
        self._closed = True
        for search in list(self._searches.values()):
            search.cancel()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,  # noqa: N803 - Twisted's names, which callers use
        hostName: str,  # noqa: N803
        portNumber: int = 0,  # noqa: N803
        addressTypes: Sequence[type] | None = None,  # noqa: ARG002, N803
        transportSemantics: str = "TCP",  # noqa: ARG002, N803
    ) -> IHostResolution:
        """Do what ``lookup`` does, for code that takes an ``IHostnameResolver``."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def deliver(addresses: tuple[str, ...]) -> None:
            for address in addresses:
                kind = IPv6Address if ":" in address else IPv4Address
                resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
            resolutionReceiver.resolutionComplete()

        def fail(failure: Failure) -> None:
            # Not of Twisted's interface, which knows no failure: ours make an error of it.
            if isinstance(resolutionReceiver, FailingReceiver):
                resolutionReceiver.resolution_failed(failure)
            else:
                resolutionReceiver.resolutionComplete()

        self.lookup(hostName).addCallbacks(deliver, fail)
        return resolution

    async def _find(self, name: str) -> LookupResult:
        if not is_host_name(name):  # asked for such, Twisted's resolver may never answer
            return LookupResult()
        if self._dns:
            plain = name.lower().rstrip(".")
            if addresses := self._hosts.read().get(plain):
                return LookupResult(addresses, _TTL_MIN)
            # RFC 6761, section 6.3: no server is asked for it. IPv4 first: most local servers listen there.
            if plain == "localhost" or plain.endswith(".localhost"):
                return LookupResult(("127.0.0.1", "::1"), _TTL_MAX)
            answer = await self._ask_dns(name.lower())
            if answer.addresses:
                return answer
        return await self._ask_system(name)

    async def _ask_dns(self, name: str) -> LookupResult:
        # Imported when it is first needed: twisted.names takes longer than the rest of the client.
        from skitai.net.dns.stub import ask_dns

        try:
            return await ask_dns(self._reactor, self._conf.read(), self._port, name)
        except NoAnswerError:
            return LookupResult()

    async def _ask_system(self, name: str) -> LookupResult:
        if self._closed:
            return LookupResult()
        return LookupResult(await self._system(self._reactor, name), _SYSTEM_SECONDS)

    def _not_looked(self, failure: Failure, name: str) -> None:
        """Tell all who wait; the next one has it looked for again."""
        self._searches.pop(name, None)
        _log.error("cannot look up {name}: {error}", name=name, error=failure.value)
        for waiter in self._waiting.pop(name):
            waiter.errback(failure)

    def _found(self, answer: LookupResult, name: str) -> None:
        self._searches.pop(name, None)
        seconds = max(_TTL_MIN, min(answer.ttl, _TTL_MAX)) if answer.addresses else _NEGATIVE_SECONDS
        self._kept.pop(name, None)
        while len(self._kept) >= _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = (self._reactor.seconds() + seconds, answer.addresses)
        for waiter in self._waiting.pop(name):
            waiter.callback(answer.addresses)


@implementer(IHostResolution)
class _Resolution:
    """A search that cannot be cancelled, because others may wait for it, too."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing: a caller that cancelled ignores what comes."""


def _none_if_closed(failure: Failure) -> LookupResult:
    failure.trap(CancelledError)  # type: ignore[no-untyped-call]
    return LookupResult()
