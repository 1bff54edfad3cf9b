"""What an app sees when the server of PostgreSQL is killed, restarted, stopped, full or locked."""

# ruff: noqa: PT012 - a block that is to fail has several statements, by its nature

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from pg_world import World

from databases import Postgres
from serving import eventually
from skitai.errors import CommitUnknownError, MisuseError, OperationError
from wire import PATIENCE

SLEEP = "select pg_sleep(30)"
RUNNING = f"select pid from pg_stat_activity where query = '{SLEEP}' and state = 'active'"


@pytest.fixture(scope="module")
def server(open_folder):
    """A server that tests may harm: each leaves it running."""
    server = Postgres(open_folder("harmed"), max_connections=20, superuser_reserved_connections=1)
    yield server
    server.stop()


@pytest.fixture
def world(reactor_thread):
    world = World(reactor_thread, pool_max=5)
    yield world
    world.close()


def admin(server, sql):
    """Return what the server says to somebody else."""
    with psycopg.connect(server.uri(), autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def start_sleeping(server, db, count=1):
    """Return calls of statements that run in the server."""
    calls = [db(server.uri()).execute(SLEEP) for _ in range(count)]
    eventually(lambda: len(admin(server, RUNNING)) == count, "the statements run")
    return calls


def test_a_backend_is_killed_in_the_middle(server, world):
    """A statement whose connection is lost has a failed result at once; the next one has a new connection."""
    (call,) = start_sleeping(server, world.db)
    time.sleep(0.3)  # longer than a connection that was lost before may take to show it
    admin(server, f"select pg_terminate_backend(pid) from ({RUNNING}) as running")
    result = call.getwait(PATIENCE)
    assert (result.status, result.code) == (2, 700)
    assert "terminating connection" in result.msg
    with pytest.raises(OperationError):
        result.reraise()
    assert world.ask(server.uri(), "select 1").scalar() == 1


def test_a_backend_is_killed_in_the_middle_of_many_rows(server, world):
    """So has an `executemany` that takes several messages."""
    s = world.db(server.uri())
    s.executemany("select pg_sleep(case %s when 1100 then 30 else 0 end)", [(n,) for n in range(1101)])
    sleeping = "select pid from pg_stat_activity where wait_event = 'PgSleep' and query like '%1100%'"
    eventually(lambda: admin(server, sleeping), "the last row is executed")
    admin(server, f"select pg_terminate_backend(pid) from ({sleeping}) as sleeping")
    result = s.getwait(PATIENCE)
    assert (result.status, result.code) == (2, 700)
    assert "terminating connection" in result.msg


def test_idle_connections_are_killed(server, world):
    """Connections that the server closes meanwhile are replaced before an app notices."""
    for call in [world.db(server.uri()).execute("select pg_sleep(0.2)") for _ in range(5)]:
        call.wait()
    assert world.pool()["idle"] == 5
    others = "select pg_terminate_backend(pid) from pg_stat_activity where usename is not null and pid"
    admin(server, f"{others} <> pg_backend_pid()")
    assert {world.ask(server.uri(), "select 1").status for _ in range(10)} == {3}


def test_the_server_is_restarted_under_load(server, world):
    """In a restart statements fail clearly, and go on when the server is back; none hangs."""
    stop_at = time.monotonic() + 1

    def work(_):
        seen = set()
        while time.monotonic() < stop_at or 3 not in seen:
            result = world.ask(server.uri(), "select pg_sleep(0.01)", timeout=10)
            seen.add(result.status)
            if result.status == 3 and time.monotonic() > stop_at:
                return seen
            time.sleep(0.01)
        return seen

    with ThreadPoolExecutor(8) as threads:
        working = [threads.submit(work, number) for number in range(8)]
        time.sleep(0.2)
        server.stop(signal.SIGQUIT)  # as a crash: no good-byes
        server.start()
        found = set().union(*(one.result(PATIENCE) for one in working))
    assert found <= {2, 3}
    assert 3 in found


def test_nobody_listens(server, world):
    """Without a server each statement says who refused."""
    server.stop()
    try:
        result = world.ask(server.uri(), "select 1")
        assert (result.status, result.code) == (2, 701)
        assert "refused" in result.msg
    finally:
        server.start()
    assert world.ask(server.uri(), "select 1").scalar() == 1


def test_the_server_stands_still(server, world):
    """A server that is stopped answers nobody: calls end in time, and nobody else is held up."""
    backend = world.ask(server.uri(), "select pg_backend_pid()").scalar()
    server.signal(signal.SIGSTOP)
    os.kill(backend, signal.SIGSTOP)
    began = time.monotonic()
    try:
        calls = [world.db(server.uri()).execute(SLEEP) for _ in range(3)]
        assert [call.getwait(0.5).status for call in calls] == [1, 1, 1]
        assert world.pool()["waiting"] == 0  # the reactor is alive
        assert time.monotonic() - began < 3
    finally:
        os.kill(backend, signal.SIGCONT)
        server.signal(signal.SIGCONT)
    assert world.ask(server.uri(), "select 1", timeout=PATIENCE).scalar() == 1
    eventually(lambda: not admin(server, RUNNING), "the statements are cancelled in the server")


def test_a_statement_out_of_time_is_cancelled(server, world):
    """What misses its deadline is cancelled in the server, and its connection is used again."""
    world.ask(server.uri(), "select 1")
    assert world.ask(server.uri(), SLEEP, timeout=0.2).status == 1
    eventually(lambda: not admin(server, RUNNING), "the statement is cancelled")
    eventually(lambda: world.pool()["idle"] == 1, "the connection is idle")
    assert world.ask(server.uri(), "select 1").scalar() == 1
    assert world.pool()["connections"] == 1


def test_all_connections_are_taken(server, world):
    """A full server refuses with its own words; a call that waits for one of ours gets it."""
    taken = []
    try:
        with suppress(psycopg.OperationalError):
            while True:
                taken.append(psycopg.connect(server.uri()))
        result = world.ask(server.uri(), "select 1")
        assert (result.status, "too many clients" in result.msg) == (2, True)
        taken.pop().close()
        eventually(lambda: world.ask(server.uri(), "select 1").status == 3, "there is room")
        calls = [world.db(server.uri()).execute("select 1") for _ in range(3)]
        assert [call.getwait().status for call in calls] == [3, 3, 3]
    finally:
        for connection in taken:
            connection.close()


COMMITTING = "select pid from pg_stat_activity where query = 'COMMIT' and state = 'active'"


def make_slow_commits(server, world):
    """Make a table that takes half a minute for a COMMIT after an insert."""
    slow = "create constraint trigger slow after insert on slow deferrable initially deferred"
    for sql in (
        "drop table if exists slow",
        "create table slow (n int)",
        "create or replace function slow() returns trigger language plpgsql as"
        " $$ begin perform pg_sleep(30); return null; end $$",
        f"{slow} for each row execute function slow()",
    ):
        world.ask(server.uri(), sql).reraise()


def kill_at_commit(server):
    """Kill the process that commits, when one does."""
    eventually(lambda: admin(server, COMMITTING), "it commits")
    admin(server, f"select pg_terminate_backend(pid) from ({COMMITTING}) as committing")


def test_a_backend_is_killed_while_many_rows_are_committed(server, world):
    """If it is the COMMIT of an `executemany` of several messages, the error says the outcome is unknown."""
    make_slow_commits(server, world)
    s = world.db(server.uri())
    s.executemany("insert into slow values (%s)", [(n,) for n in range(1001)])
    kill_at_commit(server)
    result = s.getwait(PATIENCE)
    assert (result.status, result.code) == (2, 700)
    with pytest.raises(CommitUnknownError, match=r"during COMMIT.*unknown.*terminating connection"):
        result.reraise()
    assert world.ask(server.uri(), "select 1").scalar() == 1


class TestTransactions:
    @pytest.mark.parametrize("ending", ["commit", "rollback", "select 1; abort"])
    def test_ended_by_a_statement(self, server, world, ending):
        """Behind a statement that ends the transaction nothing is executed, and its block raises."""
        world.ask(server.uri(), "create table if not exists ended (n int); truncate ended").reraise()
        with (
            pytest.raises(MisuseError, match="a statement has ended the transaction"),
            world.db.transaction(server.uri()) as tx,
        ):
            tx.execute(ending).wait()
            assert tx.execute("insert into ended values (1)").getwait().code == 501
        with pytest.raises(MisuseError), world.db.transaction(server.uri()) as tx:
            tx.execute(ending)
        assert world.ask(server.uri(), "select count(*) from ended").scalar() == 0

    def test_lost_in_the_middle(self, server, world):
        """A transaction whose connection is lost is rolled back, and says so."""
        world.ask(server.uri(), "create table if not exists lost (n int)").reraise()
        with pytest.raises(OperationError) as raised, world.db.transaction(server.uri()) as tx:
            pid = tx.execute("select pg_backend_pid()").getwait().scalar()
            tx.execute("insert into lost values (1)").wait()
            admin(server, f"select pg_terminate_backend({pid})")
            assert tx.execute("insert into lost values (2)").getwait().status == 2
        assert not isinstance(raised.value, CommitUnknownError)
        assert world.ask(server.uri(), "select count(*) from lost").scalar() == 0

    def test_lost_during_commit(self, server, world):
        """If it is lost during COMMIT, the error says that the outcome is unknown."""
        make_slow_commits(server, world)
        with ThreadPoolExecutor(1) as threads, pytest.raises(CommitUnknownError):
            threads.submit(kill_at_commit, server)
            with world.db.transaction(server.uri(), timeout=PATIENCE) as tx:
                tx.execute("insert into slow values (1)")

    def test_undone_in_the_middle(self, server, world):
        """A savepoint that is undone has its statement ended in the server, and the rest is committed."""
        world.ask(server.uri(), "create table if not exists undone (n int)").reraise()
        began = time.monotonic()
        with world.db.transaction(server.uri(), timeout=PATIENCE) as tx:
            tx.execute("insert into undone values (1)")
            with suppress(ZeroDivisionError), tx.transaction() as inner:
                inner.execute("insert into undone values (2)")
                inner.execute(SLEEP)
                eventually(lambda: admin(server, RUNNING), "it runs")
                raise ZeroDivisionError
            tx.execute("insert into undone values (3)")
        assert time.monotonic() - began < 20
        assert world.ask(server.uri(), "select n from undone order by n").data == [{"n": 1}, {"n": 3}]

    def test_out_of_time(self, server, world):
        """A transaction whose statement misses its deadline is rolled back, and its connection used again."""
        with pytest.raises(OperationError), world.db.transaction(server.uri()) as tx:
            assert tx.execute(SLEEP).getwait(0.2).status == 1
        eventually(lambda: world.pool()["idle"] == 1, "the connection is idle")
        assert world.ask(server.uri(), "select 1").status == 3


class TestNotifications:
    def test_the_server_is_restarted(self, server, world):
        """After a restart notifications arrive again, behind the sign that some may have been missed."""
        with world.db.listen(server.uri(), "news") as notes:
            notes.wait()
            server.stop(signal.SIGQUIT)
            server.start()
            assert notes.get(PATIENCE).missed
            world.ask(server.uri(), "select pg_notify('news', 'again')")
            assert notes.get(PATIENCE).payload == "again"
