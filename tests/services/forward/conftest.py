"""What the tests of the forward proxy share."""

import pytest
from forward_world import Forward
from proxy_world import Member


@pytest.fixture
def destination():
    """A host that clients ask for, which is the test itself."""
    made = Member()
    yield made
    made.close()


@pytest.fixture
def forward(reactor_thread, tmp_path):
    """Return ``forward(**config)``: a running proxy, see ``Forward``."""
    made = []

    def start(**config):
        made.append(Forward(reactor_thread, tmp_path, **config))
        return made[-1]

    yield start
    for each in made:
        each.stop()
