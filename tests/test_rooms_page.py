"""The examples of docs/rooms.md run, and its table of limits is that of the config."""

import json
import re
from contextlib import ExitStack

import pytest
from eventsource import EventSource
from websocket_server import WebSocketServer

from serving import REPOSITORY, eventually
from skitai.services.rooms import plugin as rooms_plugin
from wire import PATIENCE

PAGE = (REPOSITORY / "docs" / "rooms.md").read_text("utf-8")
CODE = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def server(reactor_thread, threads, tmp_path):
    """A server with the apps of the page."""
    (tmp_path / "page.py").write_text(CODE, encoding="utf-8")
    path = tmp_path / "page.conf"
    path.write_text(
        f"[server]\nport = 0\nip = 127.0.0.1\nthreads = {threads}\n"
        "[routes:line]\n/ = ./page:app\n/flask = ./page:flask_app\n",
        encoding="utf-8",
    )
    with ExitStack() as stack:
        server = WebSocketServer(reactor_thread, path, stack, rooms=rooms_plugin)
        stack.callback(server.stop)
        yield server
        stack.pop_all().close()
    assert server.failures == []


def who(server):
    return json.loads(server.ask("/chat/kitchen/who").body)["members"]


def test_chat(server):
    """Two talk; one is cut off, comes back, and has missed nothing."""
    ann, bob = (server.connect(f"/chat/kitchen?nick={nick}&last=") for nick in ("ann", "bob"))
    welcome = json.loads(ann.recv(PATIENCE))
    assert welcome["missed"] is False
    bob.recv(PATIENCE)
    eventually(lambda: len(who(server)) == 2, "both are there")
    assert [member["nick"] for member in who(server)] == ["ann", "bob"]
    bob.send("are you there?")
    heard = json.loads(ann.recv(PATIENCE))
    assert heard["data"] == "bob: are you there?"
    assert json.loads(bob.recv(PATIENCE)) == heard
    ann.socket.close()
    eventually(lambda: who(server) == [{"nick": "bob"}], "the leaving")
    bob.send("hello?")
    back = server.connect(f"/chat/kitchen?nick=ann&last={heard['id']}")
    assert json.loads(back.recv(PATIENCE)) == {"id": heard["id"], "missed": False}
    assert json.loads(back.recv(PATIENCE))["data"] == "bob: hello?"
    assert server.ask(
        "/flask/orders", "POST", [("Content-Type", "application/x-www-form-urlencoded")], b"dish=soup"
    )
    assert json.loads(back.recv(PATIENCE))["data"] == "soup"


def test_chat_in_flask(server):
    """It is the same room; a plain request is told what the address is for."""
    ann, bob = (server.connect(f"{app}/chat/bar?nick={app}") for app in ("", "/flask"))
    for websocket in (ann, bob):
        assert json.loads(websocket.recv(PATIENCE))["missed"] is False
    bob.send("hello")
    assert json.loads(ann.recv(PATIENCE))["data"] == "/flask: hello"
    assert server.ask("/flask/chat/bar").code == 400


@pytest.mark.parametrize("path", ["/news", "/flask/news"])
def test_news(server, path):
    """Events come from either framework."""
    with EventSource(server.port, path) as source:
        assert source.response["Content-Type"] == "text/event-stream; charset=utf-8"
        assert source.response["Cache-Control"] == "no-cache"
        source.opened()
        server.loop.call(server.instance.run, lambda was: was.rooms("news").send("hello").wait())
        assert source.take(1)[0].data == "hello"


def test_all_keys_are_in_the_table():
    """Each key stands in the table, with its default."""
    keys = rooms_plugin.skitai_config_sections()["rooms"]
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert table == {name: key.show(key.default) for name, key in keys.items()}
