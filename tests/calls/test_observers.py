"""Those who are told of calls: what they hear, and what they can change."""

import attrs
import pytest
from call_fakes import Apps, ManualService, World
from twisted.internet.defer import fail
from twisted.logger import capturedLogs

from skitai.calls.observers import CallObservers
from skitai.calls.result import Result
from skitai.errors import OperationError, UnsentError


class Observer:
    """Notes what it is told of."""

    def __init__(self):
        self.heard = []

    def started(self, call):
        self.heard.append(("started", call.service, call))

    def attempt(self, call, node, operation):
        self.heard.append(("attempt", node.label, call))
        return attrs.evolve(operation, request=node.label)

    def finished(self, call, result):
        self.heard.append(("finished", result.status, call))

    def observers(self):
        return CallObservers([self.started], [self.attempt], [self.finished])

    def words(self):
        return [(event, detail) for event, detail, _ in self.heard]


@pytest.fixture
def observer():
    return Observer()


@pytest.fixture(params=["thread", "greenlet"])
def kind(request):
    return request.param


def observed(observer, service=None, **options):
    return World(service=service, observers=observer.observers(), **options)


def test_a_call(observer, kind):
    """It starts, is tried on a node with the operation that the observer returns, and ends."""
    world = observed(observer, ManualService(lambda asked: Result(asked.operation.request)))
    apps = Apps(world.reactor, kind)
    result = apps.run(lambda: world.ask("a").getwait(5))
    assert result.data == "a:80"
    assert observer.words() == [("started", "ask"), ("attempt", "a:80"), ("finished", 3)]
    assert len({call for _, _, call in observer.heard}) == 1
    assert observer.heard[0][2].operation.request is None


def test_each_member_that_is_tried(observer):
    """Fail-over is one call with several attempts."""
    world = observed(observer, ManualService(lambda _: fail(UnsentError("refused", code=701))))
    call = world.ask("@c")
    assert call.status == 2
    assert [event for event, _ in observer.words()] == ["started", *["attempt"] * 3, "finished"]


def test_a_call_to_all(observer):
    """It is one call for each member."""
    world = observed(observer)
    group = world.ask.map("@c")
    world.asked[0].deferred.callback("done")
    group.cancel()
    words = observer.words()
    assert sorted(words) == sorted(
        [*[("started", "ask")] * 3, *[("attempt", f"{name}:80") for name in "abc"], *FINISHED]
    )


FINISHED = [("finished", 3), ("finished", 2), ("finished", 2)]


def test_a_time_out(observer, kind):
    """The end is told once, though the reply comes late."""
    world = observed(observer)
    apps = Apps(world.reactor, kind)
    waiting = apps.start(lambda: world.ask("a").getwait(0.1).status)
    while not world.asked:
        world.reactor.turn()
    world.reactor.advance(1)
    assert apps.finish(waiting) == 1
    assert observer.words()[-1] == ("finished", 1)
    assert [event for event, _ in observer.words()].count("finished") == 1


def test_calls_that_share_a_request(observer):
    """Each starts and ends; the attempt is that of the first."""
    world = observed(observer, coalesce=True)
    first, second = (world.ask("a", key="k") for _ in range(2))
    world.asked[0].deferred.callback("done")
    assert sorted(observer.words()) == sorted(
        [("started", "ask"), ("attempt", "a:80"), ("started", "ask"), ("finished", 3), ("finished", 3)]
    )
    assert [call for event, _, call in observer.heard if event == "attempt"] == [first]
    assert {call for event, _, call in observer.heard if event == "finished"} == {first, second}


def test_observers_that_raise():
    """They are logged by name, and harm nothing."""

    def broken(*_):
        raise OperationError("broken")

    world = World(observers=CallObservers([broken], [broken], [broken]))
    with capturedLogs() as logged:
        call = world.ask("a", request="plain")
        world.asked[0].deferred.callback("done")
    assert call.status == 3
    assert world.asked[0].operation.request == "plain"
    assert [event["observer"] for event in logged] == [f"{__name__}.{broken.__qualname__}"] * 3
