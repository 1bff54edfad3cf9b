"""Statements that are prepared from their fifth use on, and mean what they meant before."""

import datetime
import sys
import uuid
from decimal import Decimal

import pytest
from pg_driven import Driven, parameters

from skitai.services.postgresql import prepared
from skitai.services.postgresql.placeholders import template_of


@pytest.fixture
def driven(reactor_thread, postgres, database):
    driven = Driven(reactor_thread, parameters(postgres, database))
    driven.run("create temp table item as select i as id, 'n' || i as name from generate_series(1, 100) i")
    yield driven
    driven.close()


def statements(driven):
    """Return what the server has prepared."""
    rows = driven.run("select statement from pg_prepared_statements order by prepare_time, name").data
    return [row.statement for row in rows]


class TestTemplates:
    @pytest.mark.parametrize(
        ("sql", "template"),
        [
            ("select %s", "select $1"),
            ("  SELECT a FROM t WHERE b IN (%s, %s);", "  SELECT a FROM t WHERE b IN ($1, $2)"),
            ("select '%%', 'it''s', \"a%%\", %s", "select '%', 'it''s', \"a%\", $1"),
            ("select a -- 100%%\n where a like %s", "select a -- 100%\n where a like $1"),
            ("insert into t values (%s, %s)", "insert into t values ($1, $2)"),
            ("with x as (select 1) select 5 %% %s", "with x as (select 1) select 5 % $1"),
            ("select a from t order by a limit %s", "select a from t order by a limit $1"),
            ("select %s::int", "select $1::int"),
        ],
    )
    def test_places_in_order(self, sql, template):
        """A placeholder becomes a number; %% becomes what it stands for."""
        found = template_of(sql, True)
        assert found.sql == template
        assert found.keys == tuple(range(template.count("$")))

    def test_names(self):
        """Each place of a name has a number of its own."""
        found = template_of("select %(b)s, %(a)s, %(b)s", True)
        assert (found.sql, found.keys) == ("select $1, $2, $3", ("b", "a", "b"))

    def test_no_parameters(self):
        """Without parameters % is data."""
        assert template_of("select '%s', 5 % 3", False).sql == "select '%s', 5 % 3"

    @pytest.mark.parametrize(
        "sql",
        [
            "select '%s'",
            'select "%s"',
            "select 1 -- %s",
            "select /* %s */ 1",
            "select $$%s$$",
            "select $1, %s",
            "select 1; select %s",
            "select E'\\'%s'",
            "select 'open %s",
            "select * from t%s",
            "select %sx",
            "select N%s",
            "select '%s' || %s",
            "select 5 % 3",
            "select %d",
            "select a from t order by %s",
            "select a, b from t order by a, %s desc",
            "select a from t group by %s",
            "select distinct on (%s) a from t",
            "set x = %s",
            "create table t as select %s",
            "notify c, %s",
            "begin",
            "select " + ", ".join(["%s"] * 201),
        ],
    )
    def test_what_is_not_certain(self, sql):
        """Where a parameter is not allowed, or would mean something else, the statement stays as it is."""
        assert template_of(sql, True) is None


