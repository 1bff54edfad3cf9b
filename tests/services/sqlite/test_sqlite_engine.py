"""Statements on files, in threads."""

import datetime
import os
import sqlite3
from pathlib import Path

import pytest
from zope.interface.verify import verifyObject

from skitai import DB_SQLITE3
from skitai.errors import MisuseError, UnsentError
from skitai.services.db.interfaces import IEngine, RefusedError


class TestNodes:
    def test_engine(self, files):
        """It is an engine of ``was.db``."""
        assert verifyObject(IEngine, files.engine)
        assert files.engine.dbtype == DB_SQLITE3

    @pytest.mark.parametrize(
        ("name", "label"),
        [
            ("a.db", "{folder}/a.db"),
            ("sub/../b.db", "{folder}/b.db"),
            ("~/a.db", "{folder}/~/a.db"),
            ("/tmp/x.db", "/tmp/x.db"),
            (":memory:", ":memory:"),
            (":memory:carts", ":memory:carts"),
        ],
    )
    def test_paths(self, files, name, label):
        """A relative path counts from the folder of the config."""
        node = files.engine.node(name, None, None, None)
        assert node.label == label.format(folder=files.folder)
        if not node.in_memory:  # a member must have its folder
            Path(node.label).parent.mkdir(parents=True, exist_ok=True)
        assert node == files.engine.member(name, {}) == files.engine.member(name, {"read_only": "no"})

    @pytest.mark.parametrize("name", ["", " ", "a\0b"])
    def test_no_name(self, files, name):
        """A file needs a name that there can be."""
        with pytest.raises(ValueError, match=r"needs a name|NUL"):
            files.engine.node(name, None, None, None)

    @pytest.mark.parametrize("args", [("a", "d", None, None), ("a", None, "u", None), ("a", None, None, "p")])
    def test_no_users(self, files, args):
        """SQLite has neither users nor passwords."""
        with pytest.raises(ValueError, match="no dbname, user or password"):
            files.engine.node(*args)

    def test_members(self, files):
        """The members of a cluster may be read only; those in memory cannot."""
        assert files.engine.member("a", {"read_only": "yes"}).read_only
        with pytest.raises(ValueError, match="read_only: must be yes or no"):
            files.engine.member("a", {"read_only": "perhaps"})
        with pytest.raises(ValueError, match="nobody could write"):
            files.engine.member(":memory:", {"read_only": "yes"})

    def test_strange_names(self, files):
        """Characters of URIs are characters of the name."""
        files.execute("create table t (a)", name="100%25?mode=memory#x").reraise()
        assert (files.folder / "100%25?mode=memory#x").stat().st_size > 0

    @pytest.mark.parametrize("url", ["postgresql://u:secret@h/d", "sqlite:///a.db", "file:///a.db"])
    def test_urls(self, files, url):
        """A URL, such as another library or another database has it, is no path; no password is repeated."""
        with pytest.raises(ValueError, match="the path of a file, and no URL") as raised:
            files.engine.member(url, {})
        assert "secret" not in str(raised.value)

    def test_no_notifications(self, files):
        """SQLite does not notify anybody."""
        with pytest.raises(RefusedError, match="MisuseError: SQLite has no notifications"):
            files.loop.call(files.engine.listen, files.node(), type("Wanted", (), {"channel": "c"}))


