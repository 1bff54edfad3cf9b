"""Who comes back gets what it has missed, once, or learns that some of it is lost."""

import json

import pytest
from room_fakes import World

from skitai.messaging import Position
from skitai.services.rooms import catchup

KEPT, PACE = 3, 64 * 1024


@pytest.fixture
def world():
    return World(history=KEPT)


@pytest.fixture
def epoch(world):
    return world.room().send("first").getwait().data.partition(":")[0]


def say(world, *messages):
    for message in messages:
        world.room().send(message).wait()


def got(ws):
    """Return what a member got: its welcome, then its messages with their offsets."""
    welcome, *messages = ws.wire.envelopes
    return welcome, [(int(message["id"].partition(":")[2]), message["data"]) for message in messages]


class TestComingBack:
    def test_a_new_one_gets_what_comes(self, world, epoch):
        """``last = ""`` begins now: the welcome says where that is."""
        ws = world.member(last="")
        say(world, "second")
        assert got(ws) == ({"id": f"{epoch}:1", "missed": False}, [(2, "second")])

    def test_what_was_missed_comes_first(self, world, epoch):
        """The messages after ``last`` come in order, before those that follow; none is lost, so it says."""
        say(world, "second", "third")
        ws = world.member(last=f"{epoch}:1")
        say(world, "fourth")
        assert got(ws) == (
            {"id": f"{epoch}:1", "missed": False},
            [(2, "second"), (3, "third"), (4, "fourth")],
        )

    def test_nothing_was_missed(self, world, epoch):
        """Who has seen everything gets the welcome only."""
        assert got(world.member(last=f"{epoch}:1")) == ({"id": f"{epoch}:1", "missed": False}, [])

    def test_too_late(self, world, epoch):
        """Where the history is shorter, the welcome says so; its position is before what is still there."""
        say(world, "2", "3", "4", "5")
        ws = world.member(last=f"{epoch}:1")
        assert got(ws) == ({"id": f"{epoch}:2", "missed": True}, [(3, "3"), (4, "4"), (5, "5")])

    def test_far_too_late(self, world, epoch):
        """Where nothing is kept any more, the welcome has the present position."""
        say(world, "2", "3")
        world.clock.advance(301)
        assert got(world.member(last=f"{epoch}:1")) == ({"id": f"{epoch}:3", "missed": True}, [])
        assert got(world.member(last=f"{epoch}:3")) == ({"id": f"{epoch}:3", "missed": False}, [])

    @pytest.mark.parametrize("last", ["other:1", "x", "\ud800", ":", "a:-1", "a:" + "9" * 5000, "unknown:0"])
    def test_what_is_no_position_is_one_that_nobody_knows(self, world, epoch, last):
        """It comes from a stranger, so it fails nobody: all that is kept comes."""
        welcome, messages = got(world.member(last=last))
        assert (welcome, messages) == ({"id": f"{epoch}:0", "missed": True}, [(1, "first")])

    def test_coming_back_without_having_left(self, world, epoch):
        """Who joins again with a position begins anew with it, and gets each message once."""
        ws = world.member()
        say(world, "second")
        world.room().join(ws, last=f"{epoch}:1").wait()
        say(world, "third")
        assert ws.wire.messages[0] == "second"
        places = [json.loads(message)["id"] for message in ws.wire.messages[1:]]
        assert places == [f"{epoch}:{offset}" for offset in (1, 2, 3)]


class TestBetweenSubscribingAndHistory:
    def test_nothing_is_lost_and_nothing_comes_twice(self, world, epoch):
        """What is sent while the history is read is in it or comes after it, never both."""
        held = world.bus.hold("recent")
        ws = world.socket()
        call = world.room().join(ws, last=f"{epoch}:0")
        say(world, "second", "third")
        assert ws.wire.sent == []
        held.callback(None)  # the history is read now, and has what came meanwhile
        say(world, "fourth")
        call.wait()
        assert got(ws)[1] == [(1, "first"), (2, "second"), (3, "third"), (4, "fourth")]

    def test_what_comes_late_is_known(self, world, epoch):
        """A message that the bus brings after the history that has it is not given again."""
        ws = world.member(last=f"{epoch}:0")
        room = world.house.room("a")
        room._position = None
        for published in world.bus._histories.recent("room:a", Position(epoch, 0)).messages:
            room.published(published)
        say(world, "second")
        assert got(ws)[1] == [(1, "first"), (2, "second")]

    def test_the_others_wait_for_nobody(self, world, epoch):
        """Those who are in get messages while another reads its history."""
        ann = world.member()
        world.bus.hold("recent")
        world.room().join(world.socket(), last="")
        say(world, "second")
        assert ann.wire.messages == ["second"]


