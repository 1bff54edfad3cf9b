"""What tests of was.ws share: servers, and instances of both executors that ask them."""

import pytest
from ws_runner import Runner
from ws_servers import WebSocketServer

from instances import RunningInstance, make_instance
from skitai.services import cache
from skitai.services import json as json_plugin
from skitai.services.http import plugin as http_plugin
from skitai.services.websocket import plugin as ws_plugin


@pytest.fixture(scope="module")
def servers():
    """Two websocket servers."""
    started = [WebSocketServer("one"), WebSocketServer("two")]
    yield started
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def url(servers):
    return servers[0].url


@pytest.fixture(scope="module")
def start(reactor_thread, threads, tmp_path_factory):
    """Return ``start(config)``: the Runner of an instance with further sections."""
    running = []

    def begin(config="", **plugins):
        file = tmp_path_factory.mktemp("ws") / "site.conf"
        file.write_text(
            f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nthreads = {threads}\n{config}"
        )
        runner = Runner()
        plugins = {"http": http_plugin, "ws": ws_plugin, "json": json_plugin, "cache": cache, **plugins}
        instance = make_instance(reactor_thread.reactor, file, runner=runner, **plugins)
        running.append(RunningInstance(reactor_thread, instance))
        return runner

    yield begin
    for instance in running:
        instance.stop()


@pytest.fixture(scope="module")
def run(start, servers):
    """The Runner of an instance with the two servers as clusters."""
    members = ", ".join(f"127.0.0.1:{server.port}" for server in servers)
    return start(f"[@search]\nmembers = {members}\n[@talk]\ntype = websocket\nmembers = {members}\n")
