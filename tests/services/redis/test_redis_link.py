"""How a link comes back, on a fake clock."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from skitai.errors import CODE_SHUTDOWN, OperationError, UnsentError
from skitai.services.redis.health import Health
from skitai.services.redis.link import FIRST_PAUSE, JITTER, LONGEST_PAUSE, Link

TIMEOUT = 2.0


class FakeConnection:
    """A connection whose commands the test answers."""

    def __init__(self):
        self.asked = []
        self.aborted = None

    def ask(self, *words):
        self.asked.append((words, Deferred()))
        return self.asked[-1][1]

    def answer(self):
        self.asked.pop(0)[1].callback(b"OK")

    def abort(self, reason):
        self.aborted = reason

    def lose(self):
        self.on_lost("the connection was lost")


class World:
    def __init__(self):
        self.clock = Clock()
        self.attempts = []
        self.heard = []
        self.link = Link(self.clock, "tests", self.connect, TIMEOUT, Health("Redis", self.clock.seconds))
        self.link.when_up.append(lambda: self.heard.append("up"))
        self.link.on_down = lambda error: self.heard.append(error.message)

    def connect(self):
        self.attempts.append(Deferred())
        return self.attempts[-1]

    def accept(self):
        connection = FakeConnection()
        self.attempts.pop().callback(connection)
        return connection

    def refuse(self):
        self.attempts.pop().errback(UnsentError("refused"))

    def pause(self):
        """Wait for the next attempt; return how long that took."""
        (call,) = self.clock.getDelayedCalls()
        pause = call.getTime() - self.clock.seconds()
        self.clock.advance(pause)
        return pause


@pytest.fixture
def world():
    return World()


def around(pause):
    return pytest.approx(pause, rel=JITTER)


def test_pauses_grow(world):
    """Each failure doubles the pause, more or less, up to the longest; a connection that lasts ends that."""
    world.link.start()
    pauses = []
    for _ in range(9):
        world.refuse()
        pauses.append(world.pause())
    wanted = [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(9)]
    assert pauses == [around(pause) for pause in wanted]
    assert pauses != wanted
    world.accept().lose()
    assert world.pause() == around(LONGEST_PAUSE)
    connection = world.accept()
    world.clock.advance(TIMEOUT)
    connection.answer()
    connection.lose()
    assert world.pause() == around(FIRST_PAUSE)


def test_a_sign_that_it_is_back(world):
    """Whoever knows better ends the pause; it makes no second attempt, and cuts no connection."""
    world.link.start()
    world.link.hurry()
    assert len(world.attempts) == 1
    world.refuse()
    world.link.hurry()
    world.clock.advance(0)
    connection = world.accept()
    world.link.hurry()
    world.clock.advance(0)
    assert (world.link.is_up, connection.asked) == (True, [])


def test_silence(world):
    """A PING that is not answered ends the connection, and so does a command; answers put it off."""
    world.link.start()
    connection = world.accept()
    world.clock.advance(TIMEOUT)
    assert [words for words, _ in connection.asked] == [("PING",)]
    world.clock.advance(TIMEOUT - 0.5)
    connection.answer()
    world.link.ask("GET", "a").addErrback(lambda _: None)
    world.clock.advance(0.5)
    assert connection.aborted is None
    world.clock.advance(TIMEOUT)
    assert connection.aborted == "no answer for 2 s"
    assert world.heard == ["up", "no answer for 2 s"]
    connection.lose()
    assert world.heard == ["up", "no answer for 2 s"]


def test_many_answers_take_their_time(world):
    """However many are under way: as long as answers come, Redis is there."""
    world.link.start()
    connection = world.accept()
    for _ in range(10):
        world.link.ask("GET", "a")
    for _ in range(10):
        world.clock.advance(TIMEOUT * 0.9)
        connection.answer()
    assert connection.aborted is None


def test_what_waits_for_the_first_connection(world):
    """It is sent in order, behind what the new connection itself is for; what was given up is not."""
    world.link.when_up.append(lambda: world.link.ask("HELLO") and None)
    given_up = world.link.ask("GET", "0").addErrback(lambda _: None)
    for number in range(1, 3):
        world.link.ask("GET", str(number))
    given_up.cancel()
    connection = world.accept()
    assert [words for words, _ in connection.asked] == [("HELLO",), ("GET", "1"), ("GET", "2")]


def test_the_end(world):
    """After the stop nothing is tried any more, and no timer is left."""
    failures = []
    world.link.ask("GET", "a").addErrback(failures.append)
    world.attempts[0].addErrback(lambda _: None)
    assert world.link.close().called
    world.link.ask("GET", "a").addErrback(failures.append)
    assert [failure.value.code for failure in failures] == [CODE_SHUTDOWN] * 2
    assert world.clock.getDelayedCalls() == []
    assert isinstance(world.link.error, OperationError)
    assert world.link.close().called
