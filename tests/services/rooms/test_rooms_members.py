"""Rooms as apps use them: who is in, what they get, and what is refused."""

import gc
import json

import pytest
from room_fakes import World

from skitai.errors import MisuseError
from skitai.services.rooms.liveroom import LiveRoom
from skitai.services.rooms.members import SocketMember
from skitai.websocket.closing import WebSocketClosed
from skitai.websocket.conversation import WebSocket


@pytest.fixture
def world():
    return World()


class TestMessages:
    def test_every_member_gets_every_message(self, world):
        """Text comes as text and bytes as bytes, to all members of the room, also to who has sent it."""
        ann, bob, elsewhere = world.member(), world.member(), world.member(room="b")
        world.room().send("hello ü")
        world.room().send(b"\0\xff")
        assert ann.wire.messages == bob.wire.messages == ["hello ü", b"\0\xff"]
        assert [frame[0] for frame in ann.wire.sent] == [0x81, 0x82]
        assert elsewhere.wire.sent == []

    def test_one_frame_for_all(self, world):
        """A message is made a frame once, however many get it."""
        sockets = [world.member(last="" if number % 2 else None) for number in range(6)]
        for socket in sockets:
            del socket.wire.sent[:]
        world.room().send("hello")
        assert len({id(socket.wire.sent[0]) for socket in sockets}) == 2

    def test_long_messages(self, world):
        """Each length of frame is right."""
        ws = world.member()
        sent = ["x" * size for size in (0, 125, 126, 65535, 65536)]
        for message in sent:
            world.room().send(message)
        assert ws.wire.messages == sent

    def test_the_result_is_a_position(self, world):
        """Who sends learns that the bus has the message, and where."""
        first, second = (world.room().send("hello").getwait().data for _ in range(2))
        epoch, _, offset = first.rpartition(":")
        assert offset == "1"
        assert second == f"{epoch}:2"

    def test_without_a_history_there_is_no_position(self):
        """``history = 0`` keeps nothing."""
        world = World(history=0)
        ws = world.member(last="")
        assert world.room().send("hello").getwait().data is None
        assert ws.wire.envelopes[1:] == [{"id": None, "data": "hello"}]

    def test_nobody_needs_to_be_there(self, world):
        """A message to an empty room is no failure."""
        world.room().send("hello").wait()

    def test_the_end_of_the_request_cancels_nothing(self, world):
        """A call that nobody waits for goes on: it is not as if its result mattered."""
        assert world.room().send("hello").collected

    def test_rooms_do_not_meet_other_channels(self, world):
        """Who publishes to a channel of the room's name reaches no member."""
        ws = world.member()
        world.bus.publish("a", b"t not for you")
        assert ws.wire.sent == []

    def test_any_name(self, world):
        """The name of a room is any text; none is a pattern, and ``@`` names no cluster."""
        names = ["@main", "a b", "*", "日本", "x" * 200, "\n"]
        sockets = [world.member(room=name) for name in names]
        for name in names:
            world.room(name).send(name)
        assert [ws.wire.messages for ws in sockets] == [[name] for name in names]


