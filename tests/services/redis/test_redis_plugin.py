"""The plugin in an instance: it is there where the config asks for it."""

import pytest
from redis_world import Holds, Log

from instances import RunningInstance, make_instance
from serving import FIXTURE_APPS, config_text, eventually
from skitai.errors import ConfigError
from skitai.messaging.local import LocalBus
from skitai.services.redis import connecting, plugin
from skitai.services.redis.bus import RedisBus


@pytest.fixture
def start(tmp_path, reactor_thread):
    """Return ``start(text, **server)``: an instance that is not running yet."""

    def make(text="", **server):
        file = tmp_path / "site.conf"
        server = {"ip": "127.0.0.1", "port": "0", **server}
        file.write_text(config_text({"/": f"{FIXTURE_APPS}/echo:environ"}, **server) + text)
        return reactor_thread.call(make_instance, reactor_thread.reactor, file, redis=plugin)

    return make


def test_asked_for(start, reactor_thread, redis_server):
    """The bus is that of Redis; the status page shows it; at the stop nothing is left."""
    RunningInstance(reactor_thread, start()).stop()  # Twisted keeps a file from the first port on
    instance = start(f"[redis]\nurl = redis://{redis_server.host}:{redis_server.port}/2\n", bus="redis")
    assert type(instance.bus) is RedisBus
    holds, log = Holds(reactor_thread), Log()
    running = RunningInstance(reactor_thread, instance)
    eventually(lambda: reactor_thread.call(lambda: instance.bus.is_up), "the connection")
    assert reactor_thread.call(instance.bus.members, "a") == {}
    metrics = {metric.name: metric.values for metric in reactor_thread.call(instance.metrics)}
    assert metrics["skitai_redis_connected"] == {("commands",): 1, ("bus",): 1}
    assert metrics["skitai_redis_commands_total"][()] > 0
    row = instance.status()["Redis"]
    assert (row["address"], row["state"]) == (
        f"Redis {redis_server.host}:{redis_server.port}/2",
        "connected",
    )
    running.stop()
    holds.check()
    log.close()
    assert len(log.lines) == 1


def test_away_at_the_start(start, reactor_thread, own_redis):
    """The server starts without Redis, and says so."""
    server = own_redis()
    server.kill()
    instance = start(f"[redis]\nurl = redis://{server.host}:{server.port}\n", bus="redis")
    log = Log()
    running = RunningInstance(reactor_thread, instance)
    eventually(lambda: "refused" in instance.status()["Redis"]["state"], "an attempt")
    assert running.ask("/").code == 200
    running.stop()
    log.close()
    assert len(log.lines) == 1


def test_not_asked_for(start, monkeypatch):
    """Nothing of Redis is needed, not even a password file that the section names."""
    monkeypatch.setattr(connecting, "find_spec", lambda _name: None)
    instance = start("[redis]\npassword_file = absent\n")
    assert type(instance.bus) is LocalBus
    assert "Redis" not in plugin.skitai_status(instance)
    assert plugin.skitai_metrics(instance) == []


def test_without_the_driver(start, monkeypatch):
    """Who asks for Redis without its packages is told what to install."""
    monkeypatch.setattr(connecting, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as raised:
        start(bus="redis")
    assert "[server] bus: Redis needs txredisapi and hiredis: pip install 'skitai[redis]'" in str(
        raised.value
    )


def test_a_wrong_password_file(start):
    """It is named with its line."""
    with pytest.raises(ConfigError) as raised:
        start("[redis]\npassword_file = absent\n", bus="redis")
    assert "[redis] password_file: " in str(raised.value)
    assert "site.conf:" in str(raised.value)
