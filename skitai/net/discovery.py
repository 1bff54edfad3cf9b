"""Members that DNS names: ``dns:search.internal:8080`` and ``srv:_http._tcp.search.internal``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import Deferred

from skitai.errors import UnsentError
from skitai.net.addresses import is_host_name

if TYPE_CHECKING:
    from skitai.interfaces import IConnector

_DNS, _SRV = "dns:", "srv:"
#: What follows the name: a port, and the rest of the member's address.
_PLACE = re.compile(r"(?P<name>[^:/\s]+)(?P<port>:[0-9]{1,5})?(?P<rest>/.*)?")
_SERVICE = re.compile(r"_[A-Za-z0-9-]+\._(?:tcp|udp)\.(?P<domain>[^/\s]+)")

#: Fires with the SRV records of a name: priority, weight, port and target of each.
Services = Callable[[str], Deferred[list[tuple[int, int, int, str]]]]


@attrs.frozen
class Found:
    """A member that was found: ``address`` as a service reads it, with the name or, if that is None, without.

    ``at`` is the IP address to connect to, None if the name is to be resolved.
    """

    address: str
    at: str | None = None
    weight: int = 1


@attrs.frozen
class Source:
    """Where members are looked for: ``rest`` follows the port in the address of each."""

    kind: str
    name: str
    port: str = ""
    rest: str = ""
    weight: int = 1

    def __str__(self) -> str:
        return f"{self.kind}{self.name}{self.port}"

    async def look_up(self, connector: IConnector, services: Services) -> list[Found]:
        """Return what DNS has at present, in an order that does not change by itself.

        Raises UnsentError if there is nothing, or no answer. Called in the reactor thread.
        """
        if self.kind == _DNS:
            hosts = await connector.resolve(self.name)
            address = f"{self.name}{self.port}{self.rest}"
            return [Found(address, host, self.weight) for host in sorted(hosts)]
        # RFC 2782: a target of "." says that there is no such service.
        records = [record for record in await services(self.name) if record[2] and record[3]]
        if not records:
            raise UnsentError(f"{self} names no members")
        first = min(priority for priority, *_ in records)
        return sorted(
            (
                Found(f"{target}:{port}{self.rest}", None, max(weight, 1))
                for priority, weight, port, target in records
                if priority == first
            ),
            key=lambda found: found.address,
        )


def source_of(address: str, weight: int = 1) -> Source | None:
    """Return the source that a member's ``address`` names; None if it names a member itself.

    Raises ValueError for a malformed one.
    """
    if address.startswith(_DNS):
        found = _PLACE.fullmatch(address.removeprefix(_DNS))
        if found is None or not is_host_name(found["name"]):
            raise ValueError(f"{address!r} is not {_DNS}NAME:PORT")
        return Source(_DNS, found["name"], found["port"] or "", found["rest"] or "", weight)
    if address.startswith(_SRV):
        name, slash, rest = address.removeprefix(_SRV).partition("/")
        if _SERVICE.fullmatch(name) is None:
            raise ValueError(f"{address!r} is not {_SRV}_SERVICE._tcp.NAME (RFC 2782)")
        return Source(_SRV, name, rest=slash + rest, weight=weight)
    return None
