"""What every bus must do (``skitai.interfaces.IBus``): a bus passes ``BusContract`` as a subclass of its own.

The subclass has a fixture ``world``, with ``bus``, and

- ``call(function, *args, **kwargs)``: calls it in the reactor thread, and returns what it or its Deferred
  gives, or raises;
- ``eventually(condition)``: waits until ``condition()`` is true, and fails after a long while;
- ``pass_time(seconds)``: lets so much time go by;
- ``settle()``: waits until all that was published is delivered.

A bus that reaches other processes passes ``SharedBusContract``, too: its world has ``other``, a bus of
another process or as good as one.
"""

import threading

import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from skitai.interfaces import IBus, IBusSubscriber
from skitai.messaging import Position, Published, Recent

#: Seconds for which these histories last, and longer than that.
LIFE, LONGER = 1, 1.5
LONG = 600
#: Nobody's business but the app's, so a bus takes them all.
NAMES = ["a", "room:ann's", "*", "a b\r\nc", "{x}", "[1-9]?", "über:ü", "日本", "x" * 300]


@implementer(IBusSubscriber)
class Listener:
    """Remembers what it gets; ``then(message)`` is called after that."""

    def __init__(self, then=None):
        self.messages = []
        self.interruptions = []
        self._then = then

    def published(self, message):
        self.messages.append(message)
        if self._then is not None:
            self._then(message)

    def interrupted(self, channel):
        self.interruptions.append(channel)

    @property
    def data(self):
        return [message.data for message in self.messages]


