"""What people get wrong with PostgreSQL, and what they are told."""

import psycopg
import psycopg2
import pytest
from pg_world import World

from skitai.errors import MisuseError


@pytest.fixture
def world(reactor_thread):
    world = World(reactor_thread)
    yield world
    world.close()


@pytest.fixture(scope="module")
def uri(postgres):
    """Where a database with an empty table is."""
    uri = postgres.uri(postgres.make_database())
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("create table mistakes (n int)")
    return uri


@pytest.mark.parametrize(
    ("sql", "params", "message"),
    [
        ("insert into mistakes values (?)", (1,), "write %s for each, not [?]"),
        ("insert into mistakes values (1)", (1,), "no place for them in the statement: write %s for each$"),
        ("insert into mistakes values (:n)", {"n": 1}, r"PostgreSQL takes %\(n\)s .*, not :n"),
    ],
)
def test_placeholders_of_others(world, uri, sql, params, message):
    """Who writes placeholders as SQLite has them is told how PostgreSQL does, also for many rows."""
    many = world.db(uri).executemany(sql, [params, params]).getwait(10)
    for result in (world.ask(uri, sql, params), many):
        assert (result.status, result.code) == (2, 501)
        with pytest.raises(psycopg2.ProgrammingError, match=message):
            result.reraise()


def test_colons_that_are_no_placeholders(world, uri):
    """A cast, a slice, a text and a comment have colons, too; a dict may have more than is used."""
    sql = "select ':n', (array[1,2])[1:n], 1::int from (values (2)) as t(n) -- :n"
    assert world.ask(uri, sql, {"n": 1, "int": 2}).status == 3


@pytest.mark.parametrize("begin", ["begin", "START TRANSACTION"])
def test_a_transaction_that_a_statement_leaves_open(world, uri, begin):
    """What is rolled back, because its transaction has no end, does not seem to have succeeded."""
    result = world.ask(uri, f"{begin}; insert into mistakes values (1)")
    with pytest.raises(MisuseError, match=r"left a transaction open.*was\.db\.transaction"):
        result.reraise()
    assert world.ask(uri, "select * from mistakes").data == []
    assert world.ask(uri, f"{begin}; insert into mistakes values (2); commit").status == 3
    assert world.ask(uri, "delete from mistakes returning n").data == [{"n": 2}]
