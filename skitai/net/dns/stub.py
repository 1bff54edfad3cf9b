"""A stub resolver: it asks the servers of resolv.conf, which do the searching (RFC 1034, section 5.3.1)."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.names import dns
from twisted.python.failure import Failure

from skitai.net.addresses import is_host_name
from skitai.net.dns.files import ResolvConf
from skitai.net.dns.lookup import LookupResult, NoAnswerError
from skitai.net.dns.question import Question

#: Seconds that the addresses of one family wait for those of the other (RFC 8305, section 3).
_PATIENCE = 0.05


async def ask_dns(reactor: Any, conf: ResolvConf, port: int, name: str) -> LookupResult:
    """Return the addresses that DNS has for ``name`` or, with the search list, for a name that it stands for.

    ``port`` is where the servers listen. Raises NoAnswerError if none of them answers. Called in the reactor
    thread.
    """
    answer = LookupResult()
    for candidate in filter(is_host_name, conf.candidates(name)):
        answer = await _ask_both(reactor, conf, port, candidate)
        if answer.addresses:
            break
    return answer


async def _ask_both(reactor: Any, conf: ResolvConf, port: int, name: str) -> LookupResult:
    """Return the IPv6 and IPv4 addresses of a full name, the family that is more likely to work first."""
    kinds = [
        Deferred.fromCoroutine(_ask_servers(reactor, conf, port, name, kind)) for kind in (dns.AAAA, dns.A)
    ]
    for one, other in (kinds, reversed(kinds)):
        one.addCallback(_hurry, other, reactor)
    outcomes = await DeferredList(kinds, consumeErrors=True)
    answers = [answer for succeeded, answer in outcomes if succeeded]
    for _, outcome in outcomes:
        if isinstance(outcome, Failure) and isinstance(outcome.value, OSError):
            raise outcome.value
    if not answers:
        raise NoAnswerError(f"no server answered for {name!r}")
    found = [answer for answer in answers if answer.addresses]
    if len(found) == 2 and not _has_route(found[0].addresses[0]):
        found.reverse()
    addresses = tuple(address for answer in found for address in answer.addresses)
    return LookupResult(addresses, min((answer.ttl for answer in found), default=0))


def _hurry(answer: LookupResult, other: Deferred[LookupResult], reactor: Any) -> LookupResult:
    """Limit the wait for ``other`` if ``answer`` has an address."""
    if answer.addresses and not other.called:
        other.addTimeout(_PATIENCE, reactor)
    return answer


async def _ask_servers(reactor: Any, conf: ResolvConf, port: int, name: str, kind: int) -> LookupResult:
    for _ in range(conf.attempts):
        for server in conf.servers:
            try:
                return await Question(reactor, (server, port), name, kind, conf.timeout).start()
            except NoAnswerError:
                continue
    raise NoAnswerError(f"no server answered for {name!r}")


def _has_route(address: str) -> bool:
    """Return whether there is a route to an IPv6 address (RFC 6724, rule 1). No packet is sent."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 9))
    except OSError:
        return False
    return True
