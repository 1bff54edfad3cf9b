"""``was.db`` on SQLite, as apps use it."""

import sqlite3

import pytest
from sqlite_files import ENDLESS
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from instances import RunningInstance, make_instance
from serving import eventually
from skitai import DB_SQLITE3
from skitai.errors import ConfigError, MisuseError, OperationTimeout
from skitai.services import cache
from skitai.services.sqlite import plugin

CONFIG = """[server]
ip = 127.0.0.1
port = 0
access_log = off
threads = {threads}
[sqlite]
threads = 2
rows_max = 50
[@two]
type = sqlite3
members = one.db, two.db
[@broken]
type = sqlite3
members = nowhere/a.db, one.db
[@replica]
type = sqlite3
members = one.db
read_only = yes
"""


class Site:
    """An instance whose config is in ``folder``."""

    def __init__(self, loop, folder, threads):
        self.loop = loop
        (folder / "site.conf").write_text(CONFIG.format(threads=threads))
        (folder / "nowhere").mkdir()
        instance = make_instance(loop.reactor, folder / "site.conf", sqlite=plugin, cache=cache)
        (folder / "nowhere").rmdir()  # it is looked for at the start
        self._running = RunningInstance(loop, instance)

    def work(self, function):
        """Return what ``function(was)`` returns where apps run, in a request of its own."""
        return self.loop.call(self._running.instance.run, function)

    @property
    def status(self):
        return self._running.instance.status()

    def stop(self):
        self._running.stop()


@pytest.fixture
def site(reactor_thread, tmp_path, threads):
    site = Site(reactor_thread, tmp_path, threads)
    yield site
    site.stop()
    assert not list(tmp_path.glob("*-wal"))


class TestReadme:
    """The chapter "Fast App Prototyping using SQLite3"."""

    def test_example(self, site, tmp_path):
        """The example as printed; the file is in the folder of the config."""

        def view(was):
            s = was.db("sqlite3.db", DB_SQLITE3)
            s.execute("""
              drop table if exists people;
              create table people (name_last, age);
              insert into people values ('Cho', 42);
            """)
            s.wait(5)

            s = was.db("sqlite3.db", DB_SQLITE3)
            s.execute("select * from people;")
            return s.getwait(2)

        result = site.work(view)
        assert result.data == [{"name_last": "Cho", "age": 42}]
        assert (tmp_path / "sqlite3.db").exists()

    def test_wait_raises(self, site):
        """A statement that fails is raised by ``wait``."""

        def view(was):
            s = was.db("sqlite3.db", DB_SQLITE3)
            s.execute("insert into missing values (1)")
            s.wait(5)

        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            site.work(view)

    def test_clusters(self, site):
        """``lb`` asks one of the files, ``map`` all of them."""

        def view(was):
            s = was.db.map("@two")
            s.execute("create table t (a); insert into t values (1)")
            assert s.getswait(5).status == [3, 3]
            s = was.db.lb("@two")
            s.execute("insert into t values (?)", (2,))
            s.wait(5)
            s = was.db.map("@two")
            s.execute("select a from t order by a")
            return s.getswait(5).rows()

        assert sorted(row.a for row in site.work(view)) == [1, 1, 2]

    def test_cache(self, site):
        """A result is kept until the app wants a new one."""

        def select(was, **options):
            s = was.db("a.db", DB_SQLITE3, **options)
            s.execute("select count(*) as n from t")
            result = s.getwait(5)
            result.cache(60)
            return result.scalar()

        def view(was):
            was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
            before = select(was)
            was.db("a.db", DB_SQLITE3).execute("insert into t values (1)").wait(5)
            return before, select(was), select(was, use_cache=False), select(was)

        assert site.work(view) == (0, 0, 1, 1)


class TestFailures:
    def test_deadline(self, site):
        """A statement that misses its deadline is interrupted, and its thread is free again."""

        def view(was):
            return was.db("a.db", DB_SQLITE3).execute(ENDLESS).getwait(0.2)

        result = site.work(view)
        assert (result.status, result.code) == (1, 702)
        with pytest.raises(OperationTimeout):
            result.reraise()
        eventually(lambda: site.status["SQLite, threads"]["running"] == 0)

    def test_end_of_the_request(self, site):
        """So is one that nobody waits for when the request ends."""

        def view(was):
            was.db("a.db", DB_SQLITE3).execute(ENDLESS)

        site.work(view)
        eventually(lambda: site.status["SQLite, threads"]["running"] == 0)

    def test_another_member(self, site):
        """Where a file cannot be used, another member is asked, and the member rests."""

        def view(was):
            for _ in range(4):
                was.db.lb("@broken").execute("create table if not exists t (a)").wait(5)
            return was.cluster("@broken")

        failed, well = site.work(view).members
        assert (failed.state, failed.failures) == ("resting", 1)
        assert (well.state, well.failures) == ("up", 0)

    def test_refused_statements(self, site):
        """A statement that SQLite refuses says nothing against the member."""

        def view(was):
            codes = [was.db("@two").execute("nonsense").getwait(5).code for _ in range(4)]
            return codes, was.cluster("@two")

        codes, cluster = site.work(view)
        assert codes == [501] * 4
        assert [member.state for member in cluster.members] == ["up", "up"]

    def test_rows_max(self, site):
        """The limit of the config holds."""

        def view(was):
            numbers = (
                "with recursive c(x) as (select 1 union all select x + 1 from c limit 51) select * from c"
            )
            return was.db("a.db", DB_SQLITE3).execute(numbers).getwait(5)

        assert "more than 50 rows" in site.work(view).msg

    @pytest.mark.parametrize("line", ["busy_timeout = 0", "rows_max = 0", "threads = 0", "fast = yes"])
    def test_config(self, tmp_path, line):
        """The keys of the section are checked."""
        (tmp_path / "site.conf").write_text(f"[sqlite]\n{line}\n")
        with pytest.raises(ConfigError, match=line.partition(" ")[0]):
            make_instance(Clock(), tmp_path / "site.conf", sqlite=plugin)