class TestComingAndGoing:
    def test_who_left_gets_nothing(self, world):
        """Leaving is leaving, and leaving twice is, too."""
        ann, bob = world.member(), world.member()
        for _ in range(2):
            world.room().leave(ann).wait()
        world.room("elsewhere").leave(ann).wait()
        world.room().send("hello")
        assert (ann.wire.messages, bob.wire.messages) == ([], ["hello"])

    def test_who_is_closed_has_left(self, world):
        """A websocket that ends leaves all its rooms by itself, and nothing of them stays."""
        ann = world.member({"name": "ann"})
        world.room("b").join(ann).wait()
        ann.ended(1001, "")
        assert world.room().presence().getwait().data == []
        assert world.house.statistics() == {"rooms": 0, "members": 0, "event_streams": 0, "messages": 0}
        assert world.bus.log.count("unsubscribe") == 2
        world.room().send("hello")
        assert ann.wire.sent == []

    def test_one_who_leaves_does_not_end_the_room(self, world):
        """There is one subscription for all members of this process."""
        ann, bob = world.member(), world.member()
        ann.ended(1000, "")
        assert world.bus.log == ["subscribe"]
        assert world.house.statistics()["members"] == 1
        bob.ended(1000, "")
        assert world.bus.log == ["subscribe", "unsubscribe"]
        world.member()
        world.room().send("again")
        assert world.bus.log[-2:] == ["subscribe", "publish"]

    def test_joining_twice_is_joining_once(self, world):
        """Whoever joins again gets each message once."""
        ws = world.member()
        world.room().join(ws).wait()
        world.room().send("hello")
        assert ws.wire.messages == ["hello"]

    @pytest.mark.parametrize("end", [lambda ws: ws.ended(1001, "bye"), lambda ws: ws.close()])
    def test_a_closed_one_cannot_join(self, world, end):
        """What is closed is not let in, and the room is not kept for it."""
        ws = world.socket()
        end(ws)
        with pytest.raises(WebSocketClosed):
            world.room().join(ws).getwait(reraise=True)
        assert world.house.statistics()["rooms"] == 0

    def test_closed_while_it_joins(self, world):
        """A websocket that ends before the bus answers is not there in the end."""
        held = world.bus.hold("subscribe")
        ws = world.socket()
        call = world.room().join(ws, "ann")
        ws.ended(1006, "")
        held.callback(None)
        assert call.getwait().code == 700
        assert world.room().presence().getwait().data == []
        assert world.house.statistics()["members"] == 0

    def test_closed_while_it_enters(self, world):
        """A websocket that ends before its presence is noted has none."""
        held = world.bus.hold("enter")
        ws = world.socket()
        world.room().join(ws, "ann")
        ws.ended(1006, "")
        assert world.bus.log[-1] == "unsubscribe"
        assert "leave" in world.bus.log
        held.callback(None)

    def test_a_join_that_is_cancelled(self, world):
        """Whoever gives up to wait for the bus is not in."""
        world.bus.hold("subscribe")
        ws = world.socket()
        assert world.room().join(ws).getwait(2).status == 1
        assert world.house.statistics()["members"] == 0

    def test_a_room_is_full(self):
        """There is a limit for each room, which says how it is set; who is in already may join again."""
        world = World(members_max=2)
        first, _ = world.member(), world.member()
        late = world.socket()
        result = world.room().join(late).getwait()
        assert (result.status, result.code) == (2, 707)
        assert "members_max in the section [rooms]" in result.msg
        world.room().join(first, "data").wait()
        world.room("b").join(late).wait()
        first.ended(1000, "")
        world.room().join(late).wait()


class TestPresence:
    def test_those_with_data_are_there(self, world):
        """Who is there is a list of what they gave, in the order of their coming."""
        bob = world.member({"name": "bob"})
        world.member()
        ann = world.member(["ann", 1])
        assert world.room().presence().getwait().data == [{"name": "bob"}, ["ann", 1]]
        bob.ended(1000, "")
        assert list(world.room().presence().getwait()) == [["ann", 1]]
        world.room().leave(ann)
        assert world.room().presence().getwait().data == []

    def test_other_data(self, world):
        """A second join changes the data, but no place; without data it changes nothing."""
        ann, _ = world.member("ann"), world.member("bob")
        world.room().join(ann, "ann, away").wait()
        world.room().join(ann).wait()
        assert world.room().presence().getwait().data == ["ann, away", "bob"]
        ann.ended(1000, "")
        assert world.room().presence().getwait().data == ["bob"]

    def test_beginning_anew_keeps_the_presence(self, world):
        """Whoever joins again with a position stays there all the while, with the data it had."""
        ann = world.member("ann")
        del world.bus.log[:]
        world.room().join(ann, last="").wait()
        assert world.bus.log == ["subscribe", "recent"] or world.bus.log == ["recent"]
        assert world.room().presence().getwait().data == ["ann"]
        ann.ended(1000, "")
        assert world.room().presence().getwait().data == []

    def test_rooms_are_apart(self, world):
        """Who is in one room is not in another."""
        world.member("ann")
        assert world.room("b").presence().getwait().data == []

    def test_members_of_other_workers(self, world):
        """Those of two workers with one bus have different names."""
        other = World()
        other.bus = world.bus
        world.member("here")
        other.member("there")
        assert world.room().presence().getwait().data == other.room().presence().getwait().data
        assert len(world.room().presence().getwait().data) == 2


