"""Rows, keys of the cache, and what only reads."""

import copy
import pickle
import sys
from datetime import date
from decimal import Decimal

import pytest

from skitai.errors import OperationError
from skitai.services.db.keys import cache_key
from skitai.services.db.query import query, query_of_many
from skitai.services.db.reading import reads_only
from skitai.services.db.result import DBResult
from skitai.services.db.rows import Row, rows_of
from skitai.services.db.timing import StatementTimes


class TestRows:
    def test_order_and_attributes(self):
        """A row is a dict in the order of the columns, whose values are attributes."""
        (row,) = rows_of(["b", "a", "items"], [(1, None, 3)])
        assert list(row) == ["b", "a", "items"]
        assert (row.b, row.a, row["items"]) == (1, None, 3)
        assert next(iter(row.items())) == ("b", 1)
        assert row == {"b": 1, "a": None, "items": 3}

    def test_no_such_column(self):
        """A column that is not there is named, with those that are."""
        with pytest.raises(AttributeError, match="no column 'c'; there are: a, b"):
            Row(a=1, b=2).c  # noqa: B018

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, lambda row: pickle.loads(pickle.dumps(row))]
    )
    def test_copies(self, duplicate):
        """A row can be copied and pickled."""
        twin = duplicate(Row(a=[1]))
        assert (type(twin), twin.a) == (Row, [1])


class TestKeys:
    @pytest.mark.parametrize(
        "other",
        [
            query("select %s", (True,)),
            query("select %s", (1.0,)),
            query("select %s", ("1",)),
            query("select %s"),
            query("select  %s", (1,)),
            query("select %s", {"a": 1}),
        ],
    )
    def test_different(self, other):
        """Other statements and parameters, equal ones of other types too, have other keys."""
        assert cache_key("node", query("select %s", (1,))) != cache_key("node", other)

    @pytest.mark.parametrize(("one", "other"), [(0.0, -0.0), (Decimal("1.0"), Decimal("1.00"))])
    def test_equal_values_with_other_texts(self, one, other):
        """So do values that are equal and have another text."""
        assert cache_key(None, query("select %s", (one,))) != cache_key(None, query("select %s", (other,)))

    def test_different_nodes(self):
        """So do other databases."""
        assert cache_key("a", query("select 1")) != cache_key("b", query("select 1"))

    @pytest.mark.parametrize("params", [[1, [2, 3], date(2026, 1, 1)], {"a": b"x", "b": None}])
    def test_same(self, params):
        """The same statement with equal parameters has the same key, which can be hashed."""
        keys = {
            cache_key(None, query("select", params)),
            cache_key(None, query("select", copy.deepcopy(params))),
        }
        assert len(keys) == 1
        assert None not in keys

    def test_none(self):
        """What cannot be compared has no key."""
        assert cache_key(None, query("select", [{1}])) is None
        assert cache_key(None, query_of_many("insert", [(1,)])) is None


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1", True),
        (" SELECT 1 ;", True),
        ("-- update\nselect 1 /* delete */", True),
        ("select 'insert; update', \"delete\"", True),
        ("with a as (select 1) select * from a", True),
        ("values (1)", True),
        ("with a as (delete from t returning *) select * from a", False),
        ("select 1; drop table t", False),
        ("select * into t from s", False),
        ("select * from t for update", False),
        ("select nextval('s')", False),
        ("explain analyze delete from t", False),
        ("insert into t values (1)", False),
        ("drop table t", False),
        ("begin", False),
        ("/* nothing */", False),
        ("select 'it''s -- not' , 'x' -- ; update", True),
        (r"select E'it\'s', 'x; update'", True),
        (r"with n as (select E'\''), d as (delete from t returning 'x') select 1", False),
        ("with n as (select $$'$$), d as (delete from t returning 'x') select 1", False),
        ("select $a$; delete $$ '$a$", True),
        ("select 1 /* /* */ ' */; delete from t -- '", False),
    ],
)
def test_reads_only(sql, expected):
    """A statement that may change something is executed once only."""
    assert reads_only(sql) is expected


def test_long_texts_are_not_kept():
    """A long statement fills no memory when it is over."""
    text = "select '" + "x" * 20_000 + "'"
    times = StatementTimes(1)
    references = sys.getrefcount(text)
    assert reads_only(text)
    times.note(text, "h", 0.5)
    times.note(text, "h", 0.5)
    assert sys.getrefcount(text) == references
    assert [row["count"] for row in times.statistics()] == [2]


def test_reading_takes_time_in_proportion():
    """A long statement of hostile pieces is read in one go."""
    for piece in ("/*", "'", '"', "--", "/* * ", ";'", "$$", "$a$", "$", "e'\\", "a$b"):
        reads_only("select " + piece * 200_000)


@pytest.mark.parametrize("look", [list, DBResult.first, DBResult.scalar])
def test_no_answer_is_not_no_rows(look):
    """Who looks at the rows of a failed result gets what went wrong, and not an empty list."""
    with pytest.raises(OperationError, match="lost"):
        look(DBResult.failed(OperationError("lost")))
    assert DBResult.failed(OperationError("lost")).data == []
    assert look(DBResult()) in ([], None)
