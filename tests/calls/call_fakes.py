"""A reactor that turns when the test says so, app code in threads and greenlets, and services to order."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

import greenlet
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.calls.operation import Operation
from skitai.calls.service import Service
from skitai.context import Caller
from skitai.loop.bridge import Bridge


class FakeReactor(Clock):
    """Its time moves with ``advance``; ``turn`` runs what was handed over or is due, to the turn's end."""

    def __init__(self):
        super().__init__()
        self.posted = deque()
        self.wakeups = 0

    def callFromThread(self, function, *args):
        self.wakeups += 1
        self.posted.append((function, args))

    def turn(self):
        self.advance(0)
        while self.posted:
            function, args = self.posted.popleft()
            function(*args)
            self.advance(0)


class Apps:
    """Runs app code beside the reactor: in a thread or in a greenlet."""

    def __init__(self, reactor, kind):
        self.reactor = reactor
        self.kind = kind

    def start(self, function):
        """Start ``function``; return a Future of what it returns."""
        future = Future()
        future.set_running_or_notify_cancel()

        def run():
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        if self.kind == "thread":
            threading.Thread(target=run, daemon=True).start()
        else:
            greenlet.greenlet(run).switch()
        return future

    def finish(self, future):
        """Turn the reactor until ``future`` is there; return its value or raise its exception."""
        deadline = threading.Event()
        timer = threading.Timer(60, deadline.set)
        timer.daemon = True
        timer.start()
        while not future.done():
            assert not deadline.is_set(), "the app hangs"
            self.reactor.turn()
            if self.kind == "thread":
                deadline.wait(0.001)
        timer.cancel()
        self.reactor.turn()
        return future.result()

    def run(self, function):
        """Start ``function`` and finish it."""
        return self.finish(self.start(function))


class Asked:
    """One ``perform`` of a ``ManualService``: the test fires ``deferred``."""

    def __init__(self, node, operation):
        self.node = node
        self.operation = operation
        self.cancelled = 0
        self.deferred = Deferred(self._cancel)

    def _cancel(self, _):
        self.cancelled += 1

    @property
    def label(self):
        return self.node.label


class ManualService(Service):
    """Answers when the test fires ``asked[n].deferred``; ``reaction`` may answer or raise at once."""

    cluster_types = frozenset({"manual"})
    default_port = 80

    def __init__(self, reaction=None):
        self.asked = []
        self.reaction = reaction

    def operation(self, target, request=None, idempotent=True, key=None, use_cache=True, **options):
        return Operation(target, request, key, idempotent, use_cache, **options)

    def perform(self, node, operation):
        asked = Asked(node, operation)
        self.asked.append(asked)
        return asked.deferred if self.reaction is None else self.reaction(asked)


class World:
    """A started bridge and dispatcher with the cluster ``@c`` of the members a, b and c.

    ``options`` are the dispatcher's.
    """

    def __init__(self, reactor=None, service=None, members=("a", "b", "c"), **options):
        self.reactor = reactor or FakeReactor()
        self.bridge = Bridge(self.reactor)
        self.bridge.start()
        self.service = service or ManualService()
        self.cluster = Cluster(
            "c", "manual", [Member(self.service.member(name, {})) for name in members], self.reactor.seconds
        )
        self.dispatcher = Dispatcher(self.bridge, {"c": self.cluster}, **options)
        self.ask = Caller(self.dispatcher, self.service, name="ask")

    @property
    def asked(self):
        return self.service.asked

    def in_flight(self):
        """How much is under way, by every count that there is."""
        return [self.dispatcher.in_flight, *(member.in_flight for member in self.cluster.members)]


@pytest.fixture
def world():
    return World()


@pytest.fixture(params=["thread", "greenlet"])
def apps(request, world):
    """App code of ``world``, in either kind of executor."""
    return Apps(world.reactor, request.param)


@pytest.fixture
def in_threads(world):
    return Apps(world.reactor, "thread")


@pytest.fixture
def in_greenlets(world):
    return Apps(world.reactor, "greenlet")
