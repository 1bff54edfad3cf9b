"""Files that cannot be used: whose fault it is, and what is said."""

import sqlite3

import pytest

from serving import eventually
from skitai.errors import OperationError, UnsentError
from skitai.services.sqlite import engine as engine_module
from skitai.services.sqlite.connection import Connection
from skitai.services.sqlite.errors import outcome_of


def corrupt(path):
    """Overwrite all but the first page of a database."""
    data = path.read_bytes()
    path.write_bytes(data[:4096] + b"\xee" * (len(data) - 4096))


class TestUnusable:
    """Nothing was executed, and another member of the cluster may be asked."""

    def expect(self, files, name, words, sql="select * from sqlite_schema", **options):
        with pytest.raises(UnsentError, match=words) as caught:
            files.execute(sql, name=name, **options)
        assert str(files.folder / name) in str(caught.value)
        cause = caught.value.__cause__
        assert isinstance(cause, sqlite3.Error)
        assert (cause.__traceback__, cause.__context__) == (None, None)

    @pytest.mark.parametrize("sql", ["select 1", "create table t (a)"])
    def test_no_folder(self, files, sql):
        """A folder that is not there is named."""
        self.expect(files, "nowhere/a.db", f"there is no folder {files.folder}/nowhere", sql)

    @pytest.mark.parametrize("sql", ["select 1", "create table t (a)"])
    def test_folder(self, files, sql):
        """A folder is no database."""
        (files.folder / "sub").mkdir()
        self.expect(files, "sub", "is a folder, not a file", sql)

    @pytest.mark.parametrize("sql", ["select * from t", "create table t (a)", "insert into t values (1)"])
    def test_no_database(self, files, sql):
        """A file of another kind is none."""
        (files.folder / "text").write_bytes(b"hello " * 1000)
        self.expect(files, "text", "file is not a database", sql)

    def test_transactions(self, files):
        """A transaction does not begin on it either."""
        with pytest.raises(UnsentError, match="there is no folder"):
            files.begin("nowhere/a.db")
        with pytest.raises(UnsentError, match="there is no folder"):
            files.begin("nowhere/a.db", readonly=True)

    def test_not_openable(self, files):
        """Where SQLite does not say why, the message asks what to look at."""
        (files.folder / "loop").symlink_to("loop")
        self.expect(files, "loop", "is it readable and its folder writable")

    def test_not_writable(self, files):
        """A file that cannot be written is the fault of the member, if it was to be written."""
        db = sqlite3.connect(f"file:{files.folder}/a.db?mode=ro", uri=True)
        with pytest.raises(sqlite3.OperationalError) as caught:
            db.execute("create table u (a)")
        db.close()
        outcome = outcome_of(caught.value, files.node(), may_write=True)
        assert isinstance(outcome, UnsentError)
        assert "cannot be written" in str(outcome)
        assert outcome_of(caught.value, files.node(), may_write=False).code == 501

    @pytest.mark.parametrize("code", [sqlite3.SQLITE_READONLY_DIRECTORY, sqlite3.SQLITE_READONLY_CANTINIT])
    def test_not_readable(self, files, code):
        """So is one that cannot be read, because SQLite would have to write its log or the shared memory."""
        error = sqlite3.OperationalError("attempt to write a readonly database")
        error.sqlite_errorcode = code
        outcome = outcome_of(error, files.node(), may_write=False)
        assert isinstance(outcome, UnsentError)
        assert "needs even to read a file in WAL mode" in str(outcome)

    def test_mended(self, files):
        """As soon as it can be used, it is."""
        self.expect(files, "nowhere/a.db", "there is no folder")
        (files.folder / "nowhere").mkdir()
        assert files.execute("create table t (a)", name="nowhere/a.db").status == 3


