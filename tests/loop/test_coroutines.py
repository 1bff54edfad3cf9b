"""Coroutines that app code waits for: in both executors they run in the reactor itself."""

import pytest
from twisted.internet.defer import Deferred

from skitai.calls.gather import gather
from skitai.errors import MisuseError
from skitai.loop.coroutines import run_coroutine


def test_awaits_calls(world, apps):
    """A coroutine gets what it awaits, and the app what the coroutine returns."""

    async def view():
        return (await world.ask("a")).data

    future = apps.start(lambda: run_coroutine(world.bridge, view()))
    while not world.asked:
        world.reactor.turn()
    world.asked[0].deferred.callback(b"data")
    assert apps.finish(future) == b"data"


def test_what_it_raises(world, apps):
    """The app gets the coroutine's exception."""

    async def view():
        raise KeyError("k")

    with pytest.raises(KeyError):
        apps.run(lambda: run_coroutine(world.bridge, view()))


def test_nothing_may_wait_from_the_beginning(world, apps):
    """Before its first await as after it, what waits elsewhere gives a Deferred here, or says no."""

    async def view():
        call = world.ask("a")
        with pytest.raises(MisuseError):
            call.getwait(1)
        together = gather(world.bridge, [call], 5)
        assert isinstance(together, Deferred)
        world.asked[0].deferred.callback(b"data")
        return (await together).data

    assert apps.run(lambda: run_coroutine(world.bridge, view())) == [b"data"]
