"""Websockets where the standard library is patched: each view is a greenlet that lets others go on."""

from contextlib import ExitStack

import pytest
from test_readme import FLASK, SADDLE
from websockets.sync.client import connect

from serving import config_text
from wire import PATIENCE

SLEEPING = """
import time

@app.websocket("/sleep")
def sleep(was, ws):
    for message in ws:
        time.sleep(float(message))
        ws.send(message)
"""


@pytest.fixture(scope="module")
def server(running_server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("apps")
    (folder / "saddle_app.py").write_text(SADDLE.replace("app.use_reloader = True", "") + SLEEPING)
    (folder / "flask_app.py").write_text(FLASK)
    apps = {"/": folder / "saddle_app:app", "/flask": folder / "flask_app:app"}
    return running_server(config_text(apps, cooperative="yes"))


@pytest.fixture
def visit(server):
    """Return ``visit(path)``: a client."""
    with ExitStack() as stack:
        yield lambda path: stack.enter_context(connect(f"ws://127.0.0.1:{server.port}{path}"))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/websocket/echo", "ECHO:hi"),
        ("/flask/websocket/echo", "ECHO:hi"),
        ("/websocket/talk?name=Ann", "You Said:hi"),
        ("/websocket/chat?roomid=1", "Client 1 Said: hi"),
    ],
)
def test_readme(visit, path, answer):
    """The README's examples, again."""
    client = visit(path)
    client.send("hi")
    assert client.recv(PATIENCE) == answer


def test_views_block_beside_each_other(visit):
    """One that sleeps holds up nobody."""
    slow, quick = visit("/sleep"), visit("/sleep")
    slow.send("2")
    quick.send("0")
    assert quick.recv(1) == "0"
    assert slow.recv(PATIENCE) == "2"
