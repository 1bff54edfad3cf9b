"""``was.db`` over a fake engine."""

import pytest
from db_fakes import DriverError, FakeEngine, FakeNode, found, refused, unreached
from twisted.internet.testing import MemoryReactorClock

from skitai import DB_PGSQL, DB_SQLITE3, was
from skitai.errors import MisuseError, OperationTimeout
from skitai.services.db.rows import Row
from skitai.services.db.service import DatabaseService
from skitai.testing import FakeWas, ServiceHarness


class World:
    """``was.db`` with two fake engines, and clusters of the first."""

    def __init__(self):
        self.postgresql, self.sqlite = FakeEngine(DB_PGSQL), FakeEngine(DB_SQLITE3)
        service = DatabaseService()
        for engine in (self.postgresql, self.sqlite):
            service.add(engine)
        service.member = lambda address, options: FakeNode(address)
        clusters = {"main": ["a", "b"], "one": ["c"]}
        self.harness = ServiceHarness(service, MemoryReactorClock(), clusters=clusters)
        # Any type of the service does.
        for cluster in self.harness.clusters.values():
            cluster.type_name = DB_PGSQL
        self.db = self.harness.call
        self.log = self.postgresql.log


@pytest.fixture
def world():
    return World()


class TestPlaces:
    @pytest.mark.parametrize(
        ("args", "engine", "node"),
        [
            (("h:1", "d", "u", "p"), "postgresql", ("h:1", "d", "u", "p")),
            (("h", "d", "u", "p", "pgsql"), "postgresql", ("h", "d", "u", "p")),
            (("h", "d", "u", "p", DB_PGSQL, False), "postgresql", ("h", "d", "u", "p")),
            (("h",), "postgresql", ("h", None, None, None)),
            (("postgresql://u:p@h/d",), "postgresql", ("postgresql://u:p@h/d", None, None, None)),
            (("f.db", DB_SQLITE3), "sqlite", ("f.db", None, None, None)),
            (("h", DB_SQLITE3, "u", "p"), "postgresql", ("h", "sqlite3", "u", "p")),
        ],
    )
    def test_arguments(self, world, args, engine, node):
        """Every signature of the README names a database of the right kind, which is looked up once."""
        world.db(*args)
        world.db.lb(*args)
        world.db.map(*args)
        assert getattr(world, engine).nodes == [node]

    def test_dbtype_by_name(self, world):
        """SQLite may be asked for by keyword, too."""
        world.db("f.db", dbtype="sqlite")
        assert world.sqlite.nodes == [("f.db", None, None, None)]

    @pytest.mark.parametrize(
        ("args", "error", "message"),
        [
            ((7,), TypeError, "server must be a str, not int"),
            ((["h"],), TypeError, "server must be a str, not list"),
            (("h", 7), TypeError, "dbname must be a str, not int"),
            (("h", "d", "u", b"secret"), TypeError, "password must be a str, not bytes$"),
            (
                ("h", "d", "u", "p", "oracle"),
                ValueError,
                "dbtype 'oracle' is not one of.*postgresql, sqlite3",
            ),
            (("@main", "d"), TypeError, "@main is a cluster of the config"),
            ((), TypeError, r"^was\.db\(\) missing 1 required positional argument: 'server'"),
            (("h", "d", "u", "p", "pgsql", True, 8), TypeError, r"^was\.db\(\) takes .* arguments"),
        ],
    )
    def test_wrong_arguments(self, world, args, error, message):
        """A wrong argument is named where it is written."""
        with pytest.raises(error, match=message):
            world.db(*args)

    def test_unknown_cluster(self, world):
        """A cluster that the config lacks is named when the statement is executed."""
        with pytest.raises(MisuseError, match="no cluster @nowhere"):
            world.db("@nowhere").execute("select 1")


