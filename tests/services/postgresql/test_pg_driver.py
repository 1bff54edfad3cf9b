"""One connection to a real PostgreSQL: results, values, errors."""

import copy
import datetime
import json
import pickle
import socket
import threading
import uuid
from decimal import Decimal

import psycopg
import psycopg2
import pytest
from pg_driven import LIMITS, Driven, failure_of, open_descriptors, parameters
from psycopg2.extras import DateTimeTZRange, NumericRange
from twisted.internet.defer import CancelledError
from twisted.logger import globalLogPublisher

from serving import eventually
from skitai.errors import NORMAL, OperationError, UnsentError
from skitai.services.db.query import Query, query
from skitai.services.postgresql import fetching
from skitai.services.postgresql.driver import Connection
from skitai.services.postgresql.limits import Limits
from wire import PATIENCE


@pytest.fixture(scope="module")
def driven(reactor_thread, postgres, database):
    driven = Driven(reactor_thread, parameters(postgres, database))
    yield driven
    driven.close()


@pytest.fixture
def lone(reactor_thread, postgres, database):
    """A connection that the test may lose, and that leaves nothing behind."""
    before = open_descriptors()
    driven = Driven(reactor_thread, parameters(postgres, database))
    yield driven
    driven.close()
    eventually(lambda: open_descriptors() <= before, "the end of the sockets")


@pytest.fixture
def log():
    """What is logged meanwhile."""
    events = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


