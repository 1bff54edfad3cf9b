"""The engine over connections that do what the test says: which connection gets what, and what it leaves."""

from pathlib import Path

import pytest
from pg_fakes import FakeServer
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from skitai.errors import OperationError, UnsentError
from skitai.services.db.interfaces import TransactionOptions
from skitai.services.db.query import Query
from skitai.services.db.result import DBResult
from skitai.services.postgresql import engine
from skitai.services.postgresql.engine import PostgreSQL
from skitai.services.postgresql.limits import Limits
from skitai.services.postgresql.node import PGNode
from skitai.services.postgresql.pool import CLOSING_SECONDS, PoolLimits

NODE = PGNode("h", 1, "d", "u", "secret")


class World:
    def __init__(self, monkeypatch):
        self.clock = Clock()
        self.server = FakeServer()
        self.asked = []

        def connect(reactor, connector, node, limits):
            self.asked.append(node)
            return self.server.connect()

        monkeypatch.setattr(engine, "connect", connect)
        pool_limits = PoolLimits(0, 2, 60, 600, 5)
        self.engine = PostgreSQL(self.clock, None, Path(), pool_limits, Limits(10, 1000), 1.0)

    def run(self, sql="select 1", node=NODE):
        """Begin a statement."""
        return self.engine.run(node, Query(sql)).deferred()

    def idle(self):
        """Return a connection that is in the pool."""
        self.run()
        connection = self.server.accept()
        connection.answer()
        connection.statements.clear()
        return connection

    def begin(self, **options):
        return self.engine.begin(NODE, TransactionOptions(**options))

    def session(self):
        """Return the session of a transaction that has begun, and its connection."""
        beginning = self.begin()
        connection = self.server.accept()
        connection.answer()
        connection.in_transaction = True
        return beginning.result, connection

    def pool(self):
        (pool,) = self.engine.statistics()
        return pool["connections"], pool["idle"], pool["waiting"]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def outcome(deferred):
    """Return what a Deferred has failed with, or its result."""
    deferred.addErrback(lambda failure: failure.value)
    return deferred.result


class TestStatements:
    def test_a_connection_is_used_again(self, world):
        """Statements come one after the other on the connection that is there, and are counted."""
        connection = world.idle()
        running = world.run()
        assert world.pool() == (1, 0, 0)
        world.clock.advance(2)
        connection.answer(DBResult([{"n": 1}]))
        assert running.result.data == [{"n": 1}]
        assert world.pool() == (1, 1, 0)
        (times,) = world.engine.times.statistics()
        assert (times["count"], times["longest_seconds"]) == (2, 2)

    def test_cancelled(self, world):
        """A connection whose statement was cancelled is lent again when the server has ended that."""
        connection = world.idle()
        running = world.run()
        running.cancel()
        assert isinstance(outcome(running), CancelledError)
        assert world.pool() == (1, 0, 0)
        connection.answer()
        assert world.pool() == (1, 1, 0)

    def test_cancelled_at_once(self, world):
        """A statement that was cancelled is not executed again, though its connection is closed."""
        connection = world.idle()
        running = world.run("select pg_advisory_lock(1)")
        running.cancel()
        assert isinstance(outcome(running), CancelledError)
        assert connection.closed
        assert world.server.connecting == []

    def test_what_it_leaves(self, world):
        """A connection with other settings is not lent to somebody else."""
        connection = world.idle()
        world.run("set search_path = x")
        connection.answer()
        assert connection.closed
        assert world.pool() == (0, 0, 0)

    @pytest.mark.parametrize(
        ("sql", "seconds", "again"),
        [("select 1", 0, True), ("select 1", 2, False), ("insert into t values (1)", 0, False)],
    )
    def test_lost(self, world, sql, seconds, again):
        """What only reads is executed once more if its connection turns out closed; the rest never is."""
        connection = world.idle()
        running = world.run(sql)
        world.clock.advance(seconds)
        connection.lose()
        if again:
            world.server.accept().lose()
        assert type(outcome(running)) is OperationError
        assert world.server.connecting == []

    def test_databases_that_are_not_used(self, world, monkeypatch):
        """Databases that nobody uses any more are forgotten when there are many."""
        monkeypatch.setattr(engine, "_DATABASES_KEPT", 3)
        connection = world.idle()
        for number in range(10):
            running = world.run(node=PGNode(f"other{number}"))
            world.server.refuse()
            assert isinstance(outcome(running), UnsentError)
        assert len(world.engine.statistics()) <= 3
        assert not connection.closed
        assert world.engine.statistics()[0]["database"] == NODE.label


