"""Notifications over a fake engine."""

import threading

import pytest
from db_fakes import DriverError, FakeEngine, FakeNode, refused, unreached
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock

from skitai import DB_SQLITE3
from skitai.calls.uncollected import OpenCalls
from skitai.context import Caller
from skitai.errors import OperationError, OperationTimeout
from skitai.services.db import listening
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.listening import Notification
from skitai.services.db.service import DatabaseService
from skitai.testing import ServiceHarness
from wire import PATIENCE


class World:
    def __init__(self):
        self.engine = FakeEngine()
        self.engine.answers.update({"LISTEN h": None, "LISTEN a": None})
        self.service = DatabaseService()
        self.service.add(self.engine)
        self.service.member = lambda address, options: FakeNode(address)
        self.clock = MemoryReactorClock()
        self.harness = ServiceHarness(self.service, self.clock, clusters={"main": ["a"]})
        self.db = self.harness.call

    def send(self, channel, *payloads):
        for payload in payloads:
            self.engine.listening[channel].notified(payload, 7)


@pytest.fixture
def world():
    return World()


def test_notifications_come_in_order(world):
    """Each notification has its channel, its payload and the process that sent it."""
    notes = world.db.listen("@main", "news")
    notes.wait()
    world.send("news", "a", "b")
    found = iter(notes)
    assert [next(found), next(found)] == [Notification("news", "a", 7), Notification("news", "b", 7)]
    notes.close()
    assert list(found) == []
    assert world.engine.log == ["LISTEN news", "UNLISTEN news"]
    assert world.harness.in_flight == 0


def test_arguments(world):
    """The database is named as for a statement, and the channel comes last."""
    world.engine.answers["LISTEN h/d"] = None
    for notes in (world.db.listen("h", "d", "u", "p", "news"), world.db.listen("h", channel="news")):
        notes.close()
    assert world.engine.nodes == [("h", "d", "u", "p"), ("h", None, None, None)]
    for args in ((), (7,), ("",)):
        with pytest.raises(TypeError, match="channel must be the name of a channel"):
            world.db.listen("h", *args)
    with pytest.raises(TypeError, match=r"^was\.db\.listen\(\) got an unexpected .* 'chanel'"):
        world.db.listen("h", "news", chanel="news")


def test_the_kind_of_database_is_no_channel(world):
    """Where the kind of database stands last, the channel is missing; named as such, it is a channel."""
    with pytest.raises(TypeError, match="channel is missing: 'sqlite3' is a kind of database"):
        world.db.listen("notes.db", DB_SQLITE3)
    with world.db.listen("h", channel=DB_SQLITE3) as notes:
        assert notes.channel == DB_SQLITE3


@pytest.mark.parametrize(
    ("channel", "words"),
    [("x" * 64, "64 bytes"), ("\u00e9" * 32, "64 bytes"), ("a\0b", "NUL"), ("\ud800", "no text")],
)
def test_names_that_no_channel_has(world, channel, words):
    """They are errors of the caller: PostgreSQL would cut the long ones, and send nothing to the listener."""
    with pytest.raises(ValueError, match=words):
        world.db.listen("@main", channel)
    assert world.engine.log == []
    world.db.listen("h", "\u00e9" * 31 + "x").close()


def test_get_waits(world):
    """A notification that comes while somebody waits is returned; without one there is None."""
    with world.db.listen("h", "news") as notes:
        assert notes.get(2) is None
        assert world.clock.seconds() == 2
        world.clock.callLater(1, world.send, "news", "a")
        assert notes.get(5).payload == "a"
        assert world.clock.seconds() == 3
    assert world.engine.listening == {}


def test_lost_connection(world):
    """After a lost connection comes the sign that something may have been missed."""
    with world.db.listen("h", "news") as notes:
        world.engine.listening["news"].resumed()
        world.send("news", "a")
        assert notes.get() == Notification("news", missed=True)
        assert notes.get().payload == "a"