class TestArguments:
    @pytest.mark.parametrize("name", [None, 1, b"a"])
    def test_a_name_is_a_str(self, world, name):
        """What is no str names no room."""
        with pytest.raises(TypeError, match="name of a room"):
            world.room(name)

    @pytest.mark.parametrize("name", ["", "x" * 201])
    def test_a_name_has_a_length(self, world, name):
        """No name, and one that is too long."""
        with pytest.raises(ValueError, match="1 to 200 characters"):
            world.room(name)

    @pytest.mark.parametrize("message", [None, {"a": 1}, 1, bytearray(b"x")])
    def test_a_message_is_text_or_bytes(self, world, message):
        """What else is sent as JSON is written as JSON by the app."""
        with pytest.raises(TypeError, match=r"json\.dumps"):
            world.room().send(message)

    def test_text_is_unicode(self, world):
        """Half a character cannot be sent."""
        with pytest.raises(ValueError, match="surrogates"):
            world.room().send("\ud800")

    @pytest.mark.parametrize("message", ["ü" * 6, b"x" * 12])
    def test_a_message_is_not_too_long(self, message):
        """The limit counts bytes, and is in the config."""
        world = World(message_max=11)
        world.room().send("ü" * 5).wait()
        with pytest.raises(ValueError, match="12 bytes, more than the 11 of message_max"):
            world.room().send(message)

    def test_data_is_json(self, world):
        """Data of a member must be what JSON can hold, and short."""
        ws = world.socket()
        for data in (object(), float("nan"), b"x"):
            with pytest.raises((TypeError, ValueError)):
                world.room().join(ws, data)
        with pytest.raises(ValueError, match="data_max"):
            world.room().join(ws, "x" * 5000)
        assert world.bus.log == []

    @pytest.mark.parametrize("ws", [None, "socket", object()])
    def test_only_websockets(self, world, ws):
        """Something else cannot be a member."""
        for ask in (world.room().join, world.room().leave):
            with pytest.raises(TypeError, match=r'environ\["websocket"\]'):
                ask(ws)

    def test_last_is_text(self, world):
        """A position is text, as the client got it."""
        with pytest.raises(TypeError, match="last is the position"):
            world.room().join(world.socket(), last=7)

    def test_no_clusters(self, world):
        """There is one bus."""
        with pytest.raises(MisuseError, match="asks no clusters"):
            world.harness.call.lb("a").send("hello")


def test_many_that_come_and_go_leave_nothing(world):
    """Two thousand websockets join rooms and end in one way or the other: nothing of them is kept."""
    kinds = (LiveRoom, SocketMember, WebSocket)
    gc.collect()
    others = {id(each) for each in gc.get_objects() if isinstance(each, kinds)}  # of tests before this
    for number in range(2000):
        ws = world.member(str(number), last="" if number % 3 else None, room=f"room {number % 7}")
        if number % 2:
            ws.ended(1006, "")
        else:
            world.room(f"room {number % 7}").leave(ws)
    del world.sockets[:], ws
    gc.collect()
    assert [kept for kept in gc.get_objects() if isinstance(kept, kinds) and id(kept) not in others] == []
    assert world.clock.getDelayedCalls() == []
    assert world.room("room 1").presence().getwait().data == []
    assert world.harness.in_flight == 0


def test_a_slow_member_is_cut_off(world):
    """Whoever reads nothing is dropped when too much waits for it; the others get everything."""
    slow, quick = world.member(), world.member()
    slow.wire.waiting = 2 * 1024 * 1024
    for number in range(3):
        world.room().send(str(number))
    assert slow.wire.aborted == 1
    assert quick.wire.messages == ["0", "1", "2"]
    assert world.house.statistics()["members"] == 1


def test_a_member_that_fails_harms_nobody(world):
    """Whatever is wrong with one, the others get the message."""
    broken, whole = world.member(), world.member()

    def fail(_frame):
        raise RuntimeError("on purpose")

    broken.wire.send_frame = fail
    world.room().send("hello")
    assert whole.wire.messages == ["hello"]


def test_envelopes_are_json(world):
    """A member with a position gets JSON, with bytes in base64."""
    ws = world.member(last="")
    world.room().send('say "ü"\n')
    world.room().send(b"\0\xff")
    welcome, text, binary = ws.wire.envelopes
    epoch = welcome["id"].partition(":")[0]
    assert welcome == {"id": f"{epoch}:0", "missed": False}
    assert text == {"id": f"{epoch}:1", "data": 'say "ü"\n'}
    assert binary == {"id": f"{epoch}:2", "base64": "AP8="}
    assert json.loads(ws.wire.messages[1])["data"] == 'say "ü"\n'
