"""Results that processes share over a real Redis."""

import signal
from pathlib import Path

import pytest
from redis_world import Outcome

from serving import eventually
from skitai.services.redis import results
from skitai.services.redis.results import RedisResults

KEY = b"\x01" * 32


class Process:
    """What one process has: its results, and its own client of the shared Redis."""

    def __init__(self, client):
        self.client = client
        client.loop.call(client.client.start)
        client.until_up()
        self.results = RedisResults(10, client.loop.reactor.seconds, lambda: client.client)

    def call(self, method, *arguments):
        return self.client.loop.call(getattr(self.results, method), *arguments)

    def begin(self, key=KEY):
        return Outcome(self.client.loop, self.results.fetch, key)

    def fetch(self, key=KEY):
        found = self.begin(key).value()
        return found if found is None else found[0]


@pytest.fixture
def process(client_of, client, redis_server):
    client.ask("FLUSHALL")  # connected before the others, each of which counts what is there

    def make(server=redis_server):
        return Process(client_of(server, prefix="results:"))

    return make


@pytest.fixture
def patient(monkeypatch):
    """Looks may take long: the machine may be busy."""
    monkeypatch.setattr(results, "_LOOK_SECONDS", 5.0)


def keep(process, value=b"value", seconds=60):
    process.call("store", KEY, value, seconds)
    eventually(lambda: process.fetch() == value, "the value")


def expired(process, client):
    """Have a value that has expired."""
    keep(process)
    (name,) = client.ask("KEYS", "results:result:*")
    client.ask("HSET", name, "until", 1)


@pytest.mark.usefixtures("patient")
class TestTwoProcesses:
    def test_one_finds_what_another_keeps(self, process):
        """A value is there for all, with the rest of its life."""
        one, other = process(), process()
        assert other.fetch() is None
        one.call("store", KEY, b"\x00\xff", 60)
        eventually(lambda: other.fetch() == b"\x00\xff", "the value")
        assert 58 < other.begin().value()[1] <= 60
        assert other.call("statistics")["shared_hits"] >= 2

    def test_forgetting(self, process):
        """What one forgets is gone for all."""
        one, other = process(), process()
        keep(one)
        one.call("forget", KEY)
        eventually(lambda: other.fetch() is None, "the end")

    def test_many_who_miss_an_expired_value(self, process, client):
        """One brings a new value, and the others wait for it, in both processes."""
        one, other = process(), process()
        expired(one, client)
        asked = [each.begin() for each in (one, other) for _ in range(20)]
        eventually(lambda: any(each.over for each in asked), "the first")
        assert [each.value() for each in asked if each.over] == [None]
        one.call("store", KEY, b"new", 60)
        found = [each.value() for each in asked]
        assert [value and value[0] for value in found].count(b"new") == 39

    def test_nobody_brings_a_new_value(self, process, client, monkeypatch):
        """After a while the others go and ask themselves."""
        monkeypatch.setattr(results, "_LEASE_SECONDS", 0.2)
        one = process()
        expired(one, client)
        asked = [one.begin() for _ in range(3)]
        assert [each.value() for each in asked] == [None] * 3

    def test_a_key_that_is_never_kept(self, process):
        """Nobody waits for a value that nobody keeps."""
        one = process()
        asked = [one.begin() for _ in range(20)]
        assert [each.value() for each in asked] == [None] * 20

    def test_values_that_are_too_long(self, process, client):
        """They stay in their process."""
        one = process()
        one.call("store", KEY, b"x" * (1024 * 1024 + 1), 60)
        keep(one)
        assert client.ask("DBSIZE") == 1

    def test_redis_forgets_by_itself(self, process, client):
        """An expired value is remembered for a minute, and then gone."""
        keep(process(), seconds=30)
        (name,) = client.ask("KEYS", "results:result:*")
        assert 85_000 < client.ask("PTTL", name) <= 90_000


class TestTrouble:
    def test_redis_is_gone(self, process, own_redis):
        """There is nothing to find, and nothing waits."""
        server = own_redis()
        one = process(server)
        server.kill()
        one.client.until_away()
        assert one.fetch() is None
        one.call("store", KEY, b"value", 60)
        one.call("forget", KEY)

    def test_redis_is_slow(self, process, own_redis):
        """One look is given up soon, and for a second there is no other."""
        server = own_redis()
        one = process(server)
        server.signal(signal.SIGSTOP)
        asked = [one.begin() for _ in range(5)]
        assert [each.value() for each in asked] == [None] * 5
        assert one.begin().over
        server.signal(signal.SIGCONT)
        one.client.loop.call(setattr, one.results, "_rests_until", 0.0)
        one.client.until_up()
        one.call("store", KEY, b"value", 60)


@pytest.fixture(scope="module")
def servers(running_server, redis_server):
    """Two servers with one Redis."""
    text = "\n".join(
        (
            "[server]\nip = 127.0.0.1\nport = 0\nresult_cache = redis",
            f"[redis]\nurl = redis://127.0.0.1:{redis_server.port}/0\nprefix = servers:",
            f"[routes:line]\n/ = {Path(__file__).parent}/sharedviews:app",
        )
    )
    return [running_server(text, threads=threads) for threads in (0, 4)]


def test_two_servers(servers, client):
    """What a view of one server has kept, a view of the other finds: the upstream is asked once."""
    client.ask("FLUSHALL")
    url = f"{servers[0].url}number"
    here = f"/kept?url={url}"
    eventually(lambda: servers[0].ask(here).body.endswith(b"True"), "the first result")
    first = servers[0].ask(here).body.split()[0]
    # localhost is another one on each machine, and these are on one.
    found = eventually(lambda: (reply := servers[1].ask(here)).body.endswith(b"True") and reply, "the result")
    assert found.body.split()[0] == first