def nested(depth):
    """Return lists within lists."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


class TestResults:
    def test_rows(self, driven):
        """A SELECT gives rows with the names and the order of its columns, and how many there are."""
        result = driven.run("select 1 as b, 'x' as a union all select 2, 'y' order by b")
        assert (result.status, result.code, result.rowcount) == (3, 200, 2)
        assert result.data == [{"b": 1, "a": "x"}, {"b": 2, "a": "y"}]
        assert [column[0] for column in result.description] == ["b", "a"]
        assert result.first().a == "x"

    def test_no_rows(self, driven):
        """A statement that gives no rows has none, and tells how many it has changed."""
        made = driven.run("create temp table none (a int)")
        assert (made.status, made.data, made.description, made.rowcount) == (3, [], None, -1)
        changed = driven.run("insert into none values (1), (2)")
        assert (changed.data, changed.rowcount) == ([], 2)
        empty = driven.run("select a from none where a > 5")
        assert (empty.data, empty.rowcount, len(empty.description)) == ([], 0, 1)

    def test_several_statements(self, driven):
        """Several statements in one text give the result of the last one, however long each takes."""
        sql = "select repeat('x', 30000); select pg_sleep(0.05); select 3 as n"
        assert driven.run(sql).data == [{"n": 3}]

    def test_percent_is_data_without_parameters(self, driven):
        """Without parameters the text goes to the server as it is."""
        assert driven.scalar("select '%s %% %(a)s'") == "%s %% %(a)s"
        assert driven.scalar("select '%%' || %s", ["%s"]) == "%%s"

    def test_many_rows_in_steps(self, driven):
        """While the rows of a large result are made, the reactor has its turns."""
        turns = []

        def turn():
            turns.append(True)
            if turning:
                driven.loop.reactor.callLater(0, turn)

        turning = [True]
        driven.loop.call(turn)
        begun = driven.begin("select i, i * 2 as j from generate_series(1, 10000) i")
        eventually(lambda: begun.over)
        turning.clear()
        assert [row.j for row in begun.outcome.data] == list(range(2, 20002, 2))

    def test_long_statements(self, driven):
        """A statement of megabytes is sent in pieces."""
        text = "äx" * 1_000_000
        assert driven.scalar("select length(%s)", [text]) == 2_000_000

    @pytest.mark.parametrize("end", ["cancel", "close"])
    def test_the_end_while_rows_are_made(self, lone, monkeypatch, end):
        """A result is given as a whole or not at all, and cancelling it costs no connection."""
        next_rows = fetching._next

        def end_at_the_second_step(*args):
            steps.append(next_rows(*args))
            if len(steps) == 2:
                assert begin_over.wait(PATIENCE)
                begun.cancel_now() if end == "cancel" else lone.connection.close()
            return steps[-1]

        steps, begin_over = [], threading.Event()
        monkeypatch.setattr(fetching, "_STEP", 1)
        monkeypatch.setattr(fetching, "_next", end_at_the_second_step)
        begun = lone.begin("select array[i, i, i, i]::text[] from generate_series(1, 100) i")
        begin_over.set()
        eventually(lambda: begun.over)
        assert len(steps) == 2
        if end == "cancel":
            assert isinstance(begun.outcome, CancelledError)
            assert lone.when_idle() is True
            assert lone.scalar("select 1") == 1
        else:
            assert begun.outcome.message == "the connection was lost: the connection was closed"

    def test_types_of_an_app(self, driven):
        """A type that an app has registered, and that fails, is a failed result."""

        def fail(value, cursor):
            raise RuntimeError("not today")

        oid = driven.scalar("select 'money'::regtype::oid::int")
        kind = psycopg2.extensions.new_type((oid,), "MONEY", fail)
        psycopg2.extensions.register_type(kind)
        try:
            result = driven.run("select 1::money")
        finally:
            del psycopg2.extensions.string_types[oid]
        assert (result.status, result.code) == (2, 501)
        assert "not today" in result.msg
        assert driven.scalar("select 1") == 1

    def test_transactions_are_the_servers(self, lone):
        """Whether a transaction is open is what the server says."""
        connection = lone.connection
        assert not connection.in_transaction
        lone.run("begin")
        assert connection.in_transaction
        assert lone.run("select 1/0").status == 2
        assert connection.in_transaction
        lone.run("rollback")
        assert not connection.in_transaction


class TestValues:
    @pytest.mark.parametrize(
        ("sql", "value"),
        [
            ("1.50::numeric", Decimal("1.50")),
            ("1.5::float8", 1.5),
            ("9223372036854775807", 2**63 - 1),
            ("true", True),
            ("null", None),
            ("'äöü€😀'", "äöü€😀"),
            (
                "'2026-03-01 12:00+02'::timestamptz at time zone 'UTC'",
                datetime.datetime(2026, 3, 1, 10),
            ),
            ("'2026-03-01'::date", datetime.date(2026, 3, 1)),
            ("'1 day 2 hours'::interval", datetime.timedelta(1, 7200)),
            ("'00112233-4455-6677-8899-aabbccddeeff'::uuid", uuid.UUID(int=0x112233445566778899AABBCCDDEEFF)),
            ("'{\"a\": [1, null]}'::json", {"a": [1, None]}),
            ('\'{"a": {"b": 1.5}}\'::jsonb', {"a": {"b": 1.5}}),
            ("array[1, 2, null]", [1, 2, None]),
            ("array[['a'], ['b']]", [["a"], ["b"]]),
            (
                "array['00112233-4455-6677-8899-aabbccddeeff'::uuid]",
                [uuid.UUID(int=0x112233445566778899AABBCCDDEEFF)],
            ),
            ("'[1,5)'::int4range", NumericRange(1, 5)),
            ("'\\x0001ff'::bytea", b"\0\x01\xff"),
            ("array['\\x00'::bytea, null]", [b"\0", None]),
            ("'sad'::mood", "sad"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_types(self, driven, sql, value):
        """Values have the types that psycopg gives them; bytea is bytes, and uuid a UUID."""
        driven.run(
            "do $$ begin create type mood as enum ('sad', 'ok'); exception when others then null; end $$"
        )
        found = driven.scalar(f"select {sql}")
        assert found == value
        assert type(found) is type(value)

    def test_timestamps_keep_their_zone(self, driven):
        """A timestamptz knows its moment."""
        found = driven.scalar("select '2026-03-01 12:00+02'::timestamptz")
        assert found == datetime.datetime(2026, 3, 1, 10, tzinfo=datetime.UTC)

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ("o'clock \\ %s \" ; -- $1 \n", "text"),
            ("x" * 100_000, "text"),
            (None, "text"),
            (True, "bool"),
            (-5, "int"),
            (2**40, "bigint"),
            (10**30, "numeric"),
            (Decimal("-1.50"), "numeric"),
            (1e-300, "float8"),
            (b"\0'\\\xff", "bytea"),
            ({"a": {"b": ["'", None, "\\"]}}, "jsonb"),
            ([{"a": 1}, {"a": 2}], "jsonb[]"),
            ([1, 2], "int[]"),
            ([], "int[]"),
            (["a'", None], "text[]"),
            (uuid.UUID(int=5), "uuid"),
            ([uuid.UUID(int=5)], "uuid[]"),
            (datetime.date(2026, 1, 2), "date"),
            (datetime.datetime(2026, 1, 2, 3, tzinfo=datetime.UTC), "timestamptz"),
            (datetime.timedelta(hours=5), "interval"),
            (NumericRange(1, 5), "int4range"),
            (
                DateTimeTZRange(datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), None, "[)"),
                "tstzrange",
            ),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_there_and_back(self, driven, value, kind):
        """A parameter comes back as it was, whatever its characters, plain and from the fifth use on."""
        for _ in range(6):
            assert driven.scalar(f"select %s::{kind} as v", [value]) == value
            assert driven.scalar(f"select %(v)s::{kind} as v", {"v": value}) == value

    def test_rows_as_parameters(self, driven):
        """A row of one result is JSON for the next statement."""
        row = driven.run("select 1 as a, 'x' as b").first()
        assert driven.scalar("select %s::jsonb", [row]) == {"a": 1, "b": "x"}

    def test_lists_for_in(self, driven):
        """A tuple stands for the values of IN, a list for an array."""
        for _ in range(6):
            assert driven.scalar("select 2 in %s", [(1, 2)]) is True
            assert driven.scalar("select 2 = any(%s)", [[1, 2]]) is True

    def test_the_apps_psycopg2_stays_as_it_was(self, driven):
        """What the driver converts is not converted for the rest of the process."""
        with pytest.raises(psycopg2.ProgrammingError, match="can't adapt type 'dict'"):
            psycopg2.extensions.adapt({"a": 1}).getquoted()

    @pytest.mark.parametrize(
        ("sql", "params", "words"),
        [
            ("select %s", [object()], "can't adapt type 'object'"),
            ("select %s", [{1, 2}], "can't adapt type 'set'"),
            ("select %s", [{"a": object()}], "not JSON serializable"),
            ("select %s", ["a\0b"], "NUL"),
            ("select %s", ["\ud800"], "surrogates not allowed"),
            ("select %s, %s", [1], "fewer values than places"),
            ("select %s", [1, 2], "more values than places"),
            ("select %(a)s", {"b": 1}, "there is no parameter 'a'"),
            ("select %s", {"a": 1}, "need a tuple or a list"),
            ("select %(a)s", [1], "need a dict of values"),
            ("select %d", [1], "a place is %s"),
            ("select 5 % 3, %s", [1], "write %% for a %"),
            ("select ?", [1], "write %s for each"),
            ("select $1", [1], "write %s for each"),
            ("select %s", [nested(20_000)], "recursion"),
            ("select %s", [{"a": nested(20_000)}], "recursion"),
        ],
    )
    def test_wrong_parameters(self, driven, sql, params, words):
        """Wrong parameters are a failed result, and the connection is well."""
        result = driven.run(sql, params)
        assert (result.status, result.code) == (2, 501)
        assert words in result.msg
        with pytest.raises(psycopg2.ProgrammingError, match=words):
            result.reraise()
        assert driven.scalar("select 1") == 1

    def test_what_python_cannot_have(self, driven):
        """A value that Python's types have no place for is a failed result."""
        result = driven.run("select '0044-03-15 BC'::date")
        assert (result.status, result.code) == (2, 501)
        assert result.msg == "DataError: Python cannot have a value of the result: year -44 is out of range"
        with pytest.raises(psycopg2.DataError):
            result.reraise()
        text = "[" * 5000 + "]" * 5000
        deep = driven.run(f"select '{text}'::json as value")
        if deep.status == NORMAL:  # Python 3.13 reads what is nested deeper than other releases do
            assert json.dumps(deep.data[0].value) == text
        else:
            assert deep.code == 501
            assert "recursion" in deep.msg
        assert driven.scalar("select 1") == 1