def test_slow_listener(world, monkeypatch):
    """A listener that is too slow has what came first, and one sign for all that came behind it."""
    monkeypatch.setattr(listening, "WAITING_MAX", 3)
    with world.db.listen("h", "news") as notes:
        world.send("news", *"abcdef")
        assert [notes.get().payload for _ in "abc"] == ["a", "b", "c"]
        assert notes.get().missed
        world.send("news", "g")
        assert [notes.get().payload, notes.get(0)] == ["g", None]


def test_cannot_listen(world):
    """What prevents it is raised where the app waits."""
    world.engine.answers["LISTEN h"] = unreached()
    notes = world.db.listen("h", "news")
    for wait in (notes.wait, notes.get, lambda: next(iter(notes))):
        with pytest.raises(OperationError, match="refused the connection"):
            wait()


def test_slow_begin(world):
    """Listening that does not begin in time is given up."""
    del world.engine.answers["LISTEN h"]
    notes = world.db.listen("h", "news")
    with pytest.raises(OperationTimeout, match="'news' is not listened to within 2 s"):
        notes.wait(2)
    assert world.engine.waiting["LISTEN h"].called
    assert world.harness.in_flight == 0


def test_no_notifications():
    """A kind of database without notifications says so."""
    engine = FakeEngine("sqlite3")
    service = DatabaseService()
    service.add(engine)
    notes = ServiceHarness(service, MemoryReactorClock()).call.listen("f", "sqlite3", "news")
    with pytest.raises(DriverError, match="no notifications"):
        notes.wait()


def test_refused(world):
    """What a database refuses that is well, such as one that recovers, says nothing against the member."""
    world.engine.answers["LISTEN a"] = RefusedError(refused("cannot execute LISTEN during recovery"))
    notes = world.db.listen("@main", "news")
    with pytest.raises(DriverError, match="during recovery"):
        notes.wait()
    assert [member.failures for member in world.harness.clusters["main"].members] == [0]
    assert world.harness.in_flight == 0


def test_end_of_the_request(world):
    """The end of the request ends the listening, even while somebody waits."""
    open_calls = OpenCalls()
    caller = Caller(world.harness._dispatcher, world.service, open_calls=open_calls)
    notes = caller.listen("h", "news")
    open_calls.end()
    assert list(notes) == []
    assert world.engine.listening == {}


def test_stop_of_the_server(world):
    """So does the stop of the server."""
    notes = world.db.listen("h", "news")
    world.send("news", "a")
    world.harness.stop()
    assert not notes.closed  # there is one to be taken
    assert notes.get(5).payload == "a"
    assert notes.closed
    assert notes.get(5) is None
    assert list(notes) == []
    notes.wait()


def test_in_a_coroutine(world):
    """`await` waits for the begin, and `async for` for notifications."""
    found = []

    async def read():
        async with world.db.listen("h", "news") as notes:
            assert await notes is notes
            async for note in notes:
                found.append(note.payload)
                if note.payload == "last":
                    break
        return "done"

    reading = Deferred.fromCoroutine(read())
    world.send("news", "a")
    assert found == ["a"]
    world.send("news", "b", "last")
    assert reading.result == "done"
    assert (found, world.engine.listening) == (["a", "b", "last"], {})


def test_in_a_thread(reactor_thread):
    """A thread that iterates wakes up at each notification, and at the end."""
    engine = FakeEngine()
    engine.answers["LISTEN h"] = None
    service = DatabaseService()
    service.add(engine)
    harness = reactor_thread.call(lambda: ServiceHarness(service, reactor_thread.reactor))
    notes = harness.call.listen("h", "news")
    notes.wait()
    found = []
    thread = threading.Thread(target=lambda: found.extend(note.payload for note in notes))
    thread.start()
    for payload in "ab":
        reactor_thread.call(engine.listening["news"].notified, payload, 1)
    notes.close()
    thread.join(PATIENCE)
    assert (found, thread.is_alive()) == (["a", "b"], False)