class BusContract:
    def listen(self, world, channel, listener=None, bus=None):
        listener = listener or Listener()
        world.call((bus or world.bus).subscribe, channel, listener)
        return listener

    def publish(self, world, channel, *data, history=10, seconds=LONG):
        return [
            world.call(world.bus.publish, channel, item, history=history, seconds=seconds) for item in data
        ]

    def data(self, recent):
        return [message.data for message in recent.messages]

    def test_it_has_the_interface(self, world):
        """Every method takes what the interface says."""
        assert verifyObject(IBus, world.bus)

    # -- publishing ---------------------------------------------------------------------------------------

    def test_every_subscriber_gets_every_message(self, world):
        """A message reaches all who have subscribed to its channel, and nobody else."""
        first, second, elsewhere = (self.listen(world, channel) for channel in ("a", "a", "b"))
        assert self.publish(world, "a", b"one", b"two", history=0) == [None, None]
        world.eventually(lambda: len(second.messages) == 2)
        world.settle()
        assert first.messages == second.messages == [Published("a", b"one"), Published("a", b"two")]
        assert elsewhere.messages == []

    def test_many_at_once_keep_their_order(self, world):
        """Messages that are published without a wait come in their order."""
        listener = self.listen(world, "a")
        wanted = [b"%d" % number for number in range(300)]

        def publish():
            done = [world.bus.publish("a", data, history=5, seconds=LONG) for data in wanted]
            return done[-1]

        assert world.call(publish).offset == 300
        world.eventually(lambda: len(listener.messages) == 300)
        assert listener.data == wanted
        assert [message.position.offset for message in listener.messages] == list(range(1, 301))

    def test_who_publishes_on_a_message_changes_no_order(self, world):
        """A subscriber that answers a message is not before it, for anybody."""

        def answer(message):
            if message.data == b"ping":
                world.bus.publish("a", b"pong")

        listeners = [self.listen(world, "a", Listener(then)) for then in (None, answer, None)]
        self.publish(world, "a", b"ping", history=0)
        world.eventually(lambda: all(len(listener.messages) == 2 for listener in listeners))
        assert [listener.data for listener in listeners] == [[b"ping", b"pong"]] * 3

    @pytest.mark.parametrize(
        "data", [b"", b"\0\xff\r\n", bytes(range(256)) * 4096], ids=["empty", "odd", "1 MB"]
    )
    def test_any_bytes(self, world, data):
        """Data is bytes, of which none means anything."""
        listener = self.listen(world, "a")
        (position,) = self.publish(world, "a", data)
        world.eventually(lambda: listener.messages)
        assert listener.messages == [Published("a", data, position)]
        assert self.data(world.call(world.bus.recent, "a", Position(position.epoch, 0))) == [data]

    def test_any_name(self, world):
        """A channel is any text: none is a pattern, and none is another."""
        listeners = {name: self.listen(world, name) for name in NAMES}
        for name in NAMES:
            self.publish(world, name, name.encode())
            world.call(world.bus.enter, name, "me", name.encode())
        for name, listener in listeners.items():
            world.eventually(lambda listener=listener: listener.messages)
            assert [(message.channel, message.data) for message in listener.messages] == [
                (name, name.encode())
            ]
            assert world.call(world.bus.members, name) == {"me": name.encode()}

    def test_one_that_raises_harms_nobody(self, world):
        """A subscriber that fails keeps nothing from the others, nor from the publisher."""

        def fail(_message):
            raise RuntimeError("on purpose")

        listeners = [self.listen(world, "a", Listener(then)) for then in (None, fail, None)]
        self.publish(world, "a", b"one", b"two")
        world.eventually(lambda: all(listener.data == [b"one", b"two"] for listener in listeners))

    def test_in_the_reactor_thread(self, world):
        """Subscribers are called where the reactor runs."""
        threads = []
        self.listen(world, "a", Listener(lambda _: threads.append(threading.get_ident())))
        self.publish(world, "a", b"one")
        world.eventually(lambda: threads)
        assert threads == [world.call(threading.get_ident)]

    # -- subscribing --------------------------------------------------------------------------------------

    def test_subscribing_twice_is_subscribing_once(self, world):
        """The same subscriber gets each message once."""
        listener = self.listen(world, "a", self.listen(world, "a"))
        self.publish(world, "a", b"one", b"two")
        world.eventually(lambda: len(listener.messages) > 1)
        assert listener.data == [b"one", b"two"]

    def test_nothing_comes_after_the_unsubscribing(self, world):
        """Who unsubscribes gets nothing more, at once; the others do, and a new beginning is one."""
        stays, leaves = self.listen(world, "a"), self.listen(world, "a")

        def leave():
            done = world.bus.publish("a", b"lost")
            del leaves.messages[:]
            world.bus.unsubscribe("a", leaves)
            return done

        world.call(leave)
        world.eventually(lambda: stays.data == [b"lost"])
        world.settle()
        assert leaves.messages == []
        self.listen(world, "a", leaves)
        self.publish(world, "a", b"found")
        world.eventually(lambda: leaves.messages)
        assert (stays.data, leaves.data) == ([b"lost", b"found"], [b"found"])

    def test_unsubscribing_within_a_message(self, world):
        """Whoever is unsubscribed by a subscriber that is called before it gets that message no more."""
        late = Listener()
        self.listen(world, "a", Listener(lambda _: world.bus.unsubscribe("a", late)))
        self.listen(world, "a", late)
        end = self.listen(world, "a")
        self.publish(world, "a", b"one", b"two")
        world.eventually(lambda: len(end.messages) == 2)
        assert late.messages == []

    def test_unsubscribing_from_nothing(self, world):
        """Whoever never subscribed may unsubscribe."""
        world.call(world.bus.unsubscribe, "nowhere", Listener())
        listener = self.listen(world, "a")
        world.call(world.bus.unsubscribe, "a", Listener())
        self.publish(world, "a", b"one")
        world.eventually(lambda: listener.messages)

    def test_changing_ones_mind_quickly(self, world):
        """What was asked last holds, also if nothing before it is done yet."""
        listener = Listener()

        def hesitate():
            for _ in range(5):
                done = world.bus.subscribe("a", listener)
                world.bus.unsubscribe("a", listener)
                done.addErrback(lambda _: None)
            return world.bus.subscribe("a", listener)

        world.call(hesitate)
        self.publish(world, "a", b"one")
        world.eventually(lambda: listener.messages)
        world.settle()
        assert listener.data == [b"one"]

    # -- history ------------------------------------------------------------------------------------------

    def test_positions_count_from_one(self, world):
        """Each message has the next position of one epoch, for the publisher and the subscribers."""
        listener = self.listen(world, "a")
        positions = self.publish(world, "a", b"one", b"two", b"three")
        assert [position.offset for position in positions] == [1, 2, 3]
        assert len({position.epoch for position in positions}) == 1
        world.eventually(lambda: len(listener.messages) == 3)
        assert [message.position for message in listener.messages] == positions

    def test_without_a_position_only_the_present_one(self, world):
        """Who asks where a channel is gets no messages, also where nothing was published yet."""
        unused = world.call(world.bus.recent, "a")
        assert unused == Recent(Position(unused.position.epoch, 0))
        (position,) = self.publish(world, "a", b"one")
        assert position == Position(unused.position.epoch, 1)
        assert world.call(world.bus.recent, "a") == Recent(position)

    def test_what_came_after_a_position(self, world):
        """The history after a position is complete, wherever that is in it."""
        positions = self.publish(world, "a", b"one", b"two", b"three")
        messages = [
            Published("a", data, position)
            for data, position in zip((b"one", b"two", b"three"), positions, strict=True)
        ]
        start = Position(positions[0].epoch, 0)
        for index, since in enumerate([start, *positions]):
            assert world.call(world.bus.recent, "a", since) == Recent(positions[-1], tuple(messages[index:]))

    def test_a_history_is_short(self, world):
        """Only the last messages are kept, and who comes too late learns that some are missing."""
        positions = self.publish(world, "a", *(b"%d" % number for number in range(1, 7)), history=3)
        recent = [world.call(world.bus.recent, "a", position) for position in positions]
        assert [self.data(found) for found in recent] == [
            [b"4", b"5", b"6"],
            [b"4", b"5", b"6"],
            [b"4", b"5", b"6"],
            [b"5", b"6"],
            [b"6"],
            [],
        ]
        assert [found.complete for found in recent] == [False, False, True, True, True, True]

    def test_a_history_has_a_life(self, world):
        """What is older than its life is not there any more, and is missed; the position stays."""
        positions = self.publish(world, "a", b"one", b"two", seconds=LIFE)
        world.pass_time(LONGER)
        assert world.call(world.bus.recent, "a", positions[0]) == Recent(positions[1], (), complete=False)
        assert world.call(world.bus.recent, "a", positions[1]) == Recent(positions[1])
        (third,) = self.publish(world, "a", b"three")
        assert third == Position(positions[0].epoch, 3)
        assert world.call(world.bus.recent, "a", positions[1]) == Recent(
            third, (Published("a", b"three", third),)
        )

    @pytest.mark.parametrize("offset", [0, 1, 99], ids=["start", "middle", "future"])
    def test_another_epoch(self, world, offset):
        """Who comes from another epoch gets everything, and learns that something may be missing."""
        self.publish(world, "a", b"one", b"two")
        recent = world.call(world.bus.recent, "a", Position("another", offset))
        assert (self.data(recent), recent.complete) == ([b"one", b"two"], False)

    def test_from_the_future(self, world):
        """A position that was never reached is none of this epoch."""
        positions = self.publish(world, "a", b"one", b"two")
        recent = world.call(world.bus.recent, "a", Position(positions[0].epoch, 3))
        assert (self.data(recent), recent.complete) == ([b"one", b"two"], False)

    def test_some_messages_are_not_kept(self, world):
        """A message without a history takes no position, and is not found later."""
        listener = self.listen(world, "a")
        (first,) = self.publish(world, "a", b"kept")
        self.publish(world, "a", b"passing", history=0)
        (second,) = self.publish(world, "a", b"kept, too")
        assert second == Position(first.epoch, 2)
        world.eventually(lambda: len(listener.messages) == 3)
        assert [message.position for message in listener.messages] == [first, None, second]
        recent = world.call(world.bus.recent, "a", Position(first.epoch, 0))
        assert (self.data(recent), recent.complete) == ([b"kept", b"kept, too"], True)

    def test_nothing_is_lost_between_listening_and_history(self, world):
        """Who subscribes, and then reads the history, has every message at least once."""
        (start,) = self.publish(world, "a", b"start", history=1000)
        listener = Listener()

        def begin():
            publish = world.bus.publish
            before = [publish("a", b"%d" % number, history=1000, seconds=LONG) for number in range(50)]
            done = world.bus.subscribe("a", listener)
            after = [publish("a", b"%d" % number, history=1000, seconds=LONG) for number in range(50, 100)]
            del before, after
            return done.addCallback(lambda _: world.bus.recent("a", start))

        recent = world.call(begin)
        world.settle()
        offsets = {message.position.offset for message in (*recent.messages, *listener.messages)}
        assert offsets == set(range(2, 102))
        assert recent.complete

    # -- presence -----------------------------------------------------------------------------------------

    def test_members_come_and_go(self, world):
        """Members are there from their entering to their leaving, each with its data."""
        enter, leave, members = world.bus.enter, world.bus.leave, world.bus.members
        assert world.call(members, "a") == {}
        world.call(enter, "a", "ann", b"\0\xff")
        world.call(enter, "a", "bob", b"")
        world.call(enter, "b", "ann", b"elsewhere")
        assert world.call(members, "a") == {"ann": b"\0\xff", "bob": b""}
        world.call(leave, "a", "ann")
        assert world.call(members, "a") == {"bob": b""}
        assert world.call(members, "b") == {"ann": b"elsewhere"}
        world.call(leave, "a", "bob")
        assert world.call(members, "a") == {}

    def test_entering_again(self, world):
        """Whoever enters again has other data, and leaves once."""
        for data in (b"one", b"two"):
            world.call(world.bus.enter, "a", "ann", data)
        assert world.call(world.bus.members, "a") == {"ann": b"two"}
        world.call(world.bus.leave, "a", "ann")
        assert world.call(world.bus.members, "a") == {}

    def test_leaving_where_one_is_not(self, world):
        """Who is not there may leave."""
        world.call(world.bus.leave, "nowhere", "ann")
        world.call(world.bus.enter, "a", "bob", b"")
        world.call(world.bus.leave, "a", "ann")
        assert world.call(world.bus.members, "a") == {"bob": b""}

    def test_in_and_out_at_once(self, world):
        """What was asked last holds, also if nothing before it is done yet."""

        def hesitate():
            for number in range(5):
                world.bus.enter("a", "ann", b"%d" % number)
                world.bus.leave("a", "ann")
            return world.bus.enter("a", "ann", b"last")

        world.call(hesitate)
        assert world.call(world.bus.members, "a") == {"ann": b"last"}

    def test_members_hear_nothing_by_themselves(self, world):
        """Presence and messages are two things: a subscriber is no member, and a member no subscriber."""
        listener = self.listen(world, "a")
        assert world.call(world.bus.members, "a") == {}
        world.call(world.bus.enter, "a", "ann", b"")
        world.settle()
        assert listener.messages == []


