"""Many rows at once: few round trips, all rows or none."""

import time

import psycopg
import psycopg2
import pytest
from pg_driven import Driven, parameters

from serving import eventually
from skitai.services.db.query import query_of_many
from skitai.services.postgresql import driver
from skitai.services.postgresql.many import messages_of


@pytest.fixture
def driven(reactor_thread, postgres, database):
    driven = Driven(reactor_thread, parameters(postgres, database))
    driven.run("create table item (id int primary key, name text default 'none', data jsonb)")
    yield driven
    driven.close()
    with psycopg.connect(postgres.uri(database), autocommit=True) as other:
        other.execute("drop table item")


@pytest.fixture
def messages(monkeypatch):
    """What is sent."""
    sent = []

    def noted(*args):
        for message in messages_of(*args):
            sent.append(message.sql)
            yield message

    monkeypatch.setattr(driver, "messages_of", noted)
    return sent


def count(driven):
    return driven.scalar("select count(*) from item")


class Cursor:
    """A cursor of psycopg2 for statements without places."""

    def mogrify(self, sql, _):
        return sql.encode()


class TestInserting:
    @pytest.mark.parametrize(
        "sql",
        [
            "insert into item (id, name) values (%s, %s)",
            "INSERT INTO public.item(id, name)\nVALUES ( %s , %s::text ) ;",
            'insert into "item" ("id", "name") values (%s, %s) on conflict do nothing',
            "insert into item values (%s, %s, default)",
            "insert into item values (%s, %s, null) on conflict (id) do nothing",
        ],
    )
    def test_one_statement(self, driven, messages, sql):
        """Rows of plain values go in one statement, which tells how many there were."""
        result = driven.run_many(sql, [(number, f"o'{number}%s\\") for number in range(100)])
        assert (result.status, result.rowcount, result.data) == (3, 100, [])
        assert len(messages) == 1
        assert messages[0].lower().count(b"insert") == 1
        assert driven.scalar("select name from item where id = 7") == "o'7%s\\"

    def test_names(self, driven):
        """Values may have names, and be JSON."""
        rows = [{"n": number, "d": {"a": [number]}} for number in range(10)]
        assert driven.run_many("insert into item (id, data) values (%(n)s, %(d)s)", rows).rowcount == 10
        assert driven.scalar("select data from item where id = 3") == {"a": [3]}

    def test_duplicates_that_are_left_out(self, driven):
        """What ON CONFLICT leaves out is not counted."""
        sql = "insert into item (id) values (%s) on conflict do nothing"
        assert driven.run_many(sql, [(1,), (1,), (2,)]).rowcount == 2

    def test_rows_that_change_each_other(self, driven):
        """Where a row may meet one of the same call, each has a statement of its own."""
        sql = (
            "insert into item (id, name) values (%s, %s) on conflict (id) do update set name = excluded.name"
        )
        assert driven.run_many(sql, [(1, "a"), (1, "b")]).rowcount == -1
        assert driven.scalar("select name from item") == "b"

    def test_expressions(self, driven):
        """An expression sees the rows that came before."""
        sql = "insert into item (id, name) values ((select count(*) from item) + 1, %s)"
        assert driven.run_many(sql, [("a",), ("b",)]).status == 3
        assert [row.id for row in driven.run("select id from item order by id")] == [1, 2]

    def test_pages(self, driven, messages):
        """A message has a bounded number of rows and bytes."""
        rows = [(number,) for number in range(2500)]
        assert driven.run_many("insert into item (id) values (%s)", rows).rowcount == 2500
        assert len(messages) == 3
        messages.clear()
        rows = [(number, "x" * 100_000) for number in range(3000, 3010)]
        assert driven.run_many("insert into item (id, name) values (%s, %s)", rows).rowcount == 10
        assert len(messages) == 5
        assert max(map(len, messages)) < 300_000
        assert count(driven) == 2510


@pytest.mark.parametrize(
    "sql",
    [
        "{}insert",
        "insert into item{}",
        "insert into item(id{}",
        "insert into item values (1){}x",
        "insert into item values ({}",
        "insert into item values (1{}",
        "insert into item values (1::int{}",
    ],
)
def test_long_white_space(sql):
    """What is no INSERT of plain values is seen in a time that grows no faster than the statement."""
    many = query_of_many(sql.format(" " * 50_000), [()])
    began = time.thread_time()
    (message,) = messages_of(Cursor(), many)
    assert time.thread_time() - began < 0.5
    assert message.sql == many.sql.encode()


class TestOtherStatements:
    def test_updates(self, driven, messages):
        """Other statements go many in one message; how many rows they change together is not known."""
        driven.run_many("insert into item (id) values (%s)", [(number,) for number in range(20)])
        messages.clear()
        rows = [(str(number), number) for number in range(20)]
        result = driven.run_many("update item set name = %s where id = %s -- note", rows)
        assert (result.status, result.rowcount) == (3, -1)
        assert len(messages) == 1
        assert driven.scalar("select count(*) from item where name = id::text") == 20

    def test_a_single_row(self, driven):
        """A single row tells its count."""
        driven.run("insert into item (id) values (1), (2)")
        assert driven.run_many("update item set name = %s", [("x",)]).rowcount == 2

    def test_no_rows(self, driven, messages):
        """Without rows nothing is sent."""
        assert driven.run_many("insert into item (id) values (%s)", []).rowcount == 0
        assert messages == []


class TestAllOrNothing:
    @pytest.mark.parametrize(
        "wrong", ["x", None, 5, object(), "a\0"], ids=["text", "null", "twice", "object", "nul"]
    )
    @pytest.mark.parametrize("position", [1, 2400])
    @pytest.mark.parametrize(
        "sql", ["insert into item (id) values (%s)", "insert into item (id) select %s::int"]
    )
    def test_a_wrong_row(self, driven, sql, wrong, position):
        """A row that is refused leaves nothing behind, wherever it stands, and the connection is well."""
        rows = [(number,) for number in range(2500)]
        rows.insert(position, (wrong,))
        result = driven.run_many(sql, rows)
        assert (result.status, result.code) == (2, 501)
        with pytest.raises(psycopg2.Error):
            result.reraise()
        assert not driven.connection.in_transaction
        assert count(driven) == 0

    def test_in_a_transaction(self, driven):
        """Within a transaction it is part of that."""
        driven.run("begin")
        rows = [(number,) for number in range(2500)]
        assert driven.run_many("insert into item (id) values (%s)", rows).rowcount == 2500
        assert driven.connection.in_transaction
        assert count(driven) == 2500
        driven.run("rollback")
        assert count(driven) == 0

    def test_cancelling(self, reactor_thread, driven, postgres, database):
        """What is cancelled in the middle leaves nothing behind once its connection is closed."""
        outcomes = []
        sql = "insert into item (id) select %s where pg_sleep(0.001) is not null"
        many_rows = query_of_many(sql, [(number,) for number in range(2500)])

        def run():
            running = driven.connection.run(many_rows)
            running.addBoth(outcomes.append)
            reactor_thread.reactor.callLater(0.2, running.cancel)

        reactor_thread.call(run)
        eventually(lambda: outcomes)
        driven.when_idle()
        assert driven.connection.in_transaction  # which tells the pool to close it
        driven.close()
        with psycopg.connect(postgres.uri(database)) as other:
            assert other.execute("select count(*) from item").fetchone() == (0,)