class TestResults:
    def test_rows(self, files):
        """Rows are dicts in the order of the columns, with attributes."""
        files.execute("insert into t values (1, 'x'), (2, null)").reraise()
        result = files.execute("select b, a from t order by a")
        assert (result.status, result.code, result.rowcount) == (3, 200, 2)
        assert [list(row.items()) for row in result] == [[("b", "x"), ("a", 1)], [("b", None), ("a", 2)]]
        assert result.first().b == "x"
        assert [column[0] for column in result.description] == ["b", "a"]

    @pytest.mark.parametrize(
        ("sql", "rows"),
        [
            ("with x as (select 5 as a) select * from x", [{"a": 5}]),
            ("values (1), (2)", [{"column1": 1}, {"column1": 2}]),
            ("pragma user_version", [{"user_version": 0}]),
            ("insert into t values (7, 8) returning a + 1 as c", [{"c": 8}]),
            ("with x as (select 9) insert into t select 9, 9 from x returning b", [{"b": 9}]),
            ("select a from t", []),
        ],
    )
    def test_what_gives_rows(self, files, sql, rows):
        """A statement gives rows if SQLite says so, whatever its first word is."""
        result = files.execute(sql)
        assert (result.status, result.data, result.rowcount) == (3, rows, len(rows))
        assert result.description is not None

    def test_explain(self, files):
        """EXPLAIN executes nothing."""
        assert files.execute("explain delete from t").data[0].opcode == "Init"
        assert files.execute("explain query plan select * from t").data[0].detail == "SCAN t"

    @pytest.mark.parametrize(
        ("sql", "rowcount"),
        [
            ("insert into t values (1, 1), (2, 2)", 2),
            ("update t set a = 5", 3),
            ("with x as (select 1) delete from t where a in (select 1 from x)", 3),
            ("/* all */ delete from t where b < 0", 0),
            ("create table u (a)", -1),
            ("vacuum", -1),
            ("-- nothing", 0),
        ],
    )
    def test_what_gives_none(self, files, sql, rowcount):
        """Without rows, ``data`` is empty and ``rowcount`` says how many were changed."""
        files.execute("insert into t values (1, 1), (1, 1), (1, 1)").reraise()
        result = files.execute(sql)
        assert (result.status, result.data, result.description, result.rowcount) == (3, [], None, rowcount)

    def test_types(self, files):
        """Values come back as they went in."""
        values = [None, 1, -(2**63), 1.5, "ü\0x", b"\0\xff", ""]
        row = files.execute("select ? as a, ? as b, ? as c, ? as d, ? as e, ? as f, ? as g", values).first()
        assert list(row.values()) == values

    @pytest.mark.parametrize("params", [(1, "x"), [1, "x"], {"a": 1, "b": "x", "unused": 0}])
    def test_parameters(self, files, params):
        """Values are bound in order or by name."""
        places = ":a, :b" if isinstance(params, dict) else "?, ?"
        files.execute(f"insert into t values ({places})", params).reraise()
        assert files.execute("select * from t").data == [{"a": 1, "b": "x"}]

    @pytest.mark.parametrize(
        "text", ["'; drop table t; --", "\\", '"', "%s", ":a", "?", "\0", "x" * 1_000_000]
    )
    def test_parameters_are_data(self, files, text):
        """What is bound is never read as SQL."""
        files.execute("insert into t values (?, ?)", (text, 1)).reraise()
        assert files.values() == [text]
        assert files.execute("select b from t where a = :a", {"a": text}).scalar() == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("sql", "params", "error"),
        [
            ("select ?", None, sqlite3.ProgrammingError),
            ("select ?", (), sqlite3.ProgrammingError),
            ("select ?", (1, 2), sqlite3.ProgrammingError),
            ("select :a", {"b": 1}, sqlite3.ProgrammingError),
            ("select ?", {"a": 1}, sqlite3.ProgrammingError),
            ("select ?", (object(),), sqlite3.ProgrammingError),
            ("select ?", (2**63,), OverflowError),
            ("select ?", ("\ud800",), UnicodeEncodeError),
            ("select 1; select ?", (1,), sqlite3.ProgrammingError),
            ("select '", None, sqlite3.OperationalError),
            ("selekt 1", None, sqlite3.OperationalError),
            ("select * from missing", None, sqlite3.OperationalError),
            ("insert into u values (1)", None, sqlite3.IntegrityError),
            ("select cast(x'ff' as text)", None, sqlite3.OperationalError),
        ],
    )
    def test_statement(self, files, sql, params, error):
        """A statement that SQLite refuses is a result with its own exception; the file is well."""
        files.execute("create table u (a primary key); insert into u values (1)").reraise()
        result = files.execute(sql, params)
        assert (result.status, result.code, result.data) == (2, 501, [])
        assert type(result.error) is error
        assert result.msg.startswith(error.__name__)
        with pytest.raises(error) as caught:
            result.reraise()
        assert getattr(caught.value, "sqlite_errorname", None) == result.diagnostics.get("sqlite_errorname")

    def test_places_of_postgresql(self, files):
        """Whoever writes a place as for PostgreSQL is told how SQLite has it."""
        result = files.execute("select %s", (1,))
        assert result.msg.endswith('near "%": syntax error (the place of a value is ? or :name)')

    def test_what_is_kept(self, files):
        """The exception of a result holds no frame, and says what SQLite calls it."""
        files.execute("create unique index i on t (a); insert into t values (1, 1)").reraise()
        error = files.execute("insert into t values (1, 1)").error
        assert (error.__traceback__, error.__context__, error.__cause__) == (None, None, None)
        assert error.sqlite_errorname == "SQLITE_CONSTRAINT_UNIQUE"

    def test_hostile_parameter(self, files):
        """What a parameter's own method raises is the error of the statement."""

        class Hostile:
            def __conform__(self, protocol):
                raise ZeroDivisionError

        result = files.execute("select ?", (Hostile(),))
        assert (result.status, result.code) == (2, 501)
        assert files.execute("select 1").scalar() == 1

    @pytest.mark.parametrize(
        "sql", ["begin", "commit", "rollback", "savepoint a", "release a", "a; commit; b"]
    )
    def test_transactions(self, files, sql):
        """BEGIN and its like would leave a transaction to somebody else: they are refused."""
        result = files.execute(sql)
        assert (result.status, result.code) == (2, 501)
        with pytest.raises(MisuseError):
            result.reraise()

    def test_too_many_rows(self, make_files):
        """More rows than the limit are a failed result, and what RETURNING has changed is undone."""
        files = make_files(rows_max=3)
        files.execute("create table t (a); insert into t values (1), (2), (3)").reraise()
        assert len(files.execute("select * from t").data) == 3
        for sql in (
            "select 1 from t, t",
            "update t set a = 5 returning a, (select 1), 3",
            "values (1),(2),(3),(4)",
        ):
            files.execute("insert into t values (4)")
            result = files.execute(sql)
            assert (result.status, result.code, result.data) == (2, 501, [])
            assert "more than 3 rows (rows_max in the section [sqlite] of the config)" in result.msg
        files.execute("delete from t where a = 4")
        assert files.values() == [1, 2, 3]


