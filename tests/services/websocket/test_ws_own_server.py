"""One app asks another over websockets: the client and the server of Skitai, on both executors."""

import json

import pytest

from instances import RunningInstance, make_instance
from serving import eventually
from skitai.server.websocket import plugin as websocket_plugin
from skitai.services import json as json_plugin
from skitai.services.http import plugin as http_plugin
from skitai.services.websocket import plugin as ws_plugin

ASKED = """
import skitai
from skitai.saddle import Saddle

app = Saddle(__name__)

@app.route("/websocket/echo")
def echo(was, message=""):
  if "websocket_init" in was.env:
    was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
    return ""
  return was.tojson({"found": was.fromjson(message)["keyword"]})

@app.route("/short")
def short(was, message=""):
  if "websocket_init" in was.env:
    was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 0.3, "message")
    return ""
  return message

@app.route("/closed")
def closed(was):
  return "no websocket"

@app.websocket("/talk")
async def talk(was, ws):
  async for message in ws:
    await ws.send(message)

@app.websocket("/failing")
def failing(was, ws):
  ws.getwait(10)
  raise RuntimeError("on purpose")

@app.websocket("/closing")
def closing(was, ws):
  ws.getwait(10)
  ws.close(4001, "enough")
"""

# The view is as the README prints it, but for the address.
ASKING = """
import json
from skitai.saddle import Saddle

app = Saddle(__name__)

def here(was):
  return "127.0.0.1:" + was.env["SERVER_PORT"]

@app.route ("/query")
def query (was):
  s = was.ws (
    "ws://192.168.1.100:5000/websocket/echo".replace("192.168.1.100:5000", here(was)),
    was.tojson ({"keyword": "snowboard binding"})
  )
  rs = s.getwait ()
  result = was.fromjson (rs.data)
  return was.tojson (result)

@app.route("/ask")
def ask(was, path, times="1"):
  found = []
  for number in range(int(times)):
    rs = was.ws(f"ws://{here(was)}{path}", str(number)).getwait(20)
    found.append([rs.status, rs.code, rs.data if rs.status == 3 else rs.msg])
  return json.dumps(found)

@app.route("/converse")
def converse(was):
  with was.ws.connect(f"ws://{here(was)}/talk") as ws:
    for number in range(100):
      ws.send("x" * number)
    return json.dumps([len(ws.getwait(20)) for _ in range(100)])

@app.route("/coroutine")
async def coroutine(was):
  async with was.ws.connect(f"ws://{here(was)}/talk") as ws:
    await ws.send("a")
    rs = await was.ws(f"ws://{here(was)}/talk", "b")
    return json.dumps([await ws.receive(20), rs.data])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "asked.py").write_text(ASKED, encoding="utf-8")
    (folder / "asking.py").write_text(ASKING, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def instance(reactor_thread, threads, folder):
    """Two virtual places of one server, of which one asks the other."""
    (folder / "site.conf").write_text(
        f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nthreads = {threads}\n"
        "[routes:line]\n/ = asked:app\n/asking = asking:app\n"
    )
    made = make_instance(
        reactor_thread.reactor,
        folder / "site.conf",
        http=http_plugin,
        ws=ws_plugin,
        websocket=websocket_plugin,
        json=json_plugin,
    )
    running = RunningInstance(reactor_thread, made)
    yield running
    running.stop()


@pytest.fixture
def ask(instance):
    """Return ``ask(path)``: what a view of the asking app returns."""

    def ask(path):
        response = instance.ask(f"/asking{path}")
        assert response.code == 200, response.body
        return json.loads(response.body)

    return ask


def counts(instance):
    status = instance.instance.status()
    return status["Websockets"]["open"], status["Websocket client"]


def test_readme(ask):
    """A server queries another with messages of JSON and no headers."""
    assert ask("/query") == {"found": "snowboard binding"}


def test_reuse(ask, instance):
    """Many messages go over one websocket."""
    ask("/ask?path=/talk")
    before = counts(instance)
    assert ask("/ask?path=/talk&times=20") == [[3, 200, str(number)] for number in range(20)]
    after = counts(instance)
    assert after[0] == before[0]
    assert after[1]["reused"] == before[1]["reused"] + 20


def test_a_server_that_closes_idle_websockets(ask, instance):
    """Its ``keep_alive`` ends one that is kept; the next message gets a new one."""
    assert ask("/ask?path=/short") == [[3, 200, "0"]]
    idle = counts(instance)[1]["idle"]
    eventually(lambda: counts(instance)[1]["idle"] < idle, "the server closed it")
    assert ask("/ask?path=/short") == [[3, 200, "0"]]


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/nothing", 404, "answered 404 Not Found"),
        ("/closed", 400, "answered 400 Bad Request"),
        ("/failing", 700, "the websocket is closed (1011"),
        ("/closing", 700, "the websocket is closed (4001: enough)"),
    ],
)
def test_no_reply(ask, path, code, words):
    """An app that refuses or fails gives a failed result that says so."""
    ((status, found, text),) = ask(f"/ask?path={path}")
    assert (status, found) == (2, code)
    assert words in text


def test_conversations(ask, instance):
    """They take many messages both ways, and end with their block."""
    assert ask("/converse") == list(range(100))
    assert ask("/coroutine") == ["a", "b"]
    eventually(lambda: counts(instance)[1]["in_use"] == 0, "the conversations are over")