class SharedBusContract(BusContract):
    def test_messages_reach_the_others(self, world):
        """A message reaches the subscribers of both, once and in the same order, with the same positions."""
        here, there = self.listen(world, "a"), self.listen(world, "a", bus=world.other)
        for number in range(20):
            world.call(
                (world.bus, world.other)[number % 2].publish, "a", b"%d" % number, history=5, seconds=LONG
            )
        world.eventually(lambda: len(here.messages) == len(there.messages) == 20)
        world.settle()
        assert here.messages == there.messages
        assert here.data == [b"%d" % number for number in range(20)]

    def test_one_history(self, world):
        """Both read the same history and count the same positions."""
        positions = self.publish(world, "a", b"one", b"two")
        assert world.call(world.other.recent, "a", positions[0]) == world.call(
            world.bus.recent, "a", positions[0]
        )
        assert self.data(world.call(world.other.recent, "a", positions[0])) == [b"two"]

    def test_one_presence(self, world):
        """Who is there is there for both."""
        world.call(world.bus.enter, "a", "ann", b"1")
        world.call(world.other.enter, "a", "bob", b"2")
        both = {"ann": b"1", "bob": b"2"}
        assert world.call(world.bus.members, "a") == world.call(world.other.members, "a") == both
        world.call(world.other.leave, "a", "ann")
        assert world.call(world.bus.members, "a") == {"bob": b"2"}
