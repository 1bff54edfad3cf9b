"""The pool of connections, on a fake clock."""

import pytest
from pg_fakes import FakeServer
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from skitai.errors import UnsentError
from skitai.services.db.query import Query
from skitai.services.postgresql import pool
from skitai.services.postgresql.pool import Pool, PoolLimits


class World:
    def __init__(self, **limits):
        self.clock = Clock()
        defaults = {
            "minimum": 0,
            "maximum": 2,
            "idle_seconds": 60,
            "lifetime_seconds": 600,
            "wait_seconds": 5,
        }
        self.server = FakeServer()
        self.connecting, self.connected, self.refuse = (
            self.server.connecting, self.server.accept, self.server.refuse,
        )  # fmt: skip
        self.pool = Pool(self.clock, "h:1/d", PoolLimits(**{**defaults, **limits}), self.server.connect)

    def get(self):
        """Return a Deferred for a connection whose failure is not logged."""
        got = self.pool.acquire()
        got.addErrback(lambda failure: failure.value)
        return got

    def numbers(self):
        found = self.pool.statistics()
        return tuple(found[name] for name in ("connections", "idle", "connecting", "waiting"))


@pytest.fixture
def world():
    return World()


class TestLending:
    def test_a_connection_is_made_and_used_again(self, world):
        """The first caller waits for a connection; the next takes the same."""
        got = world.get()
        assert world.numbers() == (0, 0, 1, 1)
        connection = world.connected()
        assert got.result is connection
        world.pool.release(connection)
        assert world.pool.take() is connection
        assert world.pool.take() is None

    def test_the_latest_is_lent_first(self, world):
        """The one that was returned last is taken first, so that others become idle."""
        world.get(), world.get()
        one, two = world.connected(), world.connected()
        world.pool.release(one)
        world.pool.release(two)
        assert [world.pool.take(), world.pool.take()] == [two, one]

    def test_waiters_come_in_order(self, world):
        """No more connections than the maximum are made; who came first is served first."""
        waiting = [world.get() for _ in range(4)]
        assert world.numbers() == (0, 0, 2, 4)
        one, two = world.connected(), world.connected()
        assert [got.called for got in waiting] == [True, True, False, False]
        world.pool.release(two)
        world.pool.release(one)
        assert [got.result for got in waiting] == [one, two, two, one]
        assert world.connecting == []

    def test_waiting_too_long(self, world):
        """Whoever waits too long is told which keys say so."""
        world.get(), world.get()
        world.connected(), world.connected()
        late = world.get()
        world.clock.advance(5)
        assert late.result.code == 707
        assert late.result.message == (
            "no connection to h:1/d is free within 5 s: 2 are in use (pool_max and pool_wait in [postgresql])"
        )
        assert world.numbers() == (2, 0, 0, 0)

    def test_each_waits_equally_long(self, world):
        """Whoever came later waits for longer, whatever becomes of those before; nobody leaves a timer."""
        first, _ = world.get(), world.get()
        world.clock.advance(2)
        third = world.pool.acquire()
        third.addErrback(lambda failure: failure.value)
        fourth = world.get()
        world.clock.advance(3)
        assert first.result.code == 707
        assert not third.called
        third.cancel()
        world.clock.advance(1)
        again = world.get()
        world.clock.advance(1)
        assert fourth.result.code == 707
        assert not again.called
        world.clock.advance(4)
        assert again.result.code == 707
        assert world.clock.getDelayedCalls() == []

    def test_too_many_wait(self, world, monkeypatch):
        """There is a limit for how many wait; the next one is told at once."""
        monkeypatch.setattr(pool, "WAITERS_MAX", 3)
        waiting = [world.get() for _ in range(4)]
        assert [got.called for got in waiting] == [False, False, False, True]
        assert waiting[3].result.code == 707
        assert "pool_max in [postgresql]" in waiting[3].result.message

    def test_many_give_back_at_once(self):
        """Any number may give the connection back at once, as those do whose parameters are refused."""
        world = World(maximum=1)
        waiting = [world.pool.acquire().addCallback(world.pool.release) for _ in range(1000)]
        world.connected()
        assert all(got.called for got in waiting)
        assert world.numbers() == (1, 1, 0, 0)

    def test_giving_up(self, world):
        """Whoever gives up leaves its place to the next; the connection that was being made stays."""
        one = world.pool.acquire()
        one.addErrback(lambda failure: failure.trap(CancelledError))
        one.cancel()
        connection = world.connected()
        assert world.numbers() == (1, 1, 0, 0)
        assert world.pool.take() is connection
        assert [call for call in world.clock.getDelayedCalls() if call.getTime() > 1] == []


