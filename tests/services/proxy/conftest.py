"""What the tests of the reverse proxy share."""

import pytest
from cache_world import CachingProxy, Clock, ScriptedMember
from proxy_world import Member, Proxy
from twisted.logger import formatEvent, globalLogPublisher


@pytest.fixture
def member():
    """A member of the cluster, which is the test itself."""
    made = Member()
    yield made
    made.let_go()
    made.close()


@pytest.fixture
def other():
    """Another member."""
    made = Member()
    yield made
    made.let_go()
    made.close()


@pytest.fixture
def lines():
    """Return ``lines()``: the lines of the server's log."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield lambda: [formatEvent(event) for event in list(events)]
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def proxy(reactor_thread, tmp_path):
    """Return ``proxy(*members, **config)``: a running proxy, see ``Proxy``."""
    made = []

    def start(*members, **config):
        made.append(Proxy(reactor_thread, tmp_path, members, **config))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture
def clock(monkeypatch):
    """The wall clock of caches."""
    made = Clock()
    monkeypatch.setattr("skitai.services.proxy.cache.assembly.time", made)
    return made


@pytest.fixture
def scripted():
    """A member that answers from a script."""
    made = ScriptedMember()
    yield made
    made.close()


@pytest.fixture
def caching(proxy, scripted, clock):
    """Return ``caching(cache="", **config)``: a proxy with a cache, see ``CachingProxy``."""
    return lambda cache="", **config: CachingProxy(proxy, scripted, clock, cache, **config)