class TestUses:
    def test_from_the_fifth_use_on(self, driven):
        """A statement is prepared at its fifth use, once, with the types of its values."""
        sql = "select name from item where id = %s"
        for number in range(1, 5):
            assert driven.scalar(sql, [number]) == f"n{number}"
        assert statements(driven) == []
        for number in range(5, 9):
            assert driven.scalar(sql, [number]) == f"n{number}"
        (prepared_as,) = statements(driven)
        assert prepared_as == "PREPARE _skitai_1 (int4) AS select name from item where id = $1"

    def test_without_parameters(self, driven):
        """A statement without parameters is prepared, too."""
        for _ in range(6):
            assert driven.scalar("select count(*) from item where name like 'n1%'") == 12
        assert len(statements(driven)) == 1

    @pytest.mark.parametrize(
        ("value", "declared", "cast"),
        [
            (uuid.UUID(int=1), "uuid", "uuid"),
            ({"a": 1}, "unknown", "jsonb"),
            (datetime.time(1), "time", "time"),
            (b"x", "bytea", "bytea"),
        ],
    )
    def test_values_that_the_driver_wraps(self, driven, value, declared, cast):
        """Statements with such values are prepared, too."""
        for _ in range(6):
            assert driven.run(f"select %s::{cast}", [value]).status == 3
        (prepared_as,) = statements(driven)
        assert prepared_as.startswith(f"PREPARE _skitai_1 ({declared}) AS ")

    def test_integers(self, driven):
        """Integers of any size and sign mean what they meant before, alone and beside other values."""
        numbers = [0, -1, 1 << 31, -1 << 62, 1 << 70]
        for number in numbers * 6:
            assert driven.scalar("select %s + 1", [number]) == number + 1
            assert driven.scalar("select %(a)s - %(b)s", {"a": 5, "b": number}) == 5 - number
            assert driven.run("select %s + 1 as a, %s as b", [number, "x%s"]).first().b == "x%s"
        assert driven.scalar("select %s", [True]) is True
        failed = driven.run("select %s + 1", [10**5000])
        assert (failed.status, failed.code) == (2, 501)
        assert driven.scalar("select %s + 1", [1]) == 2

    def test_no_values(self, driven):
        """An empty tuple of values is not the same as none: with values, %% stands for %."""
        for _ in range(7):
            assert driven.scalar("select '%%'") == "%%"
            assert driven.scalar("select '%%'", ()) == "%"

    def test_prepare_no(self, reactor_thread, postgres, database):
        """With prepare = no nothing is prepared."""
        driven = Driven(reactor_thread, parameters(postgres, database), prepare=False)
        for _ in range(7):
            driven.scalar("select %s", [1])
        assert statements(driven) == []
        driven.close()

    def test_their_number_is_bounded(self, driven, monkeypatch):
        """Of many statements the last used ones stay prepared in the server."""
        monkeypatch.setattr(prepared, "PREPARED_MAX", 3)
        for number in range(6):
            for _ in range(6):
                assert driven.scalar(f"select {number} + %s", [1]) == number + 1
        kept = statements(driven)
        # The oldest one leaves the server with the next one that comes.
        assert [sql.rpartition("select ")[2] for sql in kept] == ["2 + $1", "3 + $1", "4 + $1", "5 + $1"]

    def test_counting_is_bounded(self, driven, monkeypatch):
        """Statements that come once do not fill the memory, nor do they hide those that come often."""
        monkeypatch.setattr(prepared, "_COUNTED_MAX", 10)
        for number in range(50):
            driven.scalar(f"select {number}")
        for _ in range(6):
            driven.scalar("select %s", [1])
        assert len(statements(driven)) == 1

    def test_long_texts_are_not_kept(self):
        """A long statement is executed as it is, and neither it nor its count fills the memory."""
        kept, text = prepared.PreparedStatements(), "select '" + "x" * 20_000 + "'"
        references = sys.getrefcount(text)
        assert [kept.choose(text, None, in_transaction=False) for _ in range(6)] == [None] * 6
        assert sys.getrefcount(text) == references