class TestSlowReaders:
    def test_the_history_comes_no_faster_than_it_is_read(self, world, epoch):
        """A long history waits for its reader, and what is said meanwhile comes after it."""
        say(world, "2", "3")
        ws = world.socket()
        ws.wire.waiting = PACE + 1
        world.room().join(ws, last=f"{epoch}:1").wait()
        say(world, "4")
        assert ws.wire.sent == []
        world.clock.advance(1)
        assert ws.wire.sent == []
        ws.wire.waiting = 0
        world.clock.advance(1)
        assert got(ws)[1] == [(2, "2"), (3, "3"), (4, "4")]
        say(world, "5")
        assert got(ws)[1][-1] == (5, "5")
        assert world.clock.getDelayedCalls() == []

    def test_too_slow(self, world, epoch, monkeypatch):
        """Whoever does not even read the history while very much is said is cut off."""
        monkeypatch.setattr(catchup, "_BACKLOG_MAX", 5)
        ws = world.socket()
        ws.wire.waiting = PACE + 1
        world.room().join(ws, last="").wait()
        say(world, *"234567")
        world.clock.advance(1)
        assert ws.wire.aborted == 1
        assert world.house.statistics()["rooms"] == 0

    def test_it_may_end_meanwhile(self, world, epoch):
        """Whoever ends while it reads leaves nothing behind."""
        ws = world.socket()
        ws.wire.waiting = PACE + 1
        world.room().join(ws, last="").wait()
        ws.ended(1006, "")
        world.clock.advance(1)
        assert ws.wire.sent == []
        assert world.clock.getDelayedCalls() == []


class TestInterruptions:
    def test_what_was_missed_is_read(self, world, epoch):
        """When the bus is back, everybody gets what came meanwhile; who knows its position is told."""
        plain, follows = world.member(), world.member(last="")
        say(world, "second")
        world.bus.publish_unheard("room:a", b"tthird")
        world.bus.come_back()
        say(world, "fourth")
        assert plain.wire.messages == ["second", "third", "fourth"]
        assert follows.wire.envelopes[2:] == [
            {"id": f"{epoch}:2", "missed": False},
            {"id": f"{epoch}:3", "data": "third"},
            {"id": f"{epoch}:4", "data": "fourth"},
        ]

    def test_what_is_not_kept_is_missed(self, world, epoch):
        """When more was said than is kept, who knows its position learns that."""
        plain, follows = world.member(), world.member(last="")
        say(world, "2")
        for number in range(3, 8):
            world.bus.publish_unheard("room:a", b"t%d" % number, KEPT)
        world.bus.come_back()
        say(world, "8")
        assert plain.wire.messages == ["2", "5", "6", "7", "8"]
        notice, *messages = follows.wire.envelopes[2:]
        assert notice == {"id": f"{epoch}:4", "missed": True}
        assert [message["data"] for message in messages] == ["5", "6", "7", "8"]

    def test_a_new_epoch(self, world, epoch):
        """A bus that has forgotten everything says so by its epoch."""
        follows = world.member(last="")
        say(world, "second")
        world.bus.forget()
        world.bus.publish_unheard("room:a", b"tnew")
        world.bus.come_back()
        notice, message = follows.wire.envelopes[2:]
        assert (notice["missed"], message["data"]) == (True, "new")
        assert notice["id"] != f"{epoch}:2"
        say(world, "newer")
        assert follows.wire.envelopes[-1]["data"] == "newer"

    def test_before_any_message(self, world, epoch):
        """A quiet room knows where it is from those who know it."""
        plain, follows = world.member(), world.member(last="")
        world.bus.publish_unheard("room:a", b"tsecond")
        world.bus.come_back()
        assert plain.wire.messages == ["second"]
        assert got(follows)[1] == [(2, "second")]

    def test_nobody_knows_the_position(self, world, epoch):
        """Where nobody knows it, what came meanwhile is lost; what follows is not."""
        plain = world.member()
        world.bus.publish_unheard("room:a", b"tsecond")
        held = world.bus.hold("recent")
        world.bus.come_back()
        say(world, "third")
        held.callback(None)
        assert plain.wire.messages == ["third"]

    def test_a_gap_is_read_without_being_told(self, world, epoch):
        """A position that skips others says that they are missing, also if the bus does not."""
        plain = world.member()
        say(world, "2")
        world.bus.publish_unheard("room:a", b"t3")
        say(world, "4", "5")
        assert plain.wire.messages == ["2", "3", "4", "5"]

    def test_what_comes_while_it_is_read_waits(self, world, epoch):
        """Messages that come while the room reads what it missed come after that, once."""
        plain = world.member()
        say(world, "2")
        world.bus.publish_unheard("room:a", b"t3")
        held = world.bus.hold("recent")
        world.bus.come_back()
        say(world, "4")
        assert plain.wire.messages == ["2"]
        held.callback(None)
        assert plain.wire.messages == ["2", "3", "4"]

    def test_lost_again(self, world, epoch):
        """A bus that is lost while the room reads is asked once more when it is back."""
        plain = world.member()
        say(world, "2")
        held = world.bus.hold("recent")
        world.bus.come_back()
        world.bus.publish_unheard("room:a", b"t3")
        world.bus.come_back()
        del world.bus.held["recent"]
        held.callback(None)
        assert plain.wire.messages == ["2", "3"]
        assert world.bus.log.count("recent") == 2

    def test_members_that_come_meanwhile(self, world, epoch):
        """Whoever reads its history while the room reads what it missed gets each message once."""
        world.member()
        say(world, "2")
        world.bus.publish_unheard("room:a", b"t3")
        held = world.bus.hold("recent")
        world.bus.come_back()
        del world.bus.held["recent"]
        ws = world.member(last=f"{epoch}:1")
        held.callback(None)
        say(world, "4")
        assert [data for _, data in got(ws)[1]] == ["2", "3", "4"]


