"""Commands to a real Redis: their replies, their failures, and the connections below."""

import signal
import time

import pytest
from redis_world import Outcome

from serving import eventually
from skitai.errors import CODE_BUSY, CODE_CLOSED, CODE_SHUTDOWN, OperationError, OperationTimeout, UnsentError
from skitai.net.addresses import HostNode
from skitai.services.redis import link
from wire import PATIENCE


class TestReplies:
    def test_bytes_come_and_go_as_they_are(self, client):
        """No number is made of a text, and no text of bytes; an absent value is None."""
        for value in (b"12", b"1.50", b"\xff\x00\r\n", b"", b"QUEUED", "é".encode()):
            assert client.ask("SET", "tests:value", value) == b"OK"
            assert client.ask("GET", "tests:value") == value
        assert client.ask("GET", "tests:none") is None
        assert client.ask("STRLEN", "tests:value") == 2

    def test_what_looks_like_a_message_is_a_reply(self, client):
        """txredisapi's subscriber takes a list with "message" in its third last place for a message."""
        client.ask("DEL", "tests:list")
        client.ask("RPUSH", "tests:list", "message", "a", "b")
        assert client.ask("LRANGE", "tests:list", 0, -1) == [b"message", b"a", b"b"]

    def test_scripts(self, client):
        """A script gets keys and arguments."""
        assert client.script("return {KEYS[1], ARGV[1], ARGV[2], {1}}", ["k"], ["a", 7]) == [
            b"k", b"a", b"7", [1],
        ]  # fmt: skip
        client.ask("SCRIPT", "FLUSH")
        assert client.script("return 1") == 1

    def test_many_at_once_in_order(self, client, reactor_thread):
        """Each gets its own reply."""
        outcomes = [client.begin("ECHO", str(number), timeout=PATIENCE) for number in range(500)]
        assert [outcome.value() for outcome in outcomes] == [b"%d" % number for number in range(500)]

    def test_a_large_list_is_quick(self, client):
        """10,000 strings come in one reply."""
        numbers = [str(number) for number in range(10_000)]
        client.ask("DEL", "tests:list")
        client.ask("RPUSH", "tests:list", *numbers)
        assert client.ask("LRANGE", "tests:list", 0, -1) == [number.encode() for number in numbers]

    def test_redis_refuses(self, client, redis_server):
        """A command that Redis refuses fails with its words, and the connection goes on."""
        error = client.ask("GET")
        assert type(error) is OperationError
        assert "wrong number of arguments" in error.message
        assert error.node == HostNode(redis_server.host, redis_server.port)
        assert "boom" in client.script("return redis.error_reply('boom')").message
        assert client.ask("PING") == b"PONG"
        assert client.statistics()["failures"] == 2