class TestScripts:
    def test_readme(self, files):
        """The README's script makes a table, and a SELECT reads it."""
        files.execute("""
            drop table if exists people;
            create table people (name_last, age);
            insert into people values ('Cho', 42);
        """).reraise()
        assert files.execute("select * from people;").data == [{"name_last": "Cho", "age": 42}]

    def test_rolled_back(self, files):
        """An error undoes the whole script, new tables included."""
        result = files.execute(
            "create table u (a); insert into t values (1, 1); insert into missing values (1)"
        )
        assert type(result.error) is sqlite3.OperationalError
        assert files.values() == []
        assert files.values("select name from sqlite_schema where name = 'u'") == []

    def test_last_result(self, files):
        """The result is that of the last statement."""
        assert files.execute("insert into t values (1, 1); select a from t; values (5)").data == [
            {"column1": 5}
        ]
        assert files.execute("select 1; insert into t values (1, 1), (2, 2);").rowcount == 2

    def test_triggers(self, files):
        """A trigger has semicolons of its own."""
        files.execute(
            "create trigger r after insert on t begin update t set b = ';'; update t set a = 5; end;"
            "insert into t values (1, 2)"
        ).reraise()
        assert files.execute("select * from t").data == [{"a": 5, "b": ";"}]

    def test_dump(self, files, tmp_path):
        """What SQLite dumps can be executed as it is."""
        files.execute("insert into t values (1, 'x;y')").reraise()
        with sqlite3.connect(files.folder / "a.db") as db:
            dump = "\n".join(db.iterdump())
        db.close()
        files.execute("PRAGMA foreign_keys=OFF;\n" + dump, name="copy.db").reraise()
        assert files.execute("select * from t", name="copy.db").data == [{"a": 1, "b": "x;y"}]

    def test_attach(self, files):
        """A script may attach another file before its transaction."""
        files.execute("create table u (a); insert into u values (42)", name="b.db").reraise()
        path = files.folder / "b.db"
        files.execute(f"attach '{path}' as other; insert into t select a, a from other.u").reraise()
        assert files.values() == [42]

    def test_vacuum(self, files):
        """VACUUM works alone; in a script SQLite refuses it, as in any transaction."""
        assert files.execute("vacuum").status == 3
        assert "VACUUM" in files.execute("vacuum; select 1").msg

    def test_long(self, files):
        """A long script does not hold up the reactor while it is taken apart."""
        script = "".join(f"insert into t values ({number}, 'x');" for number in range(2000))
        files.execute(script).reraise()
        assert files.execute("select count(*) from t").scalar() == 2000


