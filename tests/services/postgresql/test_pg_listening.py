"""The connection for notifications, on a fake clock."""

import pytest
from pg_fakes import FakeServer
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from skitai.errors import UnsentError
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.result import DBResult
from skitai.services.postgresql.listening import FIRST_PAUSE, LONGEST_PAUSE, Listeners


class Subscriber:
    """Keeps what it hears in ``heard``."""

    def __init__(self, channel):
        self.channel = channel
        self.heard = []

    def notified(self, payload, pid):
        self.heard.append((payload, pid))

    def resumed(self):
        self.heard.append("missed")


class World:
    def __init__(self):
        self.clock = Clock()
        self.server = FakeServer()
        self.listeners = Listeners(self.clock, "h:1/d", self.server.connect)

    def listen(self, channel="news"):
        """Begin to listen, on the connection that is to be made; return the subscriber and its end."""
        subscriber = Subscriber(channel)
        return subscriber, self.listeners.add(subscriber)

    def listening(self, channel="news"):
        """Return a subscriber that listens, the function that ends it, and the connection."""
        subscriber, adding = self.listen(channel)
        connection = self.server.accept()
        connection.answer()
        return subscriber, adding.result, connection

    @property
    def nothing_left(self):
        return not (self.clock.getDelayedCalls() or self.server.connecting) and self.listeners.is_unused


@pytest.fixture
def world():
    return World()


class TestListening:
    def test_channels_share_a_connection(self, world):
        """All channels of a database are listened to on one connection, which is closed behind the last."""
        one, stop_one, connection = world.listening("one")
        two, adding = world.listen("two")
        connection.answer()
        connection.on_notify("one", "a", 7)
        connection.on_notify("two", "b", 8)
        connection.on_notify("three", "c", 9)
        assert (one.heard, two.heard) == ([("a", 7)], [("b", 8)])
        stop_one()
        connection.answer()
        adding.result()
        stop_one()
        assert connection.statements == ['LISTEN "one"', 'LISTEN "two"', 'UNLISTEN "one"']
        assert connection.closed
        assert world.nothing_left

    def test_many_listen_at_once(self, world):
        """Hundreds that want the same channel while the connection is made all get it with one statement."""
        adding = [world.listen()[1] for _ in range(500)]
        connection = world.server.accept()
        connection.answer()
        for added in adding:
            added.result()
        assert connection.statements == ['LISTEN "news"']
        assert world.nothing_left

    def test_two_listen_to_one_channel(self, world):
        """A second listener of a channel costs no statement, and each hears everything until its own end."""
        one, stop_one, connection = world.listening()
        two, adding = world.listen()
        connection.on_notify("news", "a", 7)
        stop_one()
        connection.on_notify("news", "b", 7)
        assert (one.heard, two.heard) == ([("a", 7)], [("a", 7), ("b", 7)])
        assert connection.statements == ['LISTEN "news"']
        adding.result()
        assert world.nothing_left

    def test_names_are_quoted(self, world):
        """The name of a channel may hold anything."""
        _, _, connection = world.listening('a"; drop table x; --')
        assert connection.statements == ['LISTEN "a""; drop table x; --"']

    def test_refused(self, world):
        """Who cannot listen is told, and nothing is left."""
        _, adding = world.listen()
        world.server.refuse()
        assert str(adding.result.value) == "[701] refused (status: 2)"
        _, again = world.listen()
        world.server.accept().answer(DBResult(status=2, msg="permission denied"))
        assert again.result.value.result.msg == "permission denied"
        adding.addErrback(lambda failure: failure.trap(UnsentError))
        again.addErrback(lambda failure: failure.trap(RefusedError))
        assert world.nothing_left


class TestCancelling:
    @pytest.mark.parametrize("stage", ["connecting", "listening"])
    def test_the_only_one(self, world, stage):
        """Who gives up leaves no connection behind."""
        _, adding = world.listen()
        connection = world.server.accept() if stage == "listening" else None
        adding.addErrback(lambda failure: failure.trap(CancelledError))
        adding.cancel()
        if connection is None:
            world.server.connecting.clear()
        else:
            assert connection.closed
        assert world.nothing_left

    def test_beside_others(self, world):
        """The next statement waits for the end of one that was cancelled."""
        _, _, connection = world.listening("one")
        _, adding = world.listen("two")
        adding.addErrback(lambda failure: failure.trap(CancelledError))
        adding.cancel()
        three, added = world.listen("three")
        assert connection.statements == ['LISTEN "one"', 'LISTEN "two"']
        connection.answer()
        connection.answer()
        connection.on_notify("three", "a", 7)
        assert (added.called, three.heard) == (True, [("a", 7)])


