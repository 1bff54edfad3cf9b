"""Sessions of Saddle apps in Redis: ``app.session_store = "redis"``."""

import pytest
from zope.interface.verify import verifyObject

from instances import RunningInstance, make_instance
from serving import FIXTURE_APPS, config_text
from skitai.interfaces import ISessionStore
from skitai.services.redis import connecting, plugin
from skitai.services.redis.sessions import RedisSessions

APP = FIXTURE_APPS / "sessionviews:session_app('redis')"


@pytest.fixture(scope="module")
def servers(running_server, redis_server):
    """Two servers with one Redis, one with greenlets and one with threads."""
    text = "\n".join(
        (
            "[server]\nip = 127.0.0.1\nport = 0",
            f"[redis]\nurl = redis://127.0.0.1:{redis_server.port}/0\nprefix = sessions:",
            f"[routes:line]\n/ = {APP}",
        )
    )
    return [running_server(text, threads=threads) for threads in (0, 4)]


def ask(server, path, cookie):
    """Return the body, and the cookie that the browser has afterwards."""
    page = server.ask(path, fields=[("Cookie", cookie)] if cookie else [])
    fields = page.all("Set-Cookie")
    if fields:
        pair, *attributes = fields[0].split("; ")
        cookie = "" if "max-age=0" in attributes else pair
    return page.body.decode(), cookie


@pytest.mark.parametrize("first", [0, 1], ids=["greenlets", "threads"])
def test_a_logout_ends_the_session_on_all_servers(servers, client, first):
    """What one server has begun the other knows, and an end is an end for each copy of the cookie."""
    client.ask("FLUSHALL")
    one, other = servers[first], servers[1 - first]
    _, cookie = ask(one, "/login/ann", "")
    assert [ask(server, path, cookie)[0] for server in servers for path in ("/who", "/async")] == ["ann"] * 4
    (key,) = client.ask("KEYS", "sessions:session:*")
    assert 290_000 < client.ask("PTTL", key) <= 300_000
    assert ask(other, "/logout", cookie) == ("out", "")
    assert client.ask("KEYS", "sessions:*") == []
    for server in servers:
        assert ask(server, "/who", cookie) == ("nobody", "")
        assert ask(server, "/async", cookie)[0] == "nobody"


def test_the_contract(client):
    """Redis forgets what expires, and replaces only what is there."""
    client.ask("FLUSHALL")
    sessions = RedisSessions(lambda: client.client)
    verifyObject(ISessionStore, sessions)

    def call(method, *arguments):
        return client.loop.call(getattr(sessions, method), *arguments)

    assert call("load", "a") is None
    assert call("replace", "a", b"1", 60) is False
    call("create", "a", b"\xff", 60)
    assert (call("load", "a"), call("replace", "a", b"2", 60), call("load", "a")) == (b"\xff", True, b"2")
    call("remove", "a")
    call("remove", "a")
    assert call("load", "a") is None


@pytest.fixture
def start(tmp_path, reactor_thread):
    """Return ``start(text)``: a running instance."""
    started = []

    def run(text, threads):
        file = tmp_path / "site.conf"
        server = {"ip": "127.0.0.1", "port": "0", "threads": threads}
        file.write_text(config_text({"/": APP}, **server) + text)
        instance = reactor_thread.call(make_instance, reactor_thread.reactor, file, redis=plugin)
        started.append(RunningInstance(reactor_thread, instance))
        return started[-1]

    yield run
    for running in started:
        running.stop()


def test_redis_is_shown_where_sessions_use_it(start, redis_server, reactor_thread, threads):
    """Status and metrics have it from the first session on, and it is closed at the end."""
    running = start(f"[redis]\nurl = redis://{redis_server.host}:{redis_server.port}\n", threads)
    assert "Redis" not in running.instance.status()
    assert ask(running, "/login/ann", "")[0] == "in"
    assert running.instance.status()["Redis"]["state"] == "connected"
    metrics = {metric.name for metric in reactor_thread.call(running.instance.metrics)}
    assert "skitai_redis_commands_total" in metrics


def test_redis_that_is_away_fails_the_request(start, own_redis, threads):
    """Nobody is logged out by that: the request fails, and the cookie stays."""
    server = own_redis()
    running = start(f"[redis]\nurl = redis://{server.host}:{server.port}\ntimeout = 1\n", threads)
    _, cookie = ask(running, "/login/ann", "")
    assert ask(running, "/who", cookie)[0] == "ann"
    server.kill()
    page = running.ask("/who", fields=[("Cookie", cookie)])
    assert (page.code, page.all("Set-Cookie")) == (500, [])


def test_without_the_driver(start, monkeypatch, threads):
    """The log says what to install, at the first session."""
    monkeypatch.setattr(connecting, "find_spec", lambda _name: None)
    assert start("", threads).ask("/who").code == 200
    running = start("", threads)
    assert running.ask("/login/ann").code == 500
