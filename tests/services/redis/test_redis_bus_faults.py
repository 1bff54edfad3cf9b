"""The bus while Redis is killed, stopped, restarted empty, and reached by a part of the connections only."""

import itertools
import signal

import pytest
from redis import Redis as PlainRedis
from redis_world import Buses, Outcome

from serving import eventually
from skitai.errors import OperationError, OperationTimeout, UnsentError
from skitai.services.redis import presence

KEPT = {"history": 10, "seconds": 60}


@pytest.fixture
def server(own_redis):
    return own_redis()


@pytest.fixture
def plain(server):
    """Another client, to look into Redis."""
    with PlainRedis(server.host, server.port) as client:
        yield client


@pytest.fixture
def buses_on(reactor_thread):
    """Return ``buses_on(server, **settings)``: Buses."""
    started = []

    def make(server, **settings):
        started.append(Buses(reactor_thread, server, **settings))
        return started[-1]

    yield make
    for buses in reversed(started):
        buses.close()


@pytest.fixture
def buses(buses_on, server):
    return buses_on(server)


def fails(function, *args, **options):
    """Return the error with which a call fails."""
    with pytest.raises(OperationError) as raised:
        function(*args, **options)
    return raised.value


class TestAway:
    def test_restarted_empty(self, buses, server, reactor_thread):
        """Local members keep talking; then all is as before, but for the history, and everybody is told."""
        call = reactor_thread.call
        here, there = buses.start(), buses.start()
        listeners = [buses.listen(here), buses.listen(there)]
        before = buses.publish(here, b"before", **KEPT)
        for bus, name in ((here, "ann"), (there, "bob")):
            call(bus.enter, "a", name, name.encode())
        buses.settle()
        server.stop(signal.SIGKILL)
        buses.until_away()
        assert "Redis is away" in fails(buses.publish, here, b"meanwhile", **KEPT).message
        fails(call, here.enter, "a", "eve", b"eve")
        fails(call, here.leave, "a", "ann")
        for function in (here.members, here.recent):
            assert type(fails(call, function, "a")) is UnsentError
        assert [listener.heard for listener in listeners] == [[b"before", b"meanwhile"], [b"before"]]
        assert listeners[0].messages[1].position is None
        server.start()
        for listener in listeners:
            eventually(lambda listener=listener: "interrupted" in listener.heard, "the interruption")
        eventually(lambda: call(here.members, "a") == {"bob": b"bob", "eve": b"eve"}, "the members")
        after = buses.publish(here, b"after", **KEPT)
        assert (after.offset, after.epoch == before.epoch) == (1, False)
        recent = call(here.recent, "a", before)
        assert ([message.data for message in recent.messages], recent.complete) == ([b"after"], False)
        buses.settle()
        assert [listener.heard for listener in listeners] == [
            [b"before", b"meanwhile", "interrupted", b"after"],
            [b"before", "interrupted", b"after"],
        ]

    def test_stopped(self, buses, server):
        """A Redis that stands still fails the call in time; its message is given here, and only once."""
        bus = buses.start()
        listener = buses.listen(bus)
        buses.settle()
        server.signal(signal.SIGSTOP)
        assert type(fails(buses.publish, bus, b"one")) in (OperationTimeout, UnsentError, OperationError)
        assert listener.heard == [b"one"]
        buses.until_away()
        fails(buses.publish, bus, b"two")
        server.signal(signal.SIGCONT)
        eventually(lambda: "interrupted" in listener.heard, "the interruption")
        buses.publish(bus, b"three")
        buses.settle()
        assert listener.heard == [b"one", b"two", "interrupted", b"three"]

    def test_away_from_the_start(self, buses, server, reactor_thread):
        """Who subscribes while Redis is away talks here, and is told when it is there."""
        server.stop(signal.SIGKILL)
        bus = buses.start(connected=False)
        buses.until_away()
        listener = buses.new_listener()
        error = fails(reactor_thread.call, bus.subscribe, "a", listener)
        assert "Redis is away" in error.message
        fails(buses.publish, bus, b"one")
        server.start()
        eventually(lambda: "interrupted" in listener.heard, "the interruption")
        buses.publish(bus, b"two")
        buses.settle()
        assert listener.heard == [b"one", "interrupted", b"two"]

    def test_a_burst_through_a_kill(self, buses, server, reactor_thread):
        """However Redis ends, this process gets each of its messages once, and in order."""
        bus = buses.start()
        listener = buses.listen(bus)
        numbers = itertools.count()
        outcomes = []

        def burst():
            for number in itertools.islice(numbers, 50):
                outcomes.append(bus.publish("a", b"%d" % number, **KEPT).addBoth(lambda _: None))

        for _ in range(10):
            reactor_thread.call(burst)
        server.signal(signal.SIGKILL)
        for _ in range(10):
            reactor_thread.call(burst)
        server.stop(signal.SIGKILL)
        buses.until_away()
        reactor_thread.call(burst)
        server.start()
        eventually(lambda: "interrupted" in listener.heard, "the interruption")
        reactor_thread.call(burst)
        buses.settle()
        heard = [data for data in listener.heard if data != "interrupted"]
        assert heard == [b"%d" % number for number in range(22 * 50)]

    @pytest.mark.parametrize("kind", ["normal", "pubsub"])
    def test_one_connection_is_cut(self, buses, plain, reactor_thread, kind):
        """Each connection comes back by itself; messages come once, in order, whatever the other one does."""
        bus, other = buses.start(), buses.start()
        listener = buses.listen(bus)
        outcomes = []
        for number in range(20):
            if number == 10:
                plain.client_kill_filter(_type=kind)
            outcomes.append(Outcome(reactor_thread, bus.publish, "a", b"%d" % number, **KEPT))
        for outcome in outcomes:
            outcome.value()
        eventually(lambda: buses.connections_made() > 4, "another connection")
        buses.until_up()
        buses.settle()
        assert [data for data in listener.heard if data != "interrupted"] == [b"%d" % n for n in range(20)]
        assert ("interrupted" in listener.heard) == (kind == "pubsub")
        reached = buses.listen(other)
        buses.publish(bus, b"end")
        eventually(lambda: reached.heard == [b"end"], "the end")

    def test_an_answer_that_comes_too_late(self, buses, plain):
        """Redis takes a message after the call has failed: what was given here already is not given again."""
        bus, other = buses.start(), buses.start()
        listener, elsewhere = buses.listen(bus), buses.listen(other)
        plain.execute_command("CLIENT", "PAUSE", 500, "WRITE")
        fails(buses.publish, bus, b"one", **KEPT)
        assert listener.heard == [b"one"]
        plain.execute_command("CLIENT", "UNPAUSE")
        buses.until_up()
        eventually(lambda: buses.publish(bus, b"end", "the way is free") is None, "the end of the pause")
        buses.settle()
        assert listener.heard == [b"one"]
        assert elsewhere.heard in ([b"one"], [])

    def test_twice_over_the_wire(self, buses, plain):
        """A message of this process that comes a second time is known."""
        bus, other = buses.start(), buses.start()
        listener, elsewhere = buses.listen(bus), buses.listen(other)
        with plain.pubsub() as watcher:
            watcher.subscribe("skitai:bus:0:a")
            buses.publish(bus, b"one")
            envelope = next(found["data"] for found in watcher.listen() if found["type"] == "message")
        plain.publish("skitai:bus:0:a", envelope)
        buses.settle()
        assert (listener.heard, elsewhere.heard) == ([b"one"], [b"one", b"one"])

    def test_it_refuses_a_subscription(self, own_redis, buses_on, server):
        """A user who may not subscribe is told what Redis says, once for each channel."""
        with PlainRedis(server.host, server.port) as plain:
            plain.execute_command("ACL", "SETUSER", "web", "on", ">pw", "+@all", "~*", "resetchannels")
        buses = buses_on(server, user="web", password="pw")
        bus = buses.start()
        error = fails(buses.listen, bus)
        assert "NOPERM" in error.message