class TestStatement:
    def test_result(self, world):
        """The rows come as dicts with attributes."""
        world.postgresql.answers["select n"] = found(1, 2)
        s = world.db("h", "d")
        assert (s.status, s.code) == (0, 0)
        assert s.execute("select n").getwait().status == 3
        result = s.getwait(2)
        assert [row.n for row in result] == [1, 2]
        assert (result.first()["n"], result.scalar(), result.rowcount) == (1, 1, 2)
        assert world.log == [("h/d", "select n")]
        assert result.node.label == "h/d"

    def test_second_statement(self, world):
        """An object executes one statement."""
        s = world.db("h")
        s.execute("select n")
        with pytest.raises(MisuseError, match="a second statement on one object"):
            s.execute("select n")
        with pytest.raises(MisuseError, match="a second statement on one object"):
            s.executemany("select n", [])

    def test_no_statement(self, world):
        """Whoever waits before there is a statement is told so."""
        s = world.db("h")
        with pytest.raises(MisuseError, match="getwait: no statement was executed yet"):
            s.getwait()
        with pytest.raises(MisuseError, match="for: no statement was executed yet"):
            list(s)
        assert repr(s) == "<Statement not begun yet>"
        assert not hasattr(s, "fetchall")

    def test_no_waiting(self, world):
        """Whoever forgets to wait is told so."""
        s = world.db("h")
        s.execute("select n")
        with pytest.raises(AttributeError, match=r"write getwait\(\)\.scalar"):
            s.scalar()
        with pytest.raises(TypeError, match=r"write call\.getwait\(\)"):
            list(s)

    @pytest.mark.parametrize(
        ("args", "error", "message"),
        [
            ((7,), TypeError, "sql must be a str, not 7"),
            (("  ",), ValueError, "sql is empty"),
            (("a\0b",), ValueError, "NUL"),
            (("a", "b"), TypeError, "params must be a tuple, a list or a dict of values, not str"),
            (("a", 5), TypeError, r"params must be a tuple.*; a tuple of one value is \(value,\)"),
            (("a", {1}), TypeError, "params must be a tuple"),
        ],
    )
    def test_wrong_statement(self, world, args, error, message):
        """A statement that is none is an error where it is written, and another may follow."""
        s = world.db("h")
        with pytest.raises(error, match=message):
            s.execute(*args)
        s.execute("select n")

    @pytest.mark.parametrize("rows", ["ab", 7, {"a": 1}, ["ab"], [7]])
    def test_wrong_rows(self, world, rows):
        """The rows of executemany are a list of parameters."""
        with pytest.raises(TypeError, match="rows"):
            world.db("h").executemany("insert", rows)

    def test_executemany(self, world):
        """Any iterable gives the rows."""
        world.postgresql.answers["insert"] = found()
        world.db("h").executemany("insert", ([n] for n in (1, 2))).wait()
        assert world.log[1] == ((1,), (2,))

    def test_refused(self, world):
        """A refused statement is status 2, code 501, and raises what the driver raised."""
        world.postgresql.answers["bad"] = refused("bad thing")
        s = world.db("h")
        s.execute("bad")
        result = s.getwait()
        assert (result.status, result.code, result.msg, result.data) == (2, 501, "bad thing", [])
        for _ in range(2):
            with pytest.raises(DriverError, match="bad thing") as raised:
                result.reraise()
            assert raised.value is not result.error
        with pytest.raises(DriverError):
            s.wait()

    def test_time_out(self, world):
        """A statement that takes too long is cancelled."""
        s = world.db("h")
        s.execute("slow")
        assert s.getwait(2).status == 1
        assert world.postgresql.waiting["slow"].called
        with pytest.raises(OperationTimeout):
            s.wait(2)

    def test_filter(self, world):
        """A filter sees the result where the app waits."""
        world.postgresql.answers["n"] = found(4)

        def double(result):
            result.data = [result.scalar() * 2]
            return result

        s = world.db("h", filter=double)
        s.execute("n")
        assert s.getwait().data == [8]