class TestMany:
    def test_all(self, files):
        """A statement is executed for each row."""
        assert files.executemany("insert into t values (?, ?)", [(1, 2), (3, 4)]).rowcount == 2
        files.executemany("update t set b = :b where a = :a", [{"a": 1, "b": 9}, {"a": 3, "b": 8}]).reraise()
        assert files.values("select b from t") == [9, 8]

    @pytest.mark.parametrize("rows", [[(1, 1), (2,)], [(1, 1), (object(), 1)], [(1, 1), (1, 1)]])
    def test_or_nothing(self, files, rows):
        """One that fails leaves nothing behind."""
        files.execute("create unique index i on t (a)").reraise()
        result = files.executemany("insert into t values (?, ?)", rows)
        assert (result.status, result.code) == (2, 501)
        assert files.values() == []

    @pytest.mark.parametrize("sql", ["select ?, ?", "insert into t values (?, ?); select 1", "begin"])
    def test_other_statements(self, files, sql):
        """It is for one statement that changes rows."""
        assert files.executemany(sql, [(1, 2)]).status == 2
        assert files.values() == []

    def test_no_rows(self, files):
        """Without rows nothing is done."""
        assert files.executemany("insert into t values (?, ?)", []).rowcount == 0


class TestConnections:
    """What one user leaves on a connection."""

    @pytest.mark.parametrize(
        "sql",
        [
            "pragma case_sensitive_like = 1",
            "select 1; pragma case_sensitive_like = 1",
            "pragma query_only = 1",
        ],
    )
    def test_settings(self, files, sql):
        """A setting ends with the statement that sets it."""
        files.execute(sql).reraise()
        assert files.execute("insert into t values ('a' like 'A', 1)").status == 3
        assert files.values() == [1]

    def test_settings_of_the_file(self, files):
        """A setting of the file stays."""
        files.execute("pragma user_version = 7").reraise()
        assert files.execute("pragma user_version").scalar() == 7

    def test_temporary_tables(self, files):
        """A temporary table is gone with its script."""
        for _ in range(2):
            files.execute(
                "create temp table x (a); insert into x values (1); insert into t select a, 1 from x"
            )
        assert files.values() == [1, 1]

    @pytest.mark.parametrize("foreign_keys", [True, False])
    def test_foreign_keys(self, make_files, foreign_keys):
        """Foreign keys are checked where the config says so, as SQLite does not by itself."""
        files = make_files(foreign_keys=foreign_keys)
        files.execute("create table p (a primary key); create table c (a references p)").reraise()
        assert files.execute("insert into c values (1)").status == (2 if foreign_keys else 3)

    def test_wal(self, files):
        """The log of a file is not left behind."""
        assert files.execute("pragma journal_mode").scalar() == "wal"
        files.execute("insert into t values (1, 1)").reraise()
        files.execute("select 1").reraise()
        assert sorted(path.name for path in files.folder.iterdir()) == ["a.db", "a.db-shm", "a.db-wal"]
        files.close()
        assert [path.name for path in files.folder.iterdir()] == ["a.db"]

    def test_descriptors(self, make_files):
        """What is closed has no descriptors."""
        before = len(os.listdir("/proc/self/fd"))
        files = make_files()
        for number in range(5):
            files.execute("create table t (a); select 1", name=f"{number}.db").reraise()
            files.execute("select 1 from t", name=f"{number}.db").reraise()
        assert len(os.listdir("/proc/self/fd")) > before
        files.close()
        assert len(os.listdir("/proc/self/fd")) == before

    def test_closed(self, files):
        """After its end the engine takes nothing."""
        files.close()
        with pytest.raises(UnsentError, match="the server is stopping"):
            files.execute("select 1")
        with pytest.raises(UnsentError, match="the server is stopping"):
            files.begin()


