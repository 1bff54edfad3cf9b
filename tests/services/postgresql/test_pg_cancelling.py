"""Statements that are cancelled, and servers that stand still."""

import os
import signal
import threading
import time

import psycopg
import pytest
from pg_driven import Driven, open_descriptors, parameters
from twisted.internet.defer import CancelledError, Deferred

from databases import Postgres
from serving import eventually
from skitai.services.postgresql import cancelling, driver


@pytest.fixture(scope="module")
def server(open_folder):
    """A server of one's own, which may be stopped."""
    server = Postgres(open_folder("stopped"))
    yield server
    server.stop()


@pytest.fixture
def driven(reactor_thread, server):
    """A connection that leaves nothing behind."""

    def timers():
        return len(reactor_thread.call(reactor_thread.reactor.getDelayedCalls))

    before = open_descriptors(), threading.active_count(), timers()  # other tests may have left some
    driven = Driven(reactor_thread, parameters(server, "postgres"))
    yield driven
    driven.close()
    eventually(lambda: open_descriptors() <= before[0] and threading.active_count() <= before[1])
    assert timers() <= before[2]


def running(server):
    """Return the statements that run in the server."""
    with psycopg.connect(server.uri(), autocommit=True) as other:
        sql = "select query from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()"
        return [query for (query,) in other.execute(sql)]


class TestCancelling:
    def test_the_server_ends_it(self, driven, server):
        """What is cancelled fails at once and ends in the server; its connection can be used again."""
        begun = driven.begin("select pg_sleep(30)")
        eventually(lambda: running(server))
        began = time.monotonic()
        begun.cancel()
        assert isinstance(begun.outcome, CancelledError)
        assert driven.when_idle() is True
        assert time.monotonic() - began < driver.CANCEL_SECONDS
        assert not driven.connection.busy
        assert running(server) == []
        assert driven.scalar("select 1") == 1

    def test_a_result_whose_connection_is_closed(self, driven, monkeypatch):
        """What is cancelled behind the end of its connection asks the server nothing, and leaves no timer."""
        made = []
        monkeypatch.setattr(driver, "fetch", lambda *_: made.append(Deferred()) or made[0])
        begun = driven.begin("select 1")
        eventually(lambda: made)
        driven.close()
        begun.cancel()
        assert isinstance(begun.outcome, CancelledError)
        assert driven.connection.closed
        assert driven.when_idle() is False

    def test_the_next_statement_is_not_hit(self, driven):
        """However close the end and the cancel are, the next statement is well."""
        for number in range(100):
            begun = driven.begin("select pg_sleep(0.001)")
            time.sleep(number / 100_000)
            if not begun.over:
                begun.cancel()
            assert driven.when_idle() is True
            assert driven.run("select pg_sleep(0.002)").status == 3

    def test_in_a_transaction(self, driven):
        """The transaction of a cancelled statement is still open, and has failed."""
        driven.run("begin")
        begun = driven.begin("select pg_sleep(30)")
        begun.cancel()
        assert driven.when_idle() is True
        assert driven.connection.in_transaction
        assert driven.run("select 1").error.pgcode == "25P02"
        assert driven.run("rollback").status == 3

    def test_while_it_is_prepared(self, driven):
        """A statement may be cancelled while it is prepared."""
        for _ in range(4):
            driven.run("select %s::int as a", [1])
        begun = driven.begin("select %s::int as a", [1])
        if not begun.over:
            begun.cancel()
        assert driven.when_idle() is True
        assert driven.scalar("select %s::int as a", [2]) == 2

    def test_closing_meanwhile(self, driven):
        """A connection may be closed while a statement is being cancelled."""
        begun = driven.begin("select pg_sleep(30)")
        begun.cancel()
        driven.close()
        assert driven.when_idle() is False
        assert isinstance(begun.outcome, CancelledError)

    def test_a_libpq_that_cannot_cancel(self, driven, monkeypatch):
        """With a libpq before 17 the connection is closed instead."""
        monkeypatch.setattr(cancelling, "_pq", None)
        begun = driven.begin("select pg_sleep(5)")
        begun.cancel()
        assert isinstance(begun.outcome, CancelledError)
        assert driven.connection.closed


class TestStandingStill:  # the last one: the server needs a while to recover from the killed process
    def test_a_process_of_the_server(self, driven, monkeypatch):
        """A server's process that does not react costs its connection, after a while."""
        monkeypatch.setattr(driver, "CANCEL_SECONDS", 0.3)
        os.kill(driven.pid, signal.SIGSTOP)
        try:
            begun = driven.begin("select 1")
            begun.cancel()
            assert isinstance(begun.outcome, CancelledError)
            assert driven.when_idle() is False
            assert driven.connection.closed
        finally:
            os.kill(driven.pid, signal.SIGCONT)

    def test_the_whole_server(self, driven, server, monkeypatch):
        """A server that takes no cancel request blocks nobody, and leaves no socket and no thread behind."""
        monkeypatch.setattr(driver, "CANCEL_SECONDS", 0.5)
        begun = driven.begin("select pg_sleep(30)")
        before = open_descriptors()
        server.signal(signal.SIGSTOP)
        os.kill(driven.pid, signal.SIGSTOP)
        try:
            begun.cancel()
            ending = driven.begin_when_idle()
            turns = 0
            while not ending:
                driven.loop.call(lambda: None)
                turns += 1
            assert ending == [False]
            assert turns > 50
            assert driven.connection.closed
            assert open_descriptors() < before
        finally:
            os.kill(driven.pid, signal.SIGCONT)
            server.signal(signal.SIGCONT)

    def test_a_killed_process(self, driven):
        """A process that dies in the middle is noticed at once."""
        begun = driven.begin("select pg_sleep(30)")
        os.kill(driven.pid, signal.SIGKILL)
        eventually(lambda: begun.over)
        assert "the connection was lost" in begun.outcome.message
