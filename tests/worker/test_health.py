"""Members that are asked for their health rest until they are well."""

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from instances import make_instance
from skitai.calls.cluster import Cluster, Member
from skitai.errors import ConfigError, OperationError
from skitai.net.addresses import HTTPNode
from skitai.services.http import plugin as http
from skitai.services.http.result import HTTPResult
from skitai.worker.health import Health, HealthCheck, read_health


class World:
    """A cluster of two, asked every five seconds; ``answers`` are by host."""

    def __init__(self):
        self.clock = Clock()
        self.answers = {}
        self.asked = []
        members = [Member(HTTPNode(host, 80)) for host in ("a", "b")]
        self.cluster = Cluster("c", "http", members, self.clock.seconds)
        self.check = HealthCheck(self.clock, self.cluster, self, "operation", Health("/ping?key=x", 5))

    def perform(self, node, operation):
        self.asked.append(node.host)
        answer = self.answers.get(node.host, 200)
        return answer() if callable(answer) else succeed(HTTPResult(code=answer))

    def wait(self, seconds):
        self.clock.pump([1] * seconds)

    @property
    def states(self):
        return [member.state for member in self.cluster.view().members]


@pytest.fixture
def world():
    return World()


def test_all_are_asked(world):
    """Each member is asked at once, and in each round."""
    world.check.start()
    assert world.asked == ["a", "b"]
    world.wait(10)
    assert world.asked == ["a", "b"] * 3
    world.check.stop()
    assert (world.states, world.clock.getDelayedCalls()) == (["up", "up"], [])


@pytest.mark.parametrize(
    "answer", [503, 404, lambda: fail(OperationError("refused")), lambda: fail(ValueError())]
)
def test_an_unwell_member_rests(world, answer):
    """It rests for as long as it says so, and is back at the first good answer."""
    world.check.start()
    world.answers["a"] = answer
    world.wait(5)
    assert world.states == ["resting", "up"]
    world.wait(30)
    assert world.states == ["resting", "up"]
    assert {world.cluster.pick().node.host for _ in range(5)} == {"b"}
    world.answers["a"] = 204
    world.wait(5)
    assert world.states == ["up", "up"]


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (404, "GET /ping gave 404"),
        (
            lambda: fail(OperationError("a:80 refused the connection")),
            "GET /ping: a:80 refused the connection",
        ),
        (Deferred, "GET /ping: no answer in time"),
    ],
)
def test_what_is_logged(world, answer, problem):
    """It is logged once what was asked, which key says so, and that the member is well again: no warning."""
    with capturedLogs() as events:
        world.answers["a"] = answer
        world.check.start()
        world.wait(15)
        world.answers["a"] = 200
        world.wait(10)
    told = [(event["log_level"], formatEvent(event)) for event in events]
    assert told == [
        (LogLevel.warn, f"cluster @c: a:80 is unwell: {problem} (health in [@c])"),
        (LogLevel.info, "cluster @c: a:80 is well again"),
    ]


def test_requests_that_go_well_meanwhile(world):
    """An answer of a request says nothing against what the member says of itself."""
    world.check.start()
    world.answers.update(a=503, b=503)
    world.wait(5)
    for member in world.cluster.members:
        world.cluster.begin(member)
        world.cluster.succeeded(member, 0.1)
    assert world.states == ["resting", "resting"]
    assert world.cluster.pick() is not None  # one of them must be asked
    world.answers["a"] = 200
    world.wait(5)
    assert world.states == ["up", "resting"]
    world.check.stop()
    world.wait(20)
    world.cluster.succeeded(world.cluster.members[1])
    assert world.states == ["up", "up"]  # nobody asks it any more


def test_a_member_that_does_not_answer(world):
    """A round is its patience; nothing piles up."""
    cancelled = []
    world.answers["a"] = lambda: Deferred(cancelled.append)
    world.check.start()
    world.wait(5)
    assert (world.states, len(cancelled)) == (["resting", "up"], 1)
    world.check.stop()
    assert world.clock.getDelayedCalls() == []


def test_failures_of_requests_end_with_a_good_answer(world):
    """A member that failed a request is back as soon as it says that it is well."""
    world.check.start()
    world.cluster.failed(world.cluster.members[0])
    assert world.states == ["resting", "up"]
    world.wait(5)
    assert world.states == ["up", "up"]


def test_members_that_change(world):
    """New members are asked, too."""
    world.check.start()
    world.cluster.change([Member(HTTPNode("z", 80))])
    world.wait(5)
    assert world.asked[-1] == "z"


@pytest.mark.parametrize(
    ("text", "health"), [("/ping every 5", Health("/ping", 5)), ("/a?b=c  every 0.5s", Health("/a?b=c", 0.5))]
)
def test_reading(text, health):
    """A path and a number of seconds."""
    assert read_health(text) == health


@pytest.mark.parametrize("text", ["", "/ping", "ping every 5", "/ping every", "/ping every 0", "/p every x"])
def test_a_malformed_key(tmp_path, text):
    """The line of the config is named."""
    config = tmp_path / "a.conf"
    config.write_text(f"[server]\nport = 0\n[@c]\nmembers = a:1\nhealth = {text or 'x'}\n")
    with pytest.raises(ConfigError, match=r"a\.conf:5: \[@c\] health: .* is not PATH every SECONDS"):
        make_instance(Clock(), config, http=http)
