"""Keeps the members of clusters as DNS says, and looks after their health."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.calls.cluster import Cluster, Member
from skitai.errors import UnsentError
from skitai.net.discovery import Found, Services, Source
from skitai.worker.health import HealthCheck

if TYPE_CHECKING:
    from skitai.interfaces import IConnector, INode

_log = Logger()

#: Seconds between two looks. Names are answered from memory for as long as they are valid.
_LOOK_SECONDS = 1.0
#: SRV records are asked for again after so many looks: their time to live is not known here.
_SERVICE_LOOKS = 10


@attrs.define(eq=False)
class Followed:
    """A cluster with members that come and go: ``fixed`` stay, ``sources`` name the others.

    ``node_of(found)`` returns the node of one that was found.
    """

    cluster: Cluster
    fixed: tuple[Member, ...]
    sources: tuple[Source, ...]
    node_of: Callable[[Found], INode]
    #: What each source has named last.
    found: dict[Source, list[Found]] = attrs.field(factory=dict)
    #: The sources whose last look has failed: that is said once.
    failing: set[Source] = attrs.field(factory=set)


class Following:
    """Looks names up for as long as the instance runs. All methods are called in the reactor thread."""

    def __init__(self, reactor: Any, connector: IConnector, services: Services) -> None:
        self.followed: list[Followed] = []
        self.checks: list[HealthCheck] = []
        self._connector = connector
        self._services = services
        self.reactor = reactor
        self._looks = 0
        self._under_way: set[tuple[Followed, Source]] = set()
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin, if there is anything to follow or to ask."""
        for check in self.checks:
            check.start()
        if self.followed and not self._loop.running:
            self._loop.start(_LOOK_SECONDS)

    def stop(self) -> None:
        """End; what is under way changes nothing any more."""
        for check in self.checks:
            check.stop()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        for followed in self.followed:
            for source in followed.sources:
                due = source.kind == "dns:" or self._looks % _SERVICE_LOOKS == 0 or source in followed.failing
                if due and (followed, source) not in self._under_way:
                    self._under_way.add((followed, source))
                    Deferred.fromCoroutine(self._follow(followed, source))
        self._looks += 1

    async def _follow(self, followed: Followed, source: Source) -> None:
        try:
            found = await source.look_up(self._connector, self._services)
        except UnsentError as error:
            # Those that are known stay: a name server that is away says nothing about them.
            if source not in followed.failing:
                followed.failing.add(source)
                _log.warn("cluster @{name}: {error}", name=followed.cluster.name, error=error.message)
            return
        except Exception:  # noqa: BLE001 - the next look may succeed
            _log.failure("cluster @{name} cannot be followed", name=followed.cluster.name)
            return
        finally:
            self._under_way.discard((followed, source))
        followed.failing.discard(source)
        if self._loop.running and followed.found.get(source) != found:
            followed.found[source] = found
            self._change(followed)

    def _change(self, followed: Followed) -> None:
        every = dict.fromkeys(each for source in followed.sources for each in followed.found.get(source, ()))
        members = []
        for each in every:
            try:
                members.append(Member(followed.node_of(each), each.weight))
            except ValueError as error:  # DNS may say anything
                _log.error("cluster @{name}: {error}", name=followed.cluster.name, error=error)
        followed.cluster.change([*followed.fixed, *members])
        labels = ", ".join(member.node.label for member in followed.cluster.members)
        _log.info("cluster @{name} has now: {labels}", name=followed.cluster.name, labels=labels or "nobody")


def node_maker(member: Callable[[str], INode]) -> Callable[[Found], INode]:
    """Return what makes the node of a member that was found; ``member(address)`` makes one by its name.

    The node keeps the name, for the Host field and the certificate, where it can: it is connected to by the
    address that was found.
    """
    return partial(_node, member)


def _node(member: Callable[[str], Any], found: Found) -> Any:
    if found.at is None:
        return member(found.address)
    node = member(found.address)
    if hasattr(node, "at"):
        return attrs.evolve(node, at=found.at)
    host = f"[{found.at}]" if ":" in found.at else found.at
    name = found.address.partition("/")[0].rpartition(":")[0] or found.address.partition("/")[0]
    return member(host + found.address.removeprefix(name))