def test_without_a_history_nobody_knows():
    """With ``history = 0``, whoever comes back and whoever was interrupted may have missed something."""
    world = World(history=0)
    first = world.member(last="")
    welcome = first.wire.envelopes[0]
    assert not welcome["missed"]
    say(world, "lost")
    assert world.member(last=welcome["id"]).wire.envelopes == [{**welcome, "missed": True}]
    world.bus.come_back()
    assert first.wire.envelopes[1:] == [{"id": None, "data": "lost"}, {**welcome, "missed": True}]


class TestWithoutTheBus:
    def test_local_members_keep_talking(self, world, epoch):
        """Who joins meanwhile is in, and learns that the bus is not there."""
        world.bus.lost = True
        ws = world.socket()
        result = world.room().join(ws, "ann", last=f"{epoch}:1").getwait()
        assert (result.status, result.msg) == (2, "the bus is lost")
        world.bus.lost = False
        say(world, "second")
        assert ws.wire.envelopes == [
            {"id": None, "missed": True},
            {"id": f"{epoch}:2", "data": "second"},
        ]

    def test_a_call_says_so(self, world):
        """What needs the bus has failed."""
        world.bus.lost = True
        assert world.room().send("hello").getwait().status == 2
        assert world.room().presence().getwait().status == 2

    def test_leaving_needs_no_bus(self, world):
        """Whoever leaves has left, whatever the bus says; it forgets the presence by itself."""
        ws = world.member("ann")
        world.bus.lost = True
        world.room().leave(ws).wait()
        assert world.house.statistics()["rooms"] == 0

    def test_an_interruption_that_cannot_be_mended(self, world, epoch):
        """Where what was missed cannot be read, it counts as missed, and nobody knows how far it goes."""
        follows = world.member(last="")
        world.bus.lost = True
        world.bus._subscribers.interrupt()
        assert follows.wire.envelopes[1:] == [{"id": None, "missed": True}]
        world.bus.publish_unheard("room:a", b"tsecond")
        world.bus.come_back()
        assert follows.wire.envelopes[-1] == {"id": f"{epoch}:2", "data": "second"}