class TestPresence:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch):
        monkeypatch.setattr(presence, "BEAT_SECONDS", 0.05)
        monkeypatch.setattr(presence, "LIFE_SECONDS", 0.5)
        monkeypatch.setattr(presence, "CLEAN_SECONDS", 0.8)

    def members(self, plain):
        return [key for key in plain.keys("*") if b":members:" in key or b":processes:" in key]

    def test_a_process_is_killed(self, buses, plain, reactor_thread):
        """Its members are not there any more after a while, and then nothing of them is left in Redis."""
        call = reactor_thread.call
        stays, dies = buses.start(), buses.start()
        call(stays.enter, "a", "ann", b"")
        call(dies.enter, "a", "bob", b"")
        for number in range(3):
            call(dies.enter, f"room {number}", "bob", b"")
        assert call(stays.members, "a") == {"ann": b"", "bob": b""}
        buses.kill(dies)
        eventually(lambda: call(stays.members, "a") == {"ann": b""}, "the end of the dead")
        eventually(lambda: len(self.members(plain)) == 2, "the cleaning")
        assert call(stays.members, "a") == {"ann": b""}

    def test_a_process_is_stopped(self, buses, plain, reactor_thread):
        """Its members leave at once."""
        call = reactor_thread.call
        stays, leaves = buses.start(), buses.start()
        call(leaves.enter, "a", "bob", b"")
        buses.stop(leaves)
        assert call(stays.members, "a") == {}
        assert self.members(plain) == []

    def test_it_was_taken_for_dead(self, buses, plain, reactor_thread):
        """A process that stood still enters all of its members anew."""
        bus = buses.start()
        reactor_thread.call(bus.enter, "a", "ann", b"")
        plain.delete(*plain.keys("*"))
        eventually(lambda: reactor_thread.call(bus.members, "a") == {"ann": b""}, "the members")

    def test_redis_is_full_for_a_while(self, buses, plain, reactor_thread):
        """Who comes or goes meanwhile does so when there is room again, though the connection has held."""
        call = reactor_thread.call
        here, there = buses.start(), buses.start()
        call(here.enter, "a", "ann", b"")
        plain.config_set("maxmemory", 1)
        fails(call, here.enter, "a", "bob", b"")
        assert call(there.members, "a") == {"ann": b""}
        plain.config_set("maxmemory", 0)
        eventually(lambda: call(there.members, "a") == {"ann": b"", "bob": b""}, "the members")

    def test_redis_is_full_after_a_new_connection(self, buses, plain, reactor_thread):
        """Members that cannot be entered anew are entered later."""
        call = reactor_thread.call
        here, there = buses.start(), buses.start()
        call(here.enter, "a", "ann", b"")
        plain.config_set("maxmemory", 1)
        made = buses.connections_made()
        plain.client_kill_filter(_type="normal", skipme=True)
        eventually(lambda: buses.connections_made() >= made + 2, "new connections")
        buses.until_up()
        eventually(lambda: call(there.members, "a") == {}, "the end of their life")
        plain.config_set("maxmemory", 0)
        eventually(lambda: call(there.members, "a") == {"ann": b""}, "the members")

    def test_nobody_disappears_with_a_connection(self, buses, plain, reactor_thread):
        """While a process enters its members anew, others see them all."""
        call = reactor_thread.call
        here, there = buses.start(), buses.start()
        for number in range(20):
            call(here.enter, "a", str(number), b"")
        made = buses.connections_made()
        plain.client_kill_filter(_type="normal")
        buses.until_up()
        seen = {len(call(there.members, "a"))}
        while buses.connections_made() < made + 2 or len(self.members(plain)) != 2:
            seen.add(len(call(there.members, "a")))
        assert seen == {20}

    def test_thousands(self, buses_on, server, plain, reactor_thread, monkeypatch):
        """A heartbeat is one command, however many members there are."""
        bus = buses_on(server, timeout=60).start()  # 5,000 commands at once take a busy machine seconds

        def enter():
            done = [bus.enter("a", f"member {number}", b"data") for number in range(5000)]
            return done[-1]

        reactor_thread.call(enter)
        assert len(reactor_thread.call(bus.members, "a")) == 5000
        count = plain.info("stats")["total_commands_processed"]
        beats = [0]
        beat = bus._presence._beat
        monkeypatch.setattr(bus._presence, "_beat", lambda: beats.__setitem__(0, beats[0] + 1) or beat())
        eventually(lambda: beats[0] == 5, "heartbeats")
        assert plain.info("stats")["total_commands_processed"] - count < 60


def test_databases_are_apart(buses_on, server):
    """Redis has the same channels in all databases, but servers in another one are other servers."""
    zero, one = buses_on(server).start(), buses_on(server, database=1)
    bus = one.start()
    listener = one.listen(bus)
    del zero
    with PlainRedis(server.host, server.port) as plain:
        (channel,) = plain.pubsub_channels("skitai:*")
        assert channel == b"skitai:bus:1:a"
        plain.publish(channel, "what no Skitai sends")
        plain.publish(channel, "a:b:c:d\n")
        plain.publish(channel, b"a:1:\xff:1\n")
    one.publish(bus, b"one")
    one.settle()
    assert listener.heard == [b"one"]
    assert sum("no Skitai has sent" in line for line in one.log.all_lines) == 1
