"""SRV records (RFC 2782) of the DNS servers of the system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as NoAnswerInTime

from skitai.errors import UnsentError
from skitai.net.dns.files import Watched, parse_resolv_conf

#: Seconds until the servers are asked once more, and until that is given up.
_PATIENCE = (1, 2)
#: The server of a system that names none (resolv.conf(5)).
_LOCAL = ("127.0.0.1",)


class ServiceResolver:
    """Called with a name, in the reactor thread, it asks for its SRV records.

    The path and ``port``, that of the servers, are for tests.
    """

    def __init__(self, reactor: Any, *, resolv_conf: Path = Path("/etc/resolv.conf"), port: int = 53) -> None:
        self._reactor = reactor
        self._conf = Watched(resolv_conf, parse_resolv_conf)
        self._port = port

    def __call__(self, name: str) -> Deferred[list[tuple[int, int, int, str]]]:
        """Fire with priority, weight, port and target of each record; the target ``.`` is empty.

        Fails with UnsentError if there is no such name, or no answer.
        """
        return Deferred.fromCoroutine(self._ask(name))

    async def _ask(self, name: str) -> list[tuple[int, int, int, str]]:
        from twisted.names import client, dns, error  # it takes longer to import than the rest of the net

        servers = [(server, self._port) for server in self._conf.read().servers or _LOCAL]
        # It does not read resolv.conf itself: then it would do so once a minute, for ever.
        resolver = client.Resolver(servers=servers, reactor=self._reactor)  # type: ignore[no-untyped-call]
        try:
            answers, _, _ = await resolver.lookupService(name, _PATIENCE)  # type: ignore[no-untyped-call]
        except error.DNSNameError as problem:
            raise UnsentError(f"{name}: DNS has no such name") from problem
        except (error.DomainError, NoAnswerInTime, OSError) as problem:
            raise UnsentError(f"{name}: no answer from DNS ({type(problem).__name__})") from problem
        return [
            (record.priority, record.weight, record.port, record.target.name.decode("ascii").rstrip("."))
            for record in (answer.payload for answer in answers if answer.type == dns.SRV)
        ]