def transact(block, *statements, error=None):
    """Execute statements in a transaction or a part of one, which ``error`` ends."""
    with block as tx:
        for statement in statements:
            tx.execute(statement)
        if error is not None:
            raise error


class TestTransactions:
    def test_both_ends(self, site):
        """A block that ends commits, one that raises rolls back; inner ones are savepoints."""

        def view(was):
            was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
            with was.db.transaction("a.db", DB_SQLITE3, isolation="serializable") as tx:
                tx.executemany("insert into t values (?)", [(1,), (2,)])
                with pytest.raises(ZeroDivisionError):
                    transact(tx.transaction(), "insert into t values (3)", error=ZeroDivisionError())
                assert tx.execute("select count(*) from t").getwait(5).scalar() == 2
            with pytest.raises(ZeroDivisionError):
                transact(
                    was.db.transaction("a.db", DB_SQLITE3),
                    "insert into t values (4)",
                    error=ZeroDivisionError(),
                )
            return [row.a for row in was.db("a.db", DB_SQLITE3).execute("select a from t").getwait(5)]

        assert site.work(view) == [1, 2]

    def test_statement_that_fails(self, site):
        """The end of the block raises what has failed within, and nothing is kept."""

        def view(was):
            was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
            with pytest.raises(sqlite3.OperationalError):
                transact(was.db.transaction("a.db", DB_SQLITE3), "insert into t values (1)", "nonsense")
            return was.db("a.db", DB_SQLITE3).execute("select a from t").getwait(5).data

        assert site.work(view) == []

    def test_deadline(self, site):
        """A statement that misses its deadline undoes the transaction, and the file is free at once."""

        def late(was):
            endless = f"insert into t select x from ({ENDLESS.replace('count(*)', 'x')})"
            with was.db.transaction("a.db", DB_SQLITE3) as tx:
                tx.execute("insert into t values (1)")
                tx.execute(endless).getwait(0.2)

        def view(was):
            was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
            with pytest.raises(OperationTimeout):
                late(was)
            was.db("a.db", DB_SQLITE3).execute("insert into t values (2)").wait(5)
            return [row.a for row in was.db("a.db", DB_SQLITE3).execute("select a from t").getwait(5)]

        assert site.work(view) == [2]

    def test_read_only(self, site):
        """On members that are read only, a transaction says that it only reads."""

        def view(was):
            was.db.map("@two").execute("create table t (a)").getswait(5)
            with pytest.raises(MisuseError, match="readonly=True"):
                transact(was.db.transaction("@replica"), "select 1")
            with was.db.transaction("@replica", readonly=True) as tx:
                tx.execute("select count(*) from t").wait(5)
            result = was.db("@replica").execute("insert into t values (1)").getwait(5)
            return result, was.cluster("@replica")

        result, cluster = site.work(view)
        assert (result.status, result.code) == (2, 501)
        assert cluster.members[0].state == "up"

    def test_end_of_the_request(self, site):
        """A transaction that is left open ends with its request."""

        def leave(was):
            was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
            tx = was.db.transaction("a.db", DB_SQLITE3)
            tx.__enter__()
            tx.execute("insert into t values (1)").wait(5)

        site.work(leave)
        write = "insert into t values (2) returning (select count(*) from t)"
        assert site.work(lambda was: was.db("a.db", DB_SQLITE3).execute(write).getwait(5)).status == 3
        count = "select count(*) from t"
        assert site.work(lambda was: was.db("a.db", DB_SQLITE3).execute(count).getwait(5)).scalar() == 1


def test_many_at_once(site):
    """Many writers and readers at once lose nothing."""

    def view(was):
        was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5)
        calls = [was.db("a.db", DB_SQLITE3).execute("insert into t values (?)", (n,)) for n in range(50)]
        was.gather(*calls).reraise()
        return was.db("a.db", DB_SQLITE3).execute("select sum(a) from t").getwait(5).scalar()

    assert site.work(view) == sum(range(50))


def test_status_page(site, tmp_path):
    """The status page shows the files, the threads, and which statements took how long."""
    site.work(lambda was: was.db("a.db", DB_SQLITE3).execute("create table t (a)").wait(5))
    site.work(lambda was: transact(was.db.transaction("a.db", DB_SQLITE3), "select 1", "select 1"))
    status = site.status
    assert status["SQLite"] == [{"file": str(tmp_path / "a.db"), "under_way": 0, "waiting_to_write": 0}]
    assert status["SQLite, threads"]["running"] == 0
    counts = {row["statement"]: row["count"] for row in status["SQLite, by statement"]}
    assert counts == {"create table t (a)": 1, "select 1": 2}


def test_slow_statements(make_files):
    """A slow statement is logged, without its values."""
    files = make_files(slow_statement=1e-9)
    with capturedLogs() as events:
        files.execute("select ? as secret", ("password",)).reraise()
    (text,) = [formatEvent(event) for event in events if "slow" in event.get("log_format", "")]
    assert text.startswith(f"slow statement on {files.folder}/a.db: 0.")
    assert text.endswith("select ? as secret")
