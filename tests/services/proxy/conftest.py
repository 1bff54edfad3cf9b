"""What the tests of the reverse proxy share."""

import pytest
from proxy_world import Member, Proxy
from twisted.logger import formatEvent, globalLogPublisher


@pytest.fixture
def member():
    """A member of the cluster, which is the test itself."""
    made = Member()
    yield made
    made.close()


@pytest.fixture
def other():
    """Another member."""
    made = Member()
    yield made
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
