"""Transactions: connections that one user has to itself."""

import sqlite3

import pytest
from sqlite_files import ENDLESS
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from skitai.errors import MisuseError, UnsentError
from skitai.services.db.interfaces import ISOLATION_LEVELS, ISession


class TestEnds:
    def test_commit(self, files):
        """What a transaction does is seen by others after its commit."""
        transaction = files.begin()
        assert verifyObject(ISession, transaction.session)
        assert transaction.execute("insert into t values (1, 1)").rowcount == 1
        assert transaction.execute("select a from t").scalar() == 1
        assert files.values() == []
        transaction.commit()
        assert files.values() == [1]

    def test_rollback(self, files):
        """What is rolled back was never there."""
        transaction = files.begin()
        transaction.execute("insert into t values (1, 1); create table u (a)").reraise()
        transaction.rollback()
        assert files.values() == []
        assert files.execute("select * from u").status == 2

    @pytest.mark.parametrize("isolation", [None, *ISOLATION_LEVELS])
    def test_isolation(self, files, isolation):
        """Every level is granted, because SQLite's transactions are all serializable."""
        files.begin(isolation=isolation).commit()

    def test_readonly(self, files):
        """One that only reads sees the file as it was, holds up nobody, and cannot write."""
        files.execute("insert into t values (1, 1)").reraise()
        transaction = files.begin(readonly=True)
        assert transaction.execute("select count(*) from t").scalar() == 1
        files.execute("insert into t values (2, 2)").reraise()
        assert transaction.execute("select count(*) from t").scalar() == 1
        result = transaction.execute("insert into t values (3, 3)")
        assert (result.status, type(result.error)) == (2, sqlite3.OperationalError)
        transaction.commit()
        assert files.values() == [1, 2]
        assert files.execute("insert into t values (3, 3)").status == 3

    def test_deferred_constraint(self, make_files):
        """A commit that SQLite refuses raises its exception, and rolls back."""
        files = make_files(foreign_keys=True)
        files.execute(
            "create table p (a primary key);create table t (a references p deferrable initially deferred)"
        ).reraise()
        transaction = files.begin()
        transaction.execute("insert into t values (1)").reraise()
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            transaction.commit()
        assert files.values() == []
        assert files.execute("create table u (a)").status == 3

    def test_shutdown(self, files):
        """A transaction that nobody ends is undone with the engine, at once; to end it then is no error."""
        transaction, reading = files.begin(), files.begin(readonly=True)
        transaction.execute("insert into t values (1, 1)").reraise()
        files.close()
        db = sqlite3.connect(files.folder / "a.db", timeout=0)
        assert db.execute("delete from t").rowcount == 0
        db.close()
        reading.rollback()
        for too_late in (lambda: transaction.execute("select 1"), transaction.commit):
            with pytest.raises(UnsentError, match="stop"):
                too_late()