class TestClusters:
    def test_map(self, world):
        """Every member is asked; the rows of those that succeeded come in the order of the members."""
        world.postgresql.answers["n"] = found(1)
        s = world.db.map("@main")
        s.execute("n")
        with pytest.raises(TypeError, match=r"write call\.getswait\(\)"):
            list(s)
        results = s.getswait()
        assert results.status == [3, 3]
        assert [row.n for row in results.rows()] == [1, 1]
        assert world.log == [("a", "n"), ("b", "n")]

    def test_map_with_failures(self, world):
        """Members that fail give no rows."""
        world.postgresql.answers["n"] = refused()
        s = world.db.map("@main")
        s.execute("n")
        assert s.getswait().rows() == []

    def test_explicit_server(self, world):
        """With a server of its own, map asks that one."""
        world.postgresql.answers["n"] = found(1)
        s = world.db.map("h")
        s.execute("n")
        assert s.getswait().rows() == [{"n": 1}]

    @pytest.mark.parametrize("sql", ["select n", "insert into t values (1)"])
    def test_unreached_members(self, world, sql):
        """A member that cannot be reached is replaced by another, for any statement."""
        world.postgresql.answers[sql] = unreached()
        s = world.db.lb("@main")
        s.execute(sql)
        assert s.getwait().status == 2
        assert world.log == [("a", sql), ("b", sql)]
        assert [member.failures for member in world.harness.clusters["main"].members] == [1, 1]

    @pytest.mark.parametrize(("sql", "asked"), [("select n", 2), ("insert into t values (1)", 1)])
    def test_connection_lost(self, world, sql, asked):
        """After a loss in the middle, only what reads is executed elsewhere."""
        world.postgresql.answers[sql] = OSError("lost")
        s = world.db.lb("@main")
        s.execute(sql)
        assert s.getwait().status == 2
        assert len(world.log) == asked

    def test_refused_statement(self, world):
        """A refused statement says nothing about the member."""
        world.postgresql.answers["bad"] = refused()
        s = world.db("@main")
        s.execute("bad")
        assert s.getwait().code == 501
        assert [member.failures for member in world.harness.clusters["main"].members] == [0, 0]


class TestFakeWas:
    """An app's own tests, with scripted answers."""

    @pytest.fixture
    def fake(self):
        service = DatabaseService()
        service.add(FakeEngine())
        with FakeWas(services={"db": service}, clusters={"main": 2}) as fake:
            yield fake

    def test_statement(self, fake):
        """A statement gets the rows of the script, and is recorded."""
        fake.reply("db", "@main", [Row(n=1)])
        s = was.db("@main")
        s.execute("select %s", (1,))
        assert s.getwait().scalar() == 1
        (request,) = fake.requests
        assert (request.args, request.request.sql, request.request.params) == (("@main",), "select %s", (1,))

    def test_transaction(self, fake):
        """So do the statements of a transaction, which may fail and is rolled back then."""
        fake.reply("db", "@main", [{"n": 1}], times=2)
        with was.db.transaction("@main") as tx:
            assert tx.execute("one").getwait().first().n == 1
            with tx.transaction() as inner:
                assert inner.execute("two").getwait().first() == {"n": 1}
        assert [request.request.sql for request in fake.requests] == ["one", "two"]
        fake.reply("db", "@main", refused())
        with pytest.raises(DriverError), was.db.transaction("@main") as tx:
            tx.execute("three")

    def test_target_as_written(self, fake):
        """A database is named in the script as the app writes it."""
        fake.reply("db", "db.test", [{"n": 1}])
        assert was.db("db.test", DB_PGSQL).execute("select n").getwait().scalar() == 1

    def test_notifications(self, fake):
        """Nobody sends notifications."""
        with was.db.listen("@main", "news") as notes:
            notes.wait()
            assert notes.get(1) is None