class TestMeaning:
    """What a statement gives does not change with its fifth use."""

    @pytest.mark.parametrize(
        ("sql", "params"),
        [
            ("select %s + 1 as a", [1.5]),
            ("select id + %s as a from item where id = 1", [Decimal("0.5")]),
            ("select %s / 2 as a", [5]),
            ("select %s / 2 as a", [Decimal("5")]),
            ("select %s / 2 as a", [Decimal("5.0")]),
            ("select pg_typeof(%s)::text as a", [2**31]),
            ("select pg_typeof(%s)::text as a", [-(2**31)]),
            ("select pg_typeof(%s)::text as a", [-(2**63)]),
            ("select pg_typeof(%s)::text as a", [2**63]),
            ("select pg_typeof(%s)::text as a", [True]),
            ("select pg_typeof(%s)::text as a", [datetime.date(2026, 1, 1)]),
            ("select pg_typeof(%s)::text as a", [datetime.datetime(2026, 1, 1)]),
            ("select pg_typeof(%s)::text as a", [b"x"]),
            ("select %s as a", [None]),
            ("select %s as a", ["text"]),
            ("select 'a' || %s as a", ["b"]),
            ("select '%%' || %s as a", ["%s"]),
            ("select '%%s' as a, %s as b", ["x"]),
            ("select id as a from item order by %s desc limit 3", [1]),
            ("select name as a from item where id in %s order by id", [(1, 2)]),
            ("select name as a from item where id = any(%s) order by id", [[1, 2]]),
            ("select interval %s as a", ["1 day"]),
            ("select date %s as a", ["2026-01-01"]),
            ("select extract(%s from date '2026-05-01')::int as a", ["month"]),
            ("select %s::date - 1 as a", ["2026-01-01"]),
            ("select %s::varchar(2) as a", ["long"]),
            ("select ('{\"a\": 1}'::jsonb) -> %s as a", ["a"]),
            ("select '{\"a\": 1}'::jsonb @> %s as a", [{"a": 1}]),
            ("select coalesce(%s, %s) as a", [None, 1]),
            ("select 1 as a where %s is null", [None]),
            ("select i as a from generate_series(1, %s) i limit %s", [5, 2]),
            ("select 5 %% %s as a", [3]),
            ("select - %s as a", [-5]),
            ("select %(x)s || %(y)s || %(x)s as a", {"x": "1", "y": "2"}),
        ],
    )
    def test_same_result(self, driven, sql, params):
        """The seventh use gives what the first one gave, in value and in type."""
        results = [driven.run(sql, params) for _ in range(7)]
        assert [result.msg for result in results] == ["OK"] * 7
        first = [(value, type(value)) for row in results[0].data for value in row.values()]
        for result in results[1:]:
            assert [(value, type(value)) for row in result.data for value in row.values()] == first
            assert result.description == results[0].description

    def test_other_types_later(self, driven):
        """Values of other types get a prepared statement of their own."""
        sql = "select %s + 1 as a"
        for value in [1, 1, 1, 1, 1, 1.5, 2**40, None, Decimal("0.1"), 1, "2"]:
            expected = None if value is None else (Decimal(str(value)) if isinstance(value, float) else value)
            expected = 3 if expected == "2" else None if expected is None else expected + 1
            assert driven.scalar(sql, [value]) == expected

    def test_statements_that_change_something(self, driven):
        """Prepared statements that change rows are executed once."""
        driven.run("create temp table n (a int)")
        for number in range(8):
            assert driven.run("insert into n values (%s) returning a", [number]).scalar() == number
            assert driven.run("update n set a = a where a <= %s", [number]).rowcount == number + 1
        assert driven.scalar("select count(*) from n") == 8


class TestFallingBack:
    def test_a_changed_table(self, driven):
        """When the columns of a table change, a statement is executed as it is, and prepared anew later."""
        driven.run("create temp table changing (a int)")
        for _ in range(6):
            driven.run("select * from changing where a > %s", [0])
        driven.run("alter table changing add b text")
        for _ in range(8):
            result = driven.run("select * from changing where a > %s", [0])
            assert result.status == 3
            assert [column[0] for column in result.description] == ["a", "b"]
        assert len(statements(driven)) == 1

    def test_a_changed_table_in_a_transaction(self, driven):
        """In a transaction that statement fails, and the next transaction is well."""
        driven.run("create temp table changing (a int)")
        for _ in range(6):
            driven.run("select * from changing where a > %s", [0])
        driven.run("alter table changing add b text")
        driven.run("begin")
        assert driven.run("select * from changing where a > %s", [0]).error.pgcode == "0A000"
        driven.run("rollback")
        driven.run("begin")
        assert driven.run("select * from changing where a > %s", [0]).status == 3
        driven.run("rollback")

    def test_forgotten_names(self, driven):
        """When somebody discards the prepared statements, theirs are executed all the same."""
        for sql in ("select 1 + %s", "select 2 + %s"):
            for _ in range(6):
                driven.run(sql, [1])
        driven.run("deallocate all")
        for _ in range(3):
            assert driven.scalar("select 1 + %s", [1]) == 2
            assert driven.scalar("select 2 + %s", [1]) == 3
        assert len(statements(driven)) == 2

    def test_nothing_is_prepared_in_a_transaction(self, driven):
        """Preparing may fail, which would end a transaction: it waits until there is none."""
        driven.run("begin")
        for _ in range(8):
            assert driven.scalar("select %s::int + 1", [1]) == 2
        assert statements(driven) == []
        driven.run("commit")
        driven.run("select %s::int + 1", [1])
        assert len(statements(driven)) == 1

    def test_what_cannot_be_prepared_is_tried_once(self, driven):
        """A statement that the server cannot prepare is executed as it is."""
        for _ in range(8):
            assert driven.scalar("select interval %s = '1 day'", ["1 day"]) is True
        assert statements(driven) == []

    def test_errors_of_prepared_statements(self, driven):
        """A prepared statement that fails gives the error that a plain one gives."""
        for _ in range(7):
            result = driven.run("select 1 / %s", [0])
            assert result.error.pgcode == "22012"
        for value in ["1"] * 7 + ["x"]:
            result = driven.run("select %s::int", [value])
        assert result.error.pgcode == "22P02"