class TestErrors:
    def test_refused_statements(self, driven):
        """A refused statement is a result with the driver's exception, its code, and what the server said."""
        driven.run("create temp table once (a int primary key)")
        driven.run("insert into once values (1)")
        result = driven.run("insert into once values (%s)", [1])
        assert (result.status, result.code, result.data) == (2, 501, [])
        assert result.msg.startswith("UniqueViolation: duplicate key value violates")
        assert result.diagnostics["constraint_name"] == "once_pkey"
        assert result.diagnostics["message_detail"] == "Key (a)=(1) already exists."
        with pytest.raises(psycopg2.errors.UniqueViolation) as caught:
            result.reraise()
        assert caught.value.pgcode == "23505"

    def test_kept_errors_hold_nothing(self, driven):
        """The exception of a result holds no cursor, no frames and no other exception."""
        error = driven.run("select 1/0").error
        assert (error.cursor, error.__traceback__, error.__context__, error.__cause__) == (None,) * 4
        assert error.pgerror.startswith("ERROR:  division by zero")
        assert pickle.loads(pickle.dumps(error)).pgcode == copy.copy(error).pgcode == "22012"

    @pytest.mark.parametrize(
        ("code", "name"),
        [
            ("40P01", "DeadlockDetected"),
            ("40001", "SerializationFailure"),
            ("55P03", "LockNotAvailable"),
            ("53200", "OutOfMemory"),
            ("57014", "QueryCanceled"),
        ],
    )
    def test_errors_of_a_healthy_server(self, driven, code, name):
        """What passes by keeps its class, and the connection."""
        result = driven.run(f"do $$ begin raise exception 'x' using errcode = '{code}'; end $$")
        assert type(result.error).__name__ == name
        assert result.error.pgcode == code
        assert not driven.connection.closed
        assert driven.scalar("select 1") == 1

    def test_statement_timeout(self, driven):
        """A statement that the server ends is refused, not cancelled."""
        driven.run("set statement_timeout = 50")
        result = driven.run("select pg_sleep(5)")
        driven.run("set statement_timeout = 0")
        assert (result.status, result.error.pgcode) == (2, "57014")

    @pytest.mark.parametrize("sql", ["", "-- nothing", ";"])
    def test_empty_statements(self, driven, sql):
        """A statement of nothing is refused."""
        result = driven.loop.call(driven.connection.run, Query(sql))
        assert (result.status, result.code) == (2, 501)
        assert driven.scalar("select 1") == 1

    @pytest.mark.parametrize("sql", ["copy (select 1) to stdout", "copy pg_class from stdin"])
    def test_copy(self, lone, sql):
        """COPY to or from the client is refused, and its connection is not used again."""
        result = lone.run(sql)
        assert (result.status, result.code) == (2, 501)
        assert "COPY" in result.msg
        assert lone.connection.closed

    def test_one_statement_at_a_time(self, lone):
        """A second statement at once is not sent."""
        begun = lone.begin("select pg_sleep(0.1)")
        error = failure_of(lone.loop, lone.connection.run, query("select 1"))
        assert isinstance(error, UnsentError)
        assert error.message == "the connection is running"
        eventually(lambda: begun.over)
        assert begun.outcome.status == 3