class TestLoss:
    def test_killed_and_back(self, own_redis, client_of):
        """Commands fail at once while Redis is away, and work again when it is back; each is logged once."""
        server = own_redis()
        client = client_of(server)
        assert client.ask("PING") == b"PONG"
        server.stop(signal.SIGKILL)
        client.until_away()
        began = time.monotonic()
        errors = [client.ask("PING") for _ in range(20)]
        assert time.monotonic() - began < 5
        assert {type(error) for error in errors} == {UnsentError}
        assert "Redis is away" in errors[0].message
        eventually(lambda: client.statistics()["attempts"] > 3, "further attempts, which are not logged")
        server.start()
        client.until_up()
        assert client.ask("PING") == b"PONG"
        label = f"Redis {server.host}:{server.port}/0"
        away = f"{label} is away, it is tried again: "
        lines = client.log.lines
        assert lines[0] == lines[-1] == f"{label} is connected"
        assert lines[1] == f"{away}the connection was lost"
        assert lines[2].startswith(away)
        assert "refused" in lines[2]
        assert len(lines) == 4
        assert client.statistics()["connections_made"] == 2

    def test_under_way(self, own_redis, client_of):
        """What was sent fails when the connection is lost."""
        server = own_redis()
        client = client_of(server, timeout=30)
        client.ask("PING")
        server.signal(signal.SIGSTOP)
        outcomes = [client.begin("PING") for _ in range(10)]
        server.stop(signal.SIGKILL)
        errors = [outcome.value() for outcome in outcomes]
        assert {(type(error), error.code) for error in errors} == {(OperationError, CODE_CLOSED)}

    def test_stopped(self, own_redis, client_of):
        """A Redis that hangs fails commands in time, is found to be away, and is well when it goes on."""
        server = own_redis()
        client = client_of(server)
        client.ask("SET", "a", "1")
        server.signal(signal.SIGSTOP)
        began = time.monotonic()
        error = client.ask("GET", "a")
        assert 0.25 < time.monotonic() - began < 3
        assert type(error) is OperationTimeout
        client.until_away()
        assert type(client.ask("GET", "a")) is UnsentError
        server.signal(signal.SIGCONT)
        client.until_up()
        assert client.ask("GET", "a") == b"1"
        assert client.statistics()["timeouts"] == 1

    def test_stopped_while_idle(self, own_redis, client_of):
        """PINGs find it where nobody asks anything."""
        server = own_redis()
        client = client_of(server)
        client.ask("PING")
        server.signal(signal.SIGSTOP)
        client.until_away()
        assert any("no answer for 0.3 s" in line for line in client.log.lines)
        server.signal(signal.SIGCONT)

    def test_a_short_time_out_of_a_command_keeps_the_connection(self, own_redis, client_of):
        """A reply that comes late is not taken for that to another command."""
        client = client_of(own_redis(), timeout=60)
        client.ask("PING")
        late = client.begin("EVAL", "for i = 1, 1e7 do local j = i end return 'late'", 0, timeout=0.01)
        assert type(late.value()) is OperationTimeout
        assert client.ask("ECHO", "mine") == b"mine"
        assert client.statistics()["connections_made"] == 1

    def test_never_too_many(self, own_redis, client_of, monkeypatch):
        """Commands that are not answered are bounded, in number and in bytes."""
        monkeypatch.setattr(link, "UNANSWERED_MAX", 5)
        server = own_redis()
        client = client_of(server, timeout=1)
        client.ask("PING")
        server.signal(signal.SIGSTOP)
        outcomes = [client.begin("PING") for _ in range(8)]
        assert [outcome.over for outcome in outcomes] == [False] * 5 + [True] * 3
        assert outcomes[-1].value().code == CODE_BUSY
        monkeypatch.setattr(link, "UNANSWERED_BYTES_MAX", 10)
        server.signal(signal.SIGCONT)
        assert [outcome.value() for outcome in outcomes[:5]] == [b"PONG"] * 5
        server.signal(signal.SIGSTOP)
        large = client.begin("SET", "a", "x" * 20)
        assert client.ask("PING").code == CODE_BUSY
        server.signal(signal.SIGCONT)
        assert large.value() == b"OK"

    def test_before_the_first_connection(self, own_redis, client_of):
        """Commands wait for the first attempt, and fail with it."""
        server = own_redis()
        server.stop(signal.SIGKILL)
        client = client_of(server)
        error = client.ask("PING")
        assert type(error) is UnsentError
        assert "refused" in error.message

    def test_stopped_before_the_first_connection(self, own_redis, client_of):
        """The system takes the connection, but Redis does not answer the login."""
        server = own_redis()
        server.signal(signal.SIGSTOP)
        client = client_of(server, timeout=10, connect_timeout=0.3)
        error = client.ask("PING")
        assert type(error) is UnsentError
        assert "no answer within 0.3 s" in error.message
        server.signal(signal.SIGCONT)
        client.until_up()

    def test_the_stop(self, own_redis, client_of, reactor_thread):
        """At the stop what is under way fails; later commands fail at once."""
        server = own_redis()
        client = client_of(server, timeout=30)
        client.ask("PING")
        server.signal(signal.SIGSTOP)
        outcome = client.begin("PING")
        reactor_thread.call(client.client.close)
        assert outcome.value().message == "the server is stopping"
        assert client.ask("PING").code == CODE_SHUTDOWN

    def test_the_stop_while_connecting(self, own_redis, client_of, reactor_thread):
        """Nothing is left of an attempt."""
        server = own_redis()
        server.signal(signal.SIGSTOP)
        client = client_of(server, connect_timeout=30)
        outcome = client.begin("PING", timeout=30)
        reactor_thread.call(client.client.close)
        assert outcome.value().code == CODE_SHUTDOWN

    def test_cancelled(self, client, reactor_thread):
        """A command whose caller gives up is answered to nobody."""
        outcome = Outcome(reactor_thread, lambda: _cancelled(client.client.command("PING")))
        outcome.value()
        assert client.ask("ECHO", "mine") == b"mine"


def _cancelled(coroutine):
    from twisted.internet.defer import Deferred

    deferred = Deferred.fromCoroutine(coroutine)
    deferred.cancel()
    return deferred


class TestLogin:
    @pytest.fixture
    def server(self, own_redis):
        return own_redis("--requirepass", "s3cret")

    def test_password(self, server, client_of):
        """A database of one's own, and a password."""
        client = client_of(server, password="s3cret", database=3)
        assert client.ask("SET", "a", "1") == b"OK"
        assert b"db=3" in client.ask("CLIENT", "INFO") or b"db=3" in client.ask("CLIENT", "LIST")
        client = client_of(server, password="s3cret", user="default")
        assert client.ask("GET", "a") is None

    @pytest.mark.parametrize(("password", "text"), [("wr0ng", "WRONGPASS"), (None, "NOAUTH")])
    def test_refused(self, server, client_of, password, text):
        """It is said once what Redis says; the password is shown nowhere."""
        client = client_of(server, password=password)
        error = client.ask("PING")
        assert isinstance(error, UnsentError)
        assert text in error.message
        eventually(lambda: client.statistics()["attempts"] > 2, "further attempts")
        assert len(client.log.lines) == 1
        assert text in client.statistics()["state"]
        assert "wr0ng" not in f"{client.log.lines}{client.statistics()}{error}{client.client.settings!r}"

    def test_no_such_database(self, server, client_of):
        """A number that Redis does not have."""
        assert "out of range" in client_of(server, password="s3cret", database=99).ask("PING").message

    def test_too_many_clients(self, own_redis, tmp_path, client_of):
        """Redis says why it closes the connection."""
        server = own_redis("--maxclients", "1")
        assert client_of(server).ask("PING") == b"PONG"
        error = client_of(server).ask("PING")
        assert "max number of clients" in error.message


def test_another_kind_of_server(running_server, client_of):
    """What answers there speaks HTTP."""
    server = running_server("[server]\nip = 127.0.0.1\nport = 0\n")
    server.host = "127.0.0.1"
    error = client_of(server, timeout=PATIENCE).ask("PING")
    assert "does not speak as Redis does" in error.message
