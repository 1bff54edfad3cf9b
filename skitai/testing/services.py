"""One service, called as an app would call it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock

from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.context import Caller
from skitai.interfaces import IService
from skitai.loop.bridge import Bridge
from skitai.plugins.contributions import SERVICES
from skitai.testing.clockbridge import ClockBridge


def verify_service(service: object) -> None:
    """Raise AssertionError, saying what is missing, unless a server would take ``service``.

    For a plugin's first test::

        def test_interface():
            verify_service(Weather(reactor))
    """
    try:
        SERVICES.check("service", service)
    except TypeError as error:
        raise AssertionError(str(error)) from error


class ServiceHarness:
    """Puts ``service`` where a server would: ``harness.call`` is what ``was.NAME`` is to an app.

    ``reactor`` is the one that the service was made with. On a fake one (any ``Clock``) waiting moves its
    clock instead of taking time; on a real one ``await`` the calls, or take their ``deferred()``.
    ``clusters`` gives the addresses of their members, as the config would. Raises AssertionError where
    ``verify_service`` does. Created and used in one thread, the reactor's if it is a real one::

        reactor = MemoryReactorClock()
        harness = ServiceHarness(Weather(reactor), reactor, clusters={"stations": ["a:80", "b:80"]})
        call = harness.call.lb("@stations", "Seoul")
        ...  # be the other side: look at reactor.tcpClients
        assert call.getwait().data == "sunny"
        assert harness.in_flight == 0
    """

    def __init__(
        self,
        service: IService,
        reactor: Any = None,
        clusters: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        verify_service(service)
        self.reactor = MemoryReactorClock() if reactor is None else reactor  # type: ignore[no-untyped-call]
        bridge = ClockBridge(self.reactor) if isinstance(self.reactor, Clock) else Bridge(self.reactor)
        bridge.start()
        self.clusters = {
            name: self._cluster(service, name, addresses) for name, addresses in (clusters or {}).items()
        }
        self._dispatcher = Dispatcher(bridge, self.clusters)
        #: Call it, its ``lb`` or its ``map`` with an app's arguments.
        self.call = Caller(self._dispatcher, service)

    def _cluster(self, service: IService, name: str, addresses: Sequence[str]) -> Cluster:
        members = [Member(service.member(address, {})) for address in addresses]
        return Cluster(name, next(iter(service.cluster_types), ""), members, self.reactor.seconds)

    @property
    def in_flight(self) -> int:
        """How many calls the service has not answered."""
        return self._dispatcher.in_flight

    def stop(self) -> None:
        """Fail what is under way, as a server that stops would."""
        self._dispatcher.stop()