class TestMemory:
    def test_shared(self, files):
        """All requests see the same database, by its name."""
        for name in (":memory:", ":memory:x"):
            files.execute("create table t (a)", name=name).reraise()
            files.execute("insert into t values (?)", (name,), name=name).reraise()
        assert files.values(name=":memory:") == [":memory:"]
        assert files.values(name=":memory:x") == [":memory:x"]

    def test_of_its_instance(self, make_files):
        """Another instance has another one."""
        make_files().execute("create table t (a)", name=":memory:").reraise()
        assert make_files().execute("select * from t", name=":memory:").status == 2

    def test_takes_turns(self, files):
        """There is one connection: who reads waits for a transaction, and does not see what it undoes."""
        files.execute("create table t (a)", name=":memory:").reraise()
        transaction = files.begin(":memory:")
        transaction.execute("insert into t values (1)").reraise()
        reading = files.start("select count(*) as n from t", name=":memory:")
        assert not reading.called
        transaction.rollback()
        assert files.outcome(reading).scalar() == 0

    def test_readonly(self, files):
        """A transaction that only reads is held to that, and nobody else is."""
        files.execute("create table t (a)", name=":memory:").reraise()
        transaction = files.begin(":memory:", readonly=True)
        assert transaction.execute("insert into t values (1)").status == 2
        transaction.commit()
        assert files.execute("insert into t values (1)", name=":memory:").status == 3

    def test_keeps_its_data(self, files):
        """Neither a setting nor an error loses what is in memory."""
        files.execute(
            "create table t (a); insert into t values (1); pragma cache_size = 5", name=":memory:"
        ).reraise()
        files.execute("create temp table x (a)", name=":memory:").reraise()
        files.execute("nonsense", name=":memory:")
        assert files.values(name=":memory:") == [1]


class TestValues:
    def test_dates(self, files):
        """Dates are bound as the standard library's module does it: as texts."""
        moment = datetime.datetime(2026, 11, 29, 1, 2, 3, tzinfo=datetime.UTC)
        files.execute("insert into t values (?, 1)", (datetime.date(2026, 11, 29),)).reraise()
        files.execute("insert into t values (:when, :what)", {"when": moment, "what": None}).reraise()
        files.executemany("insert into t values (?, 3)", [(moment.replace(tzinfo=None),), (4,)]).reraise()
        assert files.values() == ["2026-11-29", "2026-11-29 01:02:03+00:00", "2026-11-29 01:02:03", 4]

    def test_adapters_of_the_app(self, files):
        """What the app has told sqlite3 to bind dates as holds here, too."""
        before = sqlite3.adapters[datetime.date, sqlite3.PrepareProtocol]
        sqlite3.register_adapter(datetime.date, lambda value: value.toordinal())
        try:
            files.execute("insert into t values (?, 1)", (datetime.date(1, 1, 2),)).reraise()
        finally:
            sqlite3.register_adapter(datetime.date, before)
        assert files.values() == [2]