class TestLoss:
    def test_it_listens_again(self, world):
        """After a loss all channels are listened to again, and each listener is told behind its own."""
        one, _, connection = world.listening("one")
        two, _ = world.listen("two")
        connection.answer()
        connection.lose()
        world.clock.advance(FIRST_PAUSE)
        again = world.server.accept()
        assert one.heard == []
        again.answer()
        again.on_notify("one", "a", 7)
        assert (one.heard, two.heard) == (["missed", ("a", 7)], [])
        again.answer()
        assert two.heard == ["missed"]
        assert again.statements == ['LISTEN "one"', 'LISTEN "two"']

    def test_pauses_grow(self, world):
        """While the server is away, the pauses grow up to the longest; then they begin anew."""
        subscriber, _, connection = world.listening()
        connection.lose()
        pauses = []
        for _ in range(9):
            (retry,) = world.clock.getDelayedCalls()
            pauses.append(retry.getTime() - world.clock.seconds())
            world.clock.advance(pauses[-1])
            world.server.refuse()
        assert pauses[:3] == pytest.approx([FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4])
        assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
        world.clock.advance(LONGEST_PAUSE)
        again = world.server.accept()
        again.answer()
        assert subscriber.heard == ["missed"]
        again.lose()
        (retry,) = world.clock.getDelayedCalls()
        assert retry.getTime() - world.clock.seconds() == pytest.approx(FIRST_PAUSE)

    def test_lost_by_the_statement_of_another(self, world):
        """A connection that is lost while somebody else begins to listen is made anew, too."""
        one, _, connection = world.listening("one")
        _, adding = world.listen("two")
        connection.lose()
        adding.addErrback(lambda failure: None)
        world.clock.advance(FIRST_PAUSE)
        world.server.accept().answer()
        assert one.heard == ["missed"]

    def test_a_new_listener_does_not_wait_for_the_pause(self, world):
        """Who begins to listen meanwhile connects at once, for all."""
        one, _, connection = world.listening("one")
        connection.lose()
        two, adding = world.listen("two")
        again = world.server.accept()
        again.answer()
        again.answer()
        assert (one.heard, two.heard, adding.called) == (["missed"], [], True)
        assert world.clock.getDelayedCalls() == []

    @pytest.mark.parametrize("fault", ["lost", "refused"])
    def test_it_fails_while_it_is_taken_up(self, world, fault):
        """If a channel cannot be listened to again, the connection is closed and another one made later."""
        one, _, connection = world.listening()
        connection.lose()
        world.clock.advance(FIRST_PAUSE)
        again = world.server.accept()
        if fault == "lost":
            again.lose()
        else:
            again.answer(DBResult(status=2, msg="out of memory"))
        assert again.closed
        world.clock.advance(FIRST_PAUSE * 2)
        world.server.accept().answer()
        assert one.heard == ["missed"]

    def test_the_last_listener_ends_meanwhile(self, world):
        """When nobody listens any more, no connection is made again."""
        _, stop, connection = world.listening()
        connection.lose()
        stop()
        assert world.nothing_left


class TestClose:
    @pytest.mark.parametrize("stage", ["connecting", "listening", "waiting"])
    def test_who_is_about_to_listen(self, world, stage):
        """At the stop whoever is about to listen hears of it, and nothing is left."""
        _, adding = world.listen()
        _, behind = world.listen("behind")
        connection = world.server.accept() if stage != "connecting" else None
        if stage == "waiting":
            connection.answer()
        world.listeners.close()
        world.server.connecting.clear()
        for failed in (adding, behind) if stage != "waiting" else (behind,):
            assert failed.result.value.code == 705
            failed.addErrback(lambda failure: None)
        assert connection is None or connection.closed
        assert world.nothing_left

    def test_afterwards(self, world):
        """Behind the stop nobody begins, and a lost connection is not made again."""
        _, _, connection = world.listening()
        world.listeners.close()
        assert connection.closed
        _, late = world.listen()
        assert late.result.value.code == 705
        late.addErrback(lambda failure: None)
        assert world.nothing_left
