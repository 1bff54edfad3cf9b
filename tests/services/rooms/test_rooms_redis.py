"""One room on two servers over a real Redis, which is lost and comes back in the middle."""

import json
from contextlib import ExitStack

import pytest
from eventsource import EventSource
from websockets.sync.client import connect

from databases import Redis
from serving import FIXTURE_APPS, eventually
from wire import PATIENCE

CONFIG = """
[server]
port = 0
ip = 127.0.0.1
threads = {threads}
access_log = off
bus = redis

[redis]
url = redis://{redis.host}:{redis.port}/0

[routes:line]
/ = {folder}/chatrooms:app
"""


class World:
    """Two servers, one after the other asked."""

    def __init__(self, start, redis, threads):
        self.redis = redis
        config = CONFIG.format(threads=threads, folder=FIXTURE_APPS, redis=redis)
        self.servers = [start(config) for _ in range(2)]
        self.opened = ExitStack()

    def connect(self, which, target="/coroutine/a?last="):
        url = f"ws://127.0.0.1:{self.servers[which].port}{target}"
        return self.opened.enter_context(connect(url, open_timeout=PATIENCE, compression=None))

    def listen(self, which, target="/events/a", **options):
        source = self.opened.enter_context(EventSource(self.servers[which].port, target, **options))
        source.opened()
        return source

    def send(self, which, text, room="a"):
        return self.servers[which].ask(f"/send/{room}", "POST", body=text.encode()).body.decode()

    def who(self, which):
        return json.loads(self.servers[which].ask("/who/a").body)["who"]


@pytest.fixture
def world(running_server, tmp_path, threads):
    redis = Redis(tmp_path)
    world = World(running_server, redis, threads)
    with world.opened:
        yield world
    for server in world.servers:
        server.stop()
        assert "Traceback" not in server.log_text()
    redis.stop()


def envelope(ws):
    return json.loads(ws.recv(PATIENCE))


def test_one_room(world):
    """Members of both servers hear the same, in one order, and see who is there."""
    sockets = [world.connect(which) for which in (0, 1)]
    sources = [world.listen(which, f"/events/a?who=reader{which}") for which in (0, 1)]
    assert [envelope(ws)["missed"] for ws in sockets] == [False, False]
    for which in (0, 1):
        eventually(lambda which=which: sorted(world.who(which)) == ["reader0", "reader1"], "the presence")
    for number in range(20):
        sockets[number % 2].send(str(number))
    heard = [[envelope(ws) for _ in range(20)] for ws in sockets]
    assert heard[0] == heard[1]
    assert sorted(int(message["data"]) for message in heard[0]) == list(range(20))
    read = [[(event.id, event.data) for event in source.take(20)] for source in sources]
    assert read[0] == read[1] == [(message["id"], message["data"]) for message in heard[0]]
    sources[0].client.close()
    eventually(lambda: world.who(1) == ["reader1"], "the leaving")


def test_coming_back_to_the_other_server(world):
    """A position of one server is one of the other, too."""
    seen = world.send(0, "one")
    world.send(1, "two")
    ws = world.connect(1, f"/coroutine/a?last={seen}")
    assert envelope(ws) == {"id": seen, "missed": False}
    assert envelope(ws)["data"] == "two"


def test_redis_is_lost(world):
    """Members of one server keep talking; all learn that something may be missing, and hear what follows."""
    first, second, other = world.connect(0), world.connect(0), world.connect(1)
    for ws in (first, second, other):
        assert envelope(ws)["missed"] is False
    first.send("before")
    assert {envelope(ws)["data"] for ws in (first, second, other)} == {"before"}
    world.redis.kill()
    first.send("meanwhile")
    assert [envelope(ws) for ws in (first, second)] == [{"id": None, "data": "meanwhile"}] * 2
    world.redis.start()  # it has forgotten everything
    assert [envelope(ws)["missed"] for ws in (first, second, other)] == [True] * 3
    world.send(1, "after")
    assert {envelope(ws)["data"] for ws in (first, second, other)} == {"after"}