class TestLimits:
    def test_rows(self, driven):
        """A result of too many rows has failed, and no row of it is made."""
        result = driven.run("select i from generate_series(1, 10001) i")
        assert (result.status, result.code, result.data) == (2, 501, [])
        assert result.msg == "the result has 10001 rows; rows_max allows 10000"
        with pytest.raises(OperationError, match="rows_max"):
            result.reraise()
        assert driven.run("select i from generate_series(1, 10000) i").rowcount == 10000

    @pytest.mark.parametrize(
        "sql",
        [
            # More than the kernel's buffer holds: what the first read takes is not counted.
            "select repeat('x', 1000) from generate_series(1, 20000)",
            "select repeat('x', 20000000)",
            "select 1 from generate_series(1, 2000000); select 2",
            "do $$ begin for i in 1..100000 loop raise notice '%', repeat('x', 100); end loop; end $$",
        ],
    )
    def test_bytes(self, lone, sql):
        """What has too many bytes is not read to its end: it has failed, and the connection is closed."""
        result = lone.run(sql)
        assert (result.status, result.code) == (2, 501)
        assert result.msg == "the result has more than 1048576 bytes (bytes_max)"
        assert lone.connection.closed
        assert lone.lost == []

    def test_bytes_of_each_statement(self, driven):
        """Each statement may have as many bytes as the limit says."""
        for _ in range(5):
            assert len(driven.scalar("select repeat('x', 900000)")) == 900_000


