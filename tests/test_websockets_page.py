"""The examples of docs/websockets.md run, and its table of limits is that of the config."""

import re
from contextlib import ExitStack

import pytest
from websocket_server import WebSocketServer

from serving import REPOSITORY
from skitai.config.websocket import WEBSOCKET_KEYS
from skitai.errors import OperationError
from skitai.testing import FakeWas
from wire import PATIENCE

PAGE = (REPOSITORY / "docs" / "websockets.md").read_text("utf-8")
SADDLE = "import skitai\nfrom skitai.saddle import Saddle\napp = Saddle(__name__)\n"


def example(word):
    """Return the one block of Python that has ``word``."""
    (found,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in block]
    return found


@pytest.fixture
def serve_example(reactor_thread, threads, tmp_path):
    """Return ``serve_example(code)``: a server with that app."""
    with ExitStack() as stack:

        def start(code):
            (tmp_path / "page.py").write_text(code, encoding="utf-8")
            path = tmp_path / "page.conf"
            path.write_text(
                f"[server]\nport = 0\nip = 127.0.0.1\nthreads = {threads}\n[routes:line]\n/ = ./page:app\n",
                encoding="utf-8",
            )
            server = WebSocketServer(reactor_thread, path, stack)
            stack.callback(server.stop)
            return server

        yield start


@pytest.mark.parametrize(
    ("code", "path", "message", "answer"),
    [
        (example("REQDATA"), "/echo", "hi", "ECHO:hi"),
        (SADDLE + example("DEDICATE, 60, None"), "/talk?name=Ann", "hi", "Ann said hi"),
        (SADDLE + example("MULTICAST"), "/chat?roomid=1", "hi", "Client 1 said: hi"),
        (example("flask_sock"), "/echo", "hi", "hi"),
    ],
    ids=["reqdata", "dedicate", "multicast", "flask-sock"],
)
def test_examples(serve_example, code, path, message, answer):
    """Each design answers as the page says, and an app of flask-sock."""
    client = serve_example(code).connect(path)
    client.send(message)
    assert client.recv(PATIENCE) == answer


def test_asking_other_servers():
    """A message with its reply, and a conversation."""
    names = {}
    for word in ("def board", "def headlines"):
        exec(compile(example(word), "websockets.md", "exec"), names)
    with FakeWas() as fake:
        fake.reply("ws", "ws://search.example/query", '{"found": ["tea"]}')
        fake.fail("ws", "ws://search.example/query", OperationError("gone"))
        assert [names["board"]("tea") for _ in range(2)] == [["tea"], []]
        fake.reply("ws", "wss://news.example/live", "first")
        assert names["headlines"](1) == ["first"]


def test_all_keys_are_in_the_table():
    """Each key of the section stands in the table, or in the part on origins."""
    keys = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`.*?) \|", PAGE, re.MULTILINE))))
    assert keys >= WEBSOCKET_KEYS.keys() - {"origins"}
    assert "\norigins = " in PAGE
