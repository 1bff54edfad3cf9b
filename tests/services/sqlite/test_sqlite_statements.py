"""What the text of a statement says."""

import time

import pytest

from skitai.errors import MisuseError
from skitai.services.sqlite.statements import parse, parse_short

READING = [
    "select 1",
    " \n-- a comment; with a semicolon\n/* and ; another */ SELECT 1;",
    "values (1), (2)",
    "explain insert into t values (1)",
    "explain query plan select 1",
    "with x as (select 1) select * from x",
    "with recursive x(a) as (values (1) union select a + 1 from x) values (3)",
    "pragma table_info(t)",
    "pragma main.table_info('t')",
    "select 1; select 2",
    "select 'insert', \"update\", [delete], `drop`",
]
WRITING = [
    "insert into t values (1)",
    "with x as (select 1) insert into t select * from x",
    "with x as (select 1), y as materialized (select 2) delete from t where a in (select 1)",
    "replace into t values (1)",
    "pragma user_version = 3",
    "pragma user_version",
    "vacuum",
    "create table t (a)",
    "select 1; delete from t",
    "reindex",
    "'select'",
    "nonsense",
]
TRIGGER = """create temp trigger r after insert on t begin
    update t set a = case when a = 1 then ';' else 2 end;
    delete from u;
end"""
SPLIT = [
    ("", []),
    (";;; -- nothing\n;", []),
    ("a; b ;c", ["a", "b", "c"]),
    ("a ';' ; b \";\" ; [;] `;`", ["a ';'", 'b ";"', "[;] `;`"]),
    ("a 'it''s; b'; c", ["a 'it''s; b'", "c"]),
    ("a -- ;\n; b /* ; */", ["a -- ;", "b /* ; */"]),
    ("a '; b", ["a '; b"]),
    ("a /* ; b", ["a /* ; b"]),
    ("a [; b", ["a [; b"]),
    (f"{TRIGGER}; select 1", [TRIGGER, "select 1"]),
    ("create trigger end; select 1", ["create trigger end; select 1"]),
    ("create table trigger (a); select 1", ["create table trigger (a)", "select 1"]),
    ("create; select 1", ["create", "select 1"]),
]


@pytest.mark.parametrize("sql", READING)
def test_reading(sql):
    """A statement that only reads needs no turn of the writer."""
    assert parse(sql).reads_only


@pytest.mark.parametrize("sql", WRITING)
def test_writing(sql):
    """All others may write."""
    assert not parse(sql).reads_only


@pytest.mark.parametrize(("sql", "statements"), SPLIT)
def test_scripts(sql, statements):
    """A script is split at its semicolons, but not at those of texts, names, comments and triggers."""
    script = parse(sql)
    assert [statement.text.strip() for statement in script.settings + script.statements] == statements


def test_settings():
    """What SQLite refuses in a transaction may stand before it, and a dump brings its own."""
    script = parse("pragma foreign_keys = off; attach 'x' as x; begin transaction; a; b; commit;")
    assert [statement.verb for statement in script.settings] == ["PRAGMA", "ATTACH"]
    assert [statement.verb for statement in script.statements] == ["A", "B"]
    assert parse("begin immediate; a; end").statements[0].verb == "A"


@pytest.mark.parametrize(
    "sql",
    ["begin", "commit", "end", "rollback", "rollback transaction", "a; commit; b", "begin; a", "a; rollback"],
)
def test_transactions(sql):
    """A statement that begins or ends a transaction is refused: it would meet that of somebody else."""
    with pytest.raises(MisuseError, match=r"was\.db\.transaction\(\) spans several calls"):
        parse(sql)


@pytest.mark.parametrize("sql", ["savepoint a", "release a", "rollback to a", "rollback transaction to a"])
def test_savepoints(sql):
    """Savepoints are for transactions and scripts."""
    assert parse(sql).within
    assert not parse(f"{sql}; select 1").within


@pytest.mark.parametrize(
    ("sql", "soils"),
    [
        ("pragma case_sensitive_like = 1", True),
        ("pragma table_info(t)", False),
        ("attach 'x' as x", True),
        ("create temp table x (a)", True),
        ("create table temp.x (a)", True),
        ("create table x (a)", False),
        ("insert into temp values (1)", False),
        ("select 1; pragma temp_store = 1", True),
    ],
)
def test_what_stays_on_a_connection(sql, soils):
    """What changes its connection is known, so that the next user gets another."""
    assert parse(sql).soils is soils


@pytest.mark.parametrize(
    ("sql", "as_one"),
    [
        ("insert into t values (1)", False),
        ("insert into t values (1); insert into t values (2)", True),
        ("insert into t values (1) returning a", True),
        ("vacuum", False),
        ("pragma foreign_keys = off; vacuum", False),
    ],
)
def test_what_needs_a_transaction(sql, as_one):
    """One statement is done as a whole by SQLite itself."""
    assert parse(sql).as_one is as_one


@pytest.mark.parametrize("piece", ["'", '"', "[", "`", "/*", "--", "-", ";", "(", "a;", "' ; ", "@", "1"])
@pytest.mark.parametrize("begin", ["", "create trigger ", "with x as "])
def test_time(begin, piece):
    """The time grows with the length of the text, whatever it holds."""

    def seconds(count):
        began = time.thread_time()
        parse(begin + piece * count)
        return time.thread_time() - began

    seconds(10)
    shorter, longer = (min(seconds(count) for _ in range(3)) for count in (5_000, 50_000))
    assert longer < max(40 * shorter, 0.1)


def test_kept():
    """A text is taken apart once."""
    assert parse_short("select 42") is parse_short("select 42")