class TestStatements:
    def test_savepoints(self, files):
        """Savepoints undo a part."""
        transaction = files.begin()
        for sql in (
            "insert into t values (1, 1)",
            "savepoint a",
            "insert into t values (2, 2)",
            "rollback to savepoint a",
            "release savepoint a",
        ):
            transaction.execute(sql).reraise()
        transaction.commit()
        assert files.values() == [1]

    @pytest.mark.parametrize("sql", ["commit", "rollback", "begin", "end", "select 1; commit; select 2"])
    def test_ends_of_its_own(self, files, sql):
        """A statement cannot end the transaction."""
        transaction = files.begin()
        transaction.execute("insert into t values (1, 1)").reraise()
        result = transaction.execute(sql)
        assert (result.status, result.code) == (2, 501)
        with pytest.raises(MisuseError):
            result.reraise()
        assert not transaction.session.lost
        transaction.rollback()
        assert files.values() == []

    def test_parts_that_fail(self, files):
        """A script or an executemany that fails leaves nothing behind; what was before it stays."""
        files.execute("create unique index i on t (a)").reraise()
        transaction = files.begin()
        transaction.execute("insert into t values (0, 0)").reraise()
        assert transaction.execute("insert into t values (1, 1); insert into t values (0, 0)").status == 2
        assert transaction.executemany("insert into t values (?, ?)", [(2, 2), (0, 0)]).status == 2
        assert transaction.executemany("insert into t values (?, ?)", [(3, 3), (4, 4)]).rowcount == 2
        transaction.commit()
        assert files.values() == [0, 3, 4]

    def test_settings(self, files):
        """What a transaction sets ends with it."""
        transaction = files.begin()
        transaction.execute("create temp table x (a); pragma case_sensitive_like = 1").reraise()
        assert transaction.execute("select count(*) from x").scalar() == 0
        transaction.commit()
        assert files.execute("select * from x").status == 2
        assert files.execute("insert into t values ('a' like 'A', 1)").status == 3
        assert files.values() == [1]

    @pytest.mark.parametrize("sql", ["insert or rollback into t values (1, 1)", "raise"])
    def test_lost(self, files, sql):
        """Where SQLite has rolled back by itself, nothing more is executed outside the transaction."""
        files.execute("create unique index i on t (a); insert into t values (1, 1)").reraise()
        files.execute("create trigger r before delete on t begin select raise(rollback, 'no'); end").reraise()
        transaction = files.begin()
        transaction.execute("insert into t values (2, 2)").reraise()
        assert transaction.execute("delete from t" if sql == "raise" else sql).status == 2
        assert transaction.session.lost
        result = transaction.execute("insert into t values (3, 3)")
        assert (result.status, type(result.error)) == (2, sqlite3.OperationalError)
        assert "rolled back" in result.msg
        with pytest.raises(sqlite3.OperationalError, match="rolled back"):
            transaction.commit()
        assert files.values() == [1]


class TestCancelled:
    @pytest.mark.parametrize("write", [True, False])
    def test_statement(self, files, write):
        """After a cancelled statement the transaction waits for its end, and is rolled back."""
        transaction = files.begin()
        transaction.execute("insert into t values (1, 1)").reraise()
        endless = f"insert into t select 1, x from ({ENDLESS.replace('count(*)', 'x')})" if write else ENDLESS
        deferred = files.start_within(transaction, endless)
        files.wait_for_running()
        files.cancel(deferred)
        with pytest.raises(CancelledError):
            files.outcome(deferred)
        later = transaction.execute("insert into t values (2, 2)").status
        assert later == 3 or write  # a write that was interrupted before it began has rolled back nothing
        assert transaction.session.lost is (later == 2)
        transaction.rollback()
        assert files.values() == []
        assert files.execute("insert into t values (3, 3)").status == 3

    def test_rollback_meanwhile(self, files):
        """A rollback waits for the end of a cancelled statement."""
        transaction = files.begin()
        deferred = files.start_within(transaction, ENDLESS)
        files.wait_for_running()
        files.cancel(deferred)
        transaction.rollback()
        with pytest.raises(CancelledError):
            files.outcome(deferred)
        assert files.execute("insert into t values (3, 3)").status == 3

    def test_begin(self, files):
        """A transaction that is given up while it waits leaves the file to the others."""
        first = files.begin()
        second = files.start_begin()
        files.cancel(second)
        with pytest.raises(CancelledError):
            files.outcome(second)
        first.commit()
        assert files.execute("insert into t values (3, 3)").status == 3

    def test_begin_before_it_runs(self, make_files):
        """So does one that is given up while it waits for a thread."""
        files = make_files(threads=1)
        endless, begun = files.start(ENDLESS), files.start_begin()
        for deferred in (begun, endless):
            files.cancel(deferred)
            with pytest.raises(CancelledError):
                files.outcome(deferred)
        assert files.execute("create table t (a)").status == 3

    def test_begin_in_the_last_moment(self, files):
        """One that is given up when it has begun is rolled back."""
        for _ in range(50):
            begun = files.start_begin()
            files.cancel(begun)
            try:
                transaction = files.outcome(begun)
            except CancelledError:
                continue
            files.loop.call(transaction.rollback)
        assert files.execute("insert into t values (3, 3)").status == 3