class TestConnecting:
    @pytest.mark.parametrize(
        ("more", "words"),
        [
            ({"port": "1"}, "127.0.0.1:1 refused the connection"),
            ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
            ({"user": "nobody"}, 'role "nobody" does not exist'),
            ({"sslmode": "require"}, "server does not support SSL, but SSL was required"),
            ({"sslmode": "verify-full", "sslrootcert": "/nowhere"}, "SSL"),
            ({"port": "many"}, 'invalid integer value "many"'),
            ({"hots": "x"}, 'invalid connection option "hots"'),
        ],
    )
    def test_refusals(self, reactor_thread, postgres, database, more, words):
        """What prevents a connection is said in one line, without the password, and leaves nothing behind."""
        before = open_descriptors()
        options = (
            parameters(postgres, database, password="secret", **more)
            if "port" not in more
            else {**parameters(postgres, database, password="secret"), **more}
        )
        error = failure_of(
            reactor_thread, Connection.connect, reactor_thread.reactor, options, Limits(**LIMITS)
        )
        assert isinstance(error, UnsentError)
        assert words in error.message
        assert "secret" not in repr(error)
        eventually(lambda: open_descriptors() <= before)

    def test_too_many_clients(self, reactor_thread, postgres, database):
        """A database whose connections are used up is busy."""
        with psycopg.connect(postgres.uri(), autocommit=True) as other:
            other.execute("create role restricted login connection limit 0")
        options = {**parameters(postgres, database), "user": "restricted"}
        error = failure_of(
            reactor_thread, Connection.connect, reactor_thread.reactor, options, Limits(**LIMITS)
        )
        assert error.message.endswith('too many connections for role "restricted"')
        assert error.code == 707

    def test_cancelling(self, reactor_thread):
        """Giving up on a server that does not answer closes the socket at once."""
        before = open_descriptors()
        with socket.create_server(("127.0.0.1", 0)) as silent:
            options = {"host": "127.0.0.1", "port": str(silent.getsockname()[1]), "user": "x"}

            def connect():
                connecting = Connection.connect(reactor_thread.reactor, options, Limits(**LIMITS))
                reactor_thread.reactor.callLater(0.05, connecting.cancel)
                return connecting

            assert isinstance(failure_of(reactor_thread, connect), CancelledError)
            peer, _ = silent.accept()
            with peer:
                peer.settimeout(5)
                assert peer.recv(1000)
                assert peer.recv(1000) == b""
        assert open_descriptors() <= before

    def test_the_server_ends_while_connecting(self, reactor_thread):
        """A server that closes the connection at once is named."""
        with socket.create_server(("127.0.0.1", 0)) as rude:
            port = str(rude.getsockname()[1])
            options = {"host": "127.0.0.1", "port": port, "user": "x"}

            def connect():
                connecting = Connection.connect(reactor_thread.reactor, options, Limits(**LIMITS))
                reactor_thread.reactor.callInThread(lambda: [rude.accept()[0].close() for _ in range(2)])
                return connecting

            error = failure_of(reactor_thread, connect)
        assert isinstance(error, UnsentError)
        assert f"127.0.0.1:{port}" in error.message


class TestLoss:
    def test_while_idle(self, lone, postgres, log):
        """A connection that the server closes while it is idle says so once, and nothing is logged."""
        with psycopg.connect(postgres.uri(), autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", [lone.pid])
        eventually(lambda: lone.lost)
        assert lone.connection.closed
        assert not lone.connection.busy
        lone.close()
        assert lone.lost == [True]
        error = failure_of(lone.loop, lone.connection.run, query("select 1"))
        assert isinstance(error, UnsentError)
        assert [event for event in log if "log_failure" in event] == []

    def test_in_the_middle(self, lone, postgres, log):
        """A statement whose connection is lost fails at once, and tells why."""
        begun = lone.begin("select pg_sleep(30)")
        with psycopg.connect(postgres.uri(), autocommit=True) as other:
            other.execute("select pg_terminate_backend(%s)", [lone.pid])
        eventually(lambda: begun.over)
        error = begun.outcome
        assert type(error) is OperationError
        assert error.code == 700
        assert error.message.startswith("the connection was lost: terminating connection")
        assert lone.connection.closed
        assert lone.when_idle() is False
        assert lone.lost == []
        assert [event for event in log if "log_failure" in event] == []

    @pytest.mark.parametrize("code", ["08006", "08001", "57P01"])
    def test_of_another_one(self, lone, code):
        """What a function says of its connection to another server, as dblink does, is no loss of ours."""
        sql = f"do $$ begin raise sqlstate '{code}' using message = 'the other server'; end $$"
        result = lone.run(sql)
        assert (result.status, result.code, result.error.pgcode) == (2, 501, code)
        assert lone.run("select 1").scalar() == 1

    def test_closing_in_the_middle(self, lone):
        """Closing fails the statement under way."""
        begun = lone.begin("select pg_sleep(30)")
        lone.close()
        assert begun.outcome.message == "the connection was lost: the connection was closed"


class TestNotifications:
    def test_they_come_while_idle(self, lone, driven):
        """Notifications are told at once, with their sender."""
        lone.run('listen "c"')
        driven.run("select pg_notify('c', %s)", ["one"])
        eventually(lambda: lone.notes)
        assert lone.notes == [("c", "one", driven.pid)]

    def test_they_come_with_a_result(self, lone):
        """Notifications that come with a statement's result are told, too."""
        lone.run("listen c")
        lone.run("notify c, 'mine'")
        assert lone.notes == [("c", "mine", lone.pid)]