class TestTransactions:
    @pytest.mark.parametrize(
        ("options", "statement"),
        [
            ({}, "BEGIN"),
            (
                {"isolation": "repeatable read", "readonly": True},
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
        ],
    )
    def test_begin(self, world, options, statement):
        """A transaction begins with one statement, whatever its options are."""
        connection = world.idle()
        world.begin(**options)
        assert connection.statements == [statement]

    def test_commit(self, world):
        """The connection is the transaction's own until the commit."""
        session, connection = world.session()
        session.run(Query("select 1"))
        connection.answer()
        assert world.pool() == (1, 0, 0)
        committing = session.commit()
        connection.in_transaction = False
        connection.answer()
        assert committing.result is None
        assert connection.statements == ["BEGIN", "select 1", "COMMIT"]
        assert world.pool() == (1, 1, 0)

    def test_refused_commit(self, world):
        """If the database refuses the commit, the driver's exception says why."""
        session, connection = world.session()
        committing = session.commit()
        connection.in_transaction = False
        connection.answer(DBResult.of_statement_error(ZeroDivisionError("deferred"), "deferred"))
        assert isinstance(outcome(committing), ZeroDivisionError)
        assert world.pool() == (1, 1, 0)

    @pytest.mark.parametrize("fault", ["lost", "cancelled"])
    def test_unknown_commit(self, world, fault):
        """A commit without an answer fails, and its connection is closed."""
        session, connection = world.session()
        committing = session.commit()
        if fault == "lost":
            connection.lose()
        else:
            committing.cancel()
        assert type(outcome(committing)) is (OperationError if fault == "lost" else CancelledError)
        assert connection.closed
        assert world.pool() == (0, 0, 0)

    @pytest.mark.parametrize("fault", [None, "lost", "lost meanwhile"])
    def test_rollback(self, world, fault):
        """A rollback never fails: a connection that cannot is closed."""
        session, connection = world.session()
        if fault == "lost":
            connection.lose()
        rolling_back = session.rollback()
        if fault is None:
            connection.in_transaction = False
            connection.answer()
        elif fault == "lost meanwhile":
            connection.lose()
        assert rolling_back.result is None
        assert connection.closed == (fault is not None)
        assert world.pool() == ((1, 1, 0) if fault is None else (0, 0, 0))

    def test_rollback_behind_a_cancelled_statement(self, world):
        """The rollback waits until the server has ended the statement."""
        session, connection = world.session()
        outcome_of_statement = session.run(Query("select 1"))
        outcome_of_statement.cancel()
        assert isinstance(outcome(outcome_of_statement), CancelledError)
        rolling_back = session.rollback()
        assert connection.statements == ["BEGIN", "select 1"]
        connection.answer()
        connection.in_transaction = False
        connection.answer()
        assert rolling_back.called
        assert connection.statements == ["BEGIN", "select 1", "ROLLBACK"]
        assert world.pool() == (1, 1, 0)

    def test_what_it_leaves(self, world):
        """A connection whose transaction has changed settings is not lent to somebody else."""
        session, connection = world.session()
        session.run(Query("set time zone 'UTC'"))
        connection.answer()
        session.commit()
        connection.in_transaction = False
        connection.answer()
        assert connection.closed

    def test_closed_while_idle(self, world):
        """If all connections from the pool turn out closed, the transaction begins on a new one."""
        world.run(), world.run()
        connections = [world.server.accept(), world.server.accept()]
        for connection in connections:
            connection.answer()
        beginning = world.begin()
        for connection in reversed(connections):
            connection.lose()
        world.server.accept().answer()
        assert beginning.result.lost is False

    def test_lost_again_and_again(self, world):
        """If a new one is lost, too, the transaction cannot begin, and another member may be asked."""
        beginning = world.begin()
        world.server.accept().lose()
        assert type(outcome(beginning)) is UnsentError
        assert (world.pool(), world.server.connecting) == ((0, 0, 0), [])

    def test_refused_begin(self, world):
        """If the database refuses to begin, so does the engine."""
        beginning = world.begin()
        world.server.accept().answer(DBResult.of_statement_error(ValueError("hot standby"), "hot standby"))
        assert outcome(beginning).result.msg == "hot standby"
        assert world.pool() == (1, 1, 0)

    @pytest.mark.parametrize("stage", ["connecting", "beginning"])
    def test_cancelled_begin(self, world, stage):
        """Who gives up leaves nothing behind: the connection is lent to the next, without a transaction."""
        beginning = world.begin()
        connection = world.server.accept() if stage == "beginning" else None
        beginning.cancel()
        assert isinstance(outcome(beginning), CancelledError)
        if connection is None:
            world.server.accept()
            assert world.pool() == (1, 1, 0)
        else:
            connection.in_transaction = True
            connection.answer()
            assert (connection.closed, world.pool()) == (True, (0, 0, 0))


def test_close(world):
    """At the stop statements under way fail, and so does what comes later, for new databases, too."""
    connection = world.idle()
    running = world.run("insert into t values (1)")
    closing = world.engine.close()
    world.clock.advance(CLOSING_SECONDS)
    assert closing.called
    assert isinstance(outcome(running), OperationError)
    assert connection.closed
    for node in (NODE, PGNode("another")):
        assert outcome(world.run(node=node)).code == 705
    assert world.clock.getDelayedCalls() == []
    assert world.asked == [NODE]