class TestFailing:
    def test_corrupt(self, files):
        """A corrupt file is the fault of the member, not of the statement."""
        files.executemany("insert into t values (?, ?)", [("x" * 2000, 1)] * 20)
        files.close()
        corrupt(files.folder / "a.db")
        files = type(files)(files.loop, files.folder)
        try:
            with pytest.raises(OperationError, match="malformed") as caught:
                files.execute("select sum(length(a)) from t")
            assert not isinstance(caught.value, UnsentError)
            assert isinstance(caught.value.__cause__, sqlite3.DatabaseError)
        finally:
            files.close()

    def test_full(self, files):
        """So is a disk that is full."""
        files.execute("pragma page_size").reraise()
        with pytest.raises(OperationError, match="full"):
            files.execute("pragma max_page_count = 3; insert into t values (zeroblob(100000), 1)")
        assert files.values() == []
        assert files.execute("insert into t values (zeroblob(100000), 1)").status == 3

    def test_full_at_the_commit(self, files, monkeypatch):
        """A disk that is full at the commit leaves no doubt: nothing is committed."""

        def commit(connection):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
            raise error

        monkeypatch.setattr(Connection, "commit", commit)
        transaction = files.begin()
        assert transaction.execute("insert into t values (1, 1)").status == 3
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            transaction.commit()
        assert files.values() == []


class TestReadOnly:
    """A member with ``read_only = yes``."""

    def test_reads(self, files):
        """It is read, and never written."""
        files.execute("insert into t values (1, 1)").reraise()
        assert files.execute("select a from t", read_only="yes").scalar() == 1
        result = files.execute("insert into t values (2, 2)", read_only="yes")
        assert (result.status, type(result.error)) == (2, sqlite3.OperationalError)
        assert "readonly" in result.msg
        assert files.execute("create table u (a); select 1", read_only="yes").status == 2
        assert files.values() == [1]

    def test_no_file(self, files):
        """It does not make its file."""
        with pytest.raises(UnsentError, match="no such file"):
            files.execute("select 1", name="none.db", read_only="yes")
        assert not (files.folder / "none.db").exists()

    def test_transactions(self, files):
        """A transaction reads."""
        transaction = files.begin(node=files.node(read_only="yes"), readonly=True)
        assert transaction.execute("select count(*) from t").scalar() == 0
        transaction.commit()


class TestRemoved:
    def test_removed(self, files):
        """Where the file was removed, the next statement makes a new one."""
        files.execute("insert into t values (1, 1)").reraise()
        (files.folder / "a.db").unlink()
        assert files.execute("select * from t").status == 2
        assert files.execute("create table t (a, b)").status == 3
        assert files.values() == []

    def test_replaced(self, files):
        """Where another took its place, that one is used."""
        assert files.values() == []
        files.execute("create table t (a); insert into t values (42)", name="new.db").reraise()
        (files.folder / "new.db").rename(files.folder / "a.db")
        # Its log has the rows.
        (files.folder / "new.db-wal").rename(files.folder / "a.db-wal")
        assert files.values() == [42]


class TestIdle:
    def test_closed(self, files, monkeypatch):
        """Files that nobody uses are closed after a while; what is in memory stays."""
        files.execute("create table t (a)", name=":memory:").reraise()
        monkeypatch.setattr(engine_module, "IDLE_SECONDS", 0.0)
        files.loop.call(files.engine._sweep)
        monkeypatch.undo()
        assert [file["file"] for file in files.files] == [":memory:"]
        eventually(lambda: not (files.folder / "a.db-wal").exists(), "the log of a closed file")
        assert files.values() == []
        assert files.values(name=":memory:") == []

    def test_at_most(self, files, monkeypatch):
        """Only so many files are open at the same time, unless more are used."""
        monkeypatch.setattr(engine_module, "FILES_MAX", 3)
        transaction = files.begin()
        for number in range(5):
            files.execute("create table t (a)", name=f"{number}.db").reraise()
        open_ones = [file["file"].rpartition("/")[2] for file in files.files]
        assert open_ones == ["a.db", "3.db", "4.db"]
        transaction.commit()
