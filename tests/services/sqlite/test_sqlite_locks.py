"""Who writes when: turns within the instance, and the locks of other processes."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from sqlite_files import ENDLESS
from twisted.internet.defer import CancelledError

from serving import eventually
from skitai.errors import CODE_BUSY, UnsentError
from skitai.services.db.interfaces import RefusedError
from wire import PATIENCE

#: Takes the lock of a file, says so, and keeps it until it is told to go on.
HOLDER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("begin immediate")
db.execute("insert into t values ('from another process', 0)")
print("held", flush=True)
sys.stdin.readline()
db.execute("commit")
"""


class Holder:
    """Another process that holds the lock of a file."""

    def __init__(self, path):
        command = [sys.executable, "-c", HOLDER, str(path)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "held\n"

    def commit(self):
        self._process.communicate("\n", PATIENCE)

    def kill(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def holder(files):
    holder = Holder(files.folder / "a.db")
    yield holder
    holder.kill()


class TestAnotherProcess:
    def test_waits(self, files, holder):
        """A statement waits until the other process is done."""
        writing = files.start("insert into t values ('after', 1)")
        eventually(lambda: files.threads["threads"])
        assert not writing.called
        holder.commit()
        assert files.outcome(writing).status == 3
        assert files.values() == ["from another process", "after"]

    def test_reads_go_on(self, files, holder):
        """Who only reads does not wait."""
        assert files.values() == []
        assert files.begin(readonly=True).execute("select count(*) as n from t").scalar() == 0

    def test_holds_no_thread(self, make_files, holder):
        """Who waits for a lock has no thread meanwhile."""
        files = make_files(threads=1)
        writing = files.start("insert into t values ('after', 1)")
        for _ in range(20):
            assert files.values() == []
        assert not writing.called
        holder.commit()
        assert files.outcome(writing).status == 3

    def test_killed(self, files, holder):
        """What a killed process has not committed is undone, and its lock is free."""
        writing = files.start("insert into t values ('after', 1)")
        holder.kill()
        assert files.outcome(writing).status == 3
        assert files.values() == ["after"]

    def test_busy_timeout(self, make_files, holder):
        """After ``busy_timeout`` the statement fails as in the standard library; nothing was executed."""
        files = make_files(busy_timeout=0.1)
        began = time.monotonic()
        result = files.execute("insert into t values (1, 1)")
        assert time.monotonic() - began < 5
        assert (result.status, result.code, type(result.error)) == (2, 501, sqlite3.OperationalError)
        assert "database is locked" in result.msg
        assert "busy_timeout in the section [sqlite]" in result.msg
        assert result.diagnostics == {"sqlite_errorname": "SQLITE_BUSY"}
        with pytest.raises(RefusedError, match="database is locked") as caught:
            files.begin()
        assert (caught.value.result.code, type(caught.value.result.error)) == (501, sqlite3.OperationalError)
        assert files.executemany("insert into t values (?, ?)", [(1, 1)]).status == 2
        holder.commit()
        assert files.values() == ["from another process"]

    def test_cancelled(self, files, holder):
        """A statement whose time is over waits no longer, and is not executed later."""
        writing = files.start("insert into t values (1, 1)")
        files.wait_for_running(0)
        files.cancel(writing)
        with pytest.raises(CancelledError):
            files.outcome(writing)
        holder.commit()
        files.execute("insert into t values (2, 2)").reraise()
        assert files.values() == ["from another process", 2]

    def test_without_wal(self, files):
        """A file that another process keeps from WAL is read and written as far as SQLite can."""
        path = files.folder / "old.db"
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("create table t (a)")
        other.execute("insert into t values (1), (1)")
        cursor = other.execute("select * from t")  # a lock for reading, as its rows are not fetched
        cursor.fetchone()
        assert files.values(name="old.db") == [1, 1]
        writing = files.start("insert into t values (2)", name="old.db")
        eventually(lambda: files.threads["running"] == 0)
        assert not writing.called
        cursor.close()
        assert files.outcome(writing).status == 3
        other.close()

    def test_within_a_transaction(self, make_files):
        """A statement of a transaction waits as long, and may be tried again."""
        files = make_files(busy_timeout=0.1)
        other = sqlite3.connect(files.folder / "old.db", isolation_level=None, check_same_thread=False)
        other.execute("create table t (a)")
        other.execute("begin exclusive")
        transaction = files.begin("old.db", readonly=True)
        assert "database is locked" in transaction.execute("select * from t").msg
        other.execute("commit")
        assert transaction.execute("select * from t").data == []
        transaction.commit()
        other.close()


class TestTurns:
    """Within an instance."""

    def test_in_order(self, files):
        """While a transaction has the file, who wants to write waits in order; who reads goes on."""
        transaction = files.begin()
        transaction.execute("insert into t values (0, 0)").reraise()
        waiting = [files.start("insert into t values (?, 0)", (number,)) for number in range(1, 20)]
        assert files.values() == []
        assert files.files == [{"file": str(files.folder / "a.db"), "under_way": 1, "waiting_to_write": 19}]
        assert files.threads["running"] == 0
        transaction.commit()
        assert {files.outcome(deferred).status for deferred in waiting} == {3}
        assert files.values("select a from t order by rowid") == list(range(20))

    def test_busy_timeout(self, make_files):
        """The wait for a transaction has the same limit as that for another process."""
        files = make_files(busy_timeout=0.1)
        files.execute("create table t (a)").reraise()
        transaction = files.begin()
        result = files.execute("insert into t values (1)")
        assert (type(result.error), result.code) == (sqlite3.OperationalError, 501)
        with pytest.raises(RefusedError, match="database is locked"):
            files.begin()
        transaction.rollback()
        assert files.execute("insert into t values (1)").status == 3

    def test_cancelled(self, files):
        """Who gives up gives its place to the next."""
        transaction = files.begin()
        given_up, next_one = (files.start("insert into t values (?, 0)", (number,)) for number in range(2))
        files.cancel(given_up)
        with pytest.raises(CancelledError):
            files.outcome(given_up)
        transaction.commit()
        assert files.outcome(next_one).status == 3
        assert files.values() == [1]

    def test_too_many(self, files, monkeypatch):
        """Only so many may wait."""
        monkeypatch.setattr("skitai.services.sqlite.database.WAITING_MAX", 1)
        transaction = files.begin()
        waiting = files.start("insert into t values (1, 1)")
        assert "database is locked" in files.execute("insert into t values (2, 2)").msg
        transaction.commit()
        assert files.outcome(waiting).status == 3

    def test_other_files(self, files):
        """Each file has a writer of its own."""
        files.begin()
        assert files.execute("create table t (a)", name="b.db").status == 3

    def test_at_the_same_time(self, files):
        """Reads and writes from everywhere lose nothing."""
        started = []
        for number in range(100):
            started.append(files.start("insert into t values (?, 0)", (number,)))
            started.append(files.start("select count(*) from t"))
        assert {files.outcome(deferred).status for deferred in started} == {3}
        assert sorted(files.values()) == list(range(100))


class TestThreads:
    def test_at_most(self, make_files):
        """Only so many statements run at once; others wait for a thread."""
        files = make_files(threads=2)
        endless = [files.start(ENDLESS) for _ in range(2)]
        files.wait_for_running(2)
        third = files.start("select 1")
        assert files.threads["queued"] == 1
        files.cancel(endless[0])
        assert files.outcome(third).scalar() == 1
        files.cancel(endless[1])
        for deferred in endless:
            with pytest.raises(CancelledError):
                files.outcome(deferred)

    def test_too_many(self, make_files, monkeypatch):
        """Only so many may wait for a thread."""
        monkeypatch.setattr("skitai.services.sqlite.engine.WAITING_MAX", 1)
        files = make_files(threads=1)
        endless, waiting = files.start(ENDLESS), files.start("select 1")
        with pytest.raises(UnsentError, match="too many statements wait for a thread") as caught:
            files.execute("select 1")
        assert caught.value.code == CODE_BUSY
        files.cancel(endless)
        with pytest.raises(CancelledError):
            files.outcome(endless)
        assert files.outcome(waiting).status == 3


class TestInterrupts:
    def interrupt(self, files, deferred):
        files.wait_for_running()
        files.cancel(deferred)
        with pytest.raises(CancelledError):
            files.outcome(deferred)

    def test_at_once(self, files):
        """A statement that is cancelled fails at once, and its thread is soon free."""
        began = time.monotonic()
        self.interrupt(files, files.start(ENDLESS))
        files.wait_for_running(0)
        assert time.monotonic() - began < 5

    @pytest.mark.parametrize(
        "sql",
        [
            f"insert into t select 1, x from ({ENDLESS.replace('count(*)', 'x')})",
            f"insert into t values (1, 1); {ENDLESS}",
            f"update t set a = ({ENDLESS}) returning a",
        ],
    )
    def test_undone(self, files, sql):
        """What it has done is undone, and the connection is clean for the next one."""
        files.execute("insert into t values (0, 0)").reraise()
        self.interrupt(files, files.start(sql))
        assert files.values() == [0]
        assert files.execute("insert into t values (2, 2)").status == 3

    def test_many_rows(self, files):
        """It ends between the rows of an executemany, too."""
        rows = [(number, 0) for number in range(500_000)]

        deferred = files.start_many("insert into t values (?, ?)", rows)
        self.interrupt(files, deferred)
        files.wait_for_running(0)
        assert files.values("select count(*) from t") == [0]

    def test_before_it_runs(self, make_files):
        """A statement that waits for a thread is not executed any more."""
        files = make_files(threads=1)
        files.execute("create table t (a)").reraise()
        endless, waiting = files.start(ENDLESS), files.start("insert into t values (1)")
        files.wait_for_running()
        for deferred in (waiting, endless):
            files.cancel(deferred)
            with pytest.raises(CancelledError):
                files.outcome(deferred)
        assert files.values() == []

    def test_never_the_next(self, files):
        """However often statements are cancelled, those of others are not hit."""
        stop = threading.Event()
        outcomes = []

        def others():
            while not stop.is_set():
                result = files.execute("insert into t values (1, 1)")
                outcomes.append(result.status)
                outcomes.append(files.execute("select count(*) from t").status)

        thread = threading.Thread(target=others)
        thread.start()
        for _ in range(150):
            for sql in ("select count(*) from t, t as u", "insert into t select a, 2 from t limit 5"):
                deferred = files.start(sql)
                files.cancel(deferred)
                with contextlib.suppress(CancelledError):
                    files.outcome(deferred)
        stop.set()
        thread.join()
        assert set(outcomes) == {3}
