import pytest
from call_fakes import Apps, World


@pytest.fixture
def world():
    return World()


@pytest.fixture(params=["thread", "greenlet"])
def apps(request, world):
    """App code of ``world``, in either kind of executor."""
    return Apps(world.reactor, request.param)


@pytest.fixture
def threads(world):
    return Apps(world.reactor, "thread")


@pytest.fixture
def greenlets(world):
    return Apps(world.reactor, "greenlet")
