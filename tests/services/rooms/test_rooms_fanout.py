"""Large rooms: everybody gets everything in order, and the reactor has its turns."""

import pytest
from room_fakes import World

from skitai.services.rooms import fanout


@pytest.fixture
def world():
    return World(history=5000)


@pytest.fixture(autouse=True)
def small_turns(monkeypatch):
    monkeypatch.setattr(fanout, "_PER_TURN", 4)
    monkeypatch.setattr(fanout, "_PER_ROOM", 3)


def turns(world):
    """Run the reactor's turns until nothing waits; return how many members got something in each."""
    counts, former = [], 0

    def count():
        nonlocal former
        given = sum(ws.wire.given for ws in world.sockets)
        counts.append(given - former)
        former = given
        if world.clock.getDelayedCalls():
            world.clock.callLater(0, count)

    count()
    world.clock.advance(0)
    return counts


def test_the_reactor_has_its_turns(world):
    """A few members get the message at once, the next ones in the next turn, and so on."""
    members = [world.member() for _ in range(10)]
    world.room().send("hello")
    assert turns(world) == [4, 4, 2]
    assert [ws.wire.messages for ws in members] == [["hello"]] * 10


def test_every_member_has_its_order(world):
    """Messages that come while others are given wait for their turn."""
    members = [world.member(last="" if number % 3 else None) for number in range(10)]
    sent = [str(number) for number in range(20)]
    for message in sent:
        world.room().send(message)
    turns(world)
    for number, ws in enumerate(members):
        got = [envelope["data"] for envelope in ws.wire.envelopes[1:]] if number % 3 else ws.wire.messages
        assert got == sent


def test_rooms_take_turns(world):
    """A small room does not wait for all members of a large one."""
    large = [world.member() for _ in range(100)]
    small = world.member(room="small")
    world.room().send("large")
    world.room("small").send("small")
    assert sum(ws.wire.given for ws in large) == 4
    small.wire.then = lambda: given.append(sum(ws.wire.given for ws in large))
    given = []
    turns(world)
    assert given == [7]
    assert all(ws.wire.messages == ["large"] for ws in large)


def test_who_leaves_meanwhile_gets_nothing_more(world):
    """A member that has left before its turn gets nothing; one that has come is given what follows."""
    members = [world.member() for _ in range(10)]
    world.room().send("first")
    world.room().leave(members[9])
    late = world.member()
    world.room().send("second")
    turns(world)
    assert members[9].wire.messages == []
    assert late.wire.messages == ["second"]
    assert members[8].wire.messages == ["first", "second"]


def test_the_room_may_end_meanwhile(world):
    """When all have left, nothing is given any more, and nothing stays."""
    members = [world.member() for _ in range(10)]
    world.room().send("first")
    for ws in members:
        ws.ended(1001, "")
    turns(world)
    assert world.house.statistics()["rooms"] == 0


def test_too_many_messages_wait_in_the_history(world, monkeypatch):
    """Where members cannot be served so fast, the rest is read from the history when they have what waits."""
    monkeypatch.setattr(fanout, "_LINE_MAX", 10)
    plain, follows = world.member(), world.member(last="")
    others = [world.member() for _ in range(8)]
    sent = [str(number) for number in range(50)]
    for message in sent:
        world.room().send(message)
    turns(world)
    assert plain.wire.messages == others[7].wire.messages == sent
    assert [message["data"] for message in follows.wire.envelopes if "data" in message] == sent
    assert {message["missed"] for message in follows.wire.envelopes if "missed" in message} == {False}


def test_more_than_the_history_holds(monkeypatch):
    """What is not kept any more then is missed, and whoever knows its position is told."""
    monkeypatch.setattr(fanout, "_LINE_MAX", 10)
    world = World(history=3)
    follows = world.member(last="")
    others = [world.member() for _ in range(8)]
    for number in range(50):
        world.room().send(str(number))
    turns(world)
    *first, forty_seven, _, last = (message for message in follows.wire.envelopes)
    assert (forty_seven["data"], last["data"]) == ("47", "49")
    assert first[-1]["missed"]
    assert others[0].wire.messages[-3:] == ["47", "48", "49"]


def test_whoever_comes_meanwhile_gets_each_message_once(world, monkeypatch):
    """A member that reads its history while the room is late gets nothing twice."""
    monkeypatch.setattr(fanout, "_LINE_MAX", 5)
    others = [world.member() for _ in range(9)]
    sent = [str(number) for number in range(20)]
    start = world.room().send("start").getwait().data
    for message in sent:
        world.room().send(message)
    late = world.member(last=start)
    turns(world)
    world.room().send("end")
    turns(world)
    assert others[8].wire.messages == ["start", *sent, "end"]
    assert [message["data"] for message in late.wire.envelopes if "data" in message] == [*sent, "end"]
