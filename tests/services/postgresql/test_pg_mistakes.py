"""What people get wrong with PostgreSQL, and what they are told."""

import psycopg
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


@pytest.mark.parametrize("begin", ["begin", "START TRANSACTION"])
def test_a_transaction_that_a_statement_leaves_open(world, uri, begin):
    """What is rolled back, because its transaction has no end, does not seem to have succeeded."""
    result = world.ask(uri, f"{begin}; insert into mistakes values (1)")
    with pytest.raises(MisuseError, match=r"left a transaction open.*was\.db\.transaction"):
        result.reraise()
    assert world.ask(uri, "select * from mistakes").data == []
    assert world.ask(uri, f"{begin}; insert into mistakes values (2); commit").status == 3
    assert world.ask(uri, "delete from mistakes returning n").data == [{"n": 2}]