class TestRelease:
    def _lent(self, world):
        world.get()
        return world.connected()

    def _cancelled(self, world):
        """Return a connection whose statement was cancelled and runs in the server."""
        connection = self._lent(world)
        running = connection.run(Query("select 1"))
        running.addErrback(lambda failure: failure.trap(CancelledError))
        running.cancel()
        world.pool.release(connection)
        return connection

    def test_a_statement_that_is_still_ending(self, world):
        """A connection whose statement was cancelled is lent again when that has ended."""
        connection = self._cancelled(world)
        assert world.numbers() == (1, 0, 0, 0)
        connection.answer()
        assert world.pool.take() is connection

    def test_a_statement_that_does_not_end(self):
        """If it cannot be used again, another one is made for who waits."""
        world = World(maximum=1)
        connection = self._cancelled(world)
        waiting = world.get()
        connection.lose()
        assert world.connected() is waiting.result

    @pytest.mark.parametrize("fault", ["closed", "in_transaction"])
    def test_a_connection_that_nobody_may_get(self, world, fault):
        """One that is closed, or has an open transaction, is not lent again."""
        connection = self._lent(world)
        setattr(connection, fault, True)
        world.pool.release(connection)
        assert connection.closed
        assert world.numbers() == (0, 0, 0, 0)

    def test_an_old_connection(self, world):
        """One that is older than the limit is replaced."""
        connection = self._lent(world)
        world.clock.advance(601)
        world.pool.release(connection)
        assert (connection.closed, world.numbers()) == (True, (0, 0, 0, 0))


class TestLoss:
    def test_an_idle_connection(self, world):
        """An idle connection that the server closes is gone before anybody notices."""
        world.get()
        connection = world.connected()
        world.pool.release(connection)
        connection.lose()
        assert world.numbers() == (0, 0, 0, 0)
        assert world.pool.take() is None

    @pytest.mark.parametrize(("idle_seconds", "lent"), [(1, True), (2, False)])
    def test_one_that_nobody_has_used_for_long(self, world, idle_seconds, lent):
        """One that was idle for a while is looked at before it is lent: the server may have closed it."""
        world.get()
        connection = world.connected()
        world.pool.release(connection)
        world.clock.advance(idle_seconds)
        connection.ends_at_a_look = True
        assert (world.pool.take() is connection) == lent
        assert world.numbers() == (int(lent), 0, 0, 0)

    def test_refused(self, world):
        """Without any connection all that wait are told why."""
        waiting = [world.get() for _ in range(3)]
        world.refuse()
        assert not waiting[0].called
        world.refuse("refused again")
        assert {got.result.message for got in waiting} == {"refused again"}
        assert len({id(got.result) for got in waiting}) == 3
        assert world.numbers() == (0, 0, 0, 0)

    def test_refused_beside_others(self, world):
        """While others are in use, whoever waits may get one of these, or hears of both."""
        world.get()
        connection = world.connected()
        waiting, late = world.get(), world.get()
        world.refuse("too many clients")
        world.pool.release(connection)
        assert waiting.result is connection
        world.clock.advance(5)
        assert late.result.message.endswith("another one cannot be made: too many clients")

    def test_refused_at_once(self, world):
        """An attempt that fails at once is not repeated in the same turn: who waits gets one in use."""
        used = world.get()
        connection = world.connected()
        world.server.refuses_at_once = True
        waiting = [world.get() for _ in range(3)]
        assert world.server.refused == 3
        world.pool.release(connection)
        assert used.result is waiting[0].result is connection
        world.clock.advance(5)
        assert "another one cannot be made: no descriptors" in waiting[1].result.message

    def test_any_error(self, world):
        """An unexpected error of the driver is a failure to connect."""
        got = world.get()
        world.connecting.pop().errback(ZeroDivisionError("oops"))
        assert (type(got.result), "ZeroDivisionError: oops" in got.result.message) == (UnsentError, True)


class TestKeeping:
    def test_idle_connections_are_closed(self, world):
        """A connection is closed when nobody has used it for a while."""
        world.get()
        connection = world.connected()
        world.pool.release(connection)
        for _ in range(60):
            world.clock.advance(1)
        assert not connection.closed
        world.clock.advance(1)
        world.clock.advance(1)
        assert connection.closed
        world.clock.advance(1)
        assert world.clock.getDelayedCalls() == []

    def test_the_minimum_is_kept(self):
        """The minimum is made at the start, kept, and made anew after a loss, with pauses."""
        world = World(minimum=1)
        world.pool.open()
        connection = world.connected()
        for _ in range(100):
            world.clock.advance(1)
        assert not connection.closed
        connection.lose()
        world.clock.advance(1)
        world.refuse()
        for _ in range(9):
            world.clock.advance(1)
        assert world.connecting == []
        world.clock.advance(1)
        assert len(world.connecting) == 1
        world.connected()
        assert world.numbers() == (1, 1, 0, 0)

    def test_close(self):
        """At the end nothing is left: no connection, no attempt, no timer, nobody who waits."""
        world = World(maximum=3)
        waiting = [world.get() for _ in range(4)]
        one, two = world.connected(), world.connected()
        world.pool.release(two)
        world.connecting[0].addErrback(lambda failure: None)
        world.pool.close()
        assert [got.result.code for got in waiting[3:]] == [705]
        assert one.closed
        assert two.closed
        assert world.clock.getDelayedCalls() == []
        assert world.get().result.code == 705
        world.pool.release(one)
        assert world.numbers() == (0, 0, 0, 0)

    @pytest.mark.parametrize("ends", [True, False])
    def test_close_while_a_statement_runs(self, world, ends):
        """What runs has a moment to end before its connection is closed."""
        world.get()
        connection = world.connected()
        connection.run(Query("commit")).addErrback(lambda failure: None)
        closing = world.pool.close()
        assert not closing.called
        if ends:
            connection.answer()
        else:
            world.clock.advance(pool.CLOSING_SECONDS)
        assert closing.called
        assert connection.closed
        assert world.clock.getDelayedCalls() == []
