"""What the tests of websockets share: whole servers with apps, and clients of two other libraries."""

from contextlib import ExitStack

import pytest
from websocket_server import WebSocketServer, shared


@pytest.fixture
def opened():
    """Closes at the end what is entered: clients that tests leave open."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve_app(reactor_thread, threads, tmp_path, opened):
    """Return ``serve_app(code, routes="/ = ./tested:app", server="", **websocket)``: a WebSocketServer.

    ``code`` is that of the app, ``websocket`` the keys of its section; it runs on each of the executors.
    """
    servers = []
    shared.gates, shared.runs = set(), []

    def start(code, routes="/ = ./tested:app", server="", threads=threads, **websocket):
        (tmp_path / "tested.py").write_text(code, encoding="utf-8")
        lines = [f"[server]\nport = 0\nip = 127.0.0.1\nthreads = {threads}\n{server}\n[websocket]"]
        lines += [f"{name} = {value}" for name, value in websocket.items()]
        path = tmp_path / "tested.conf"
        path.write_text("\n".join([*lines, "[routes:line]", routes, ""]), encoding="utf-8")
        servers.append(WebSocketServer(reactor_thread, path, opened))
        return servers[-1]

    yield start
    shared.gates.clear()
    opened.close()
    for server in servers:
        server.stop()
