"""The examples of the README's chapter on websockets, as it prints them, with clients of other libraries."""

import pytest
from websockets.exceptions import ConnectionClosedOK, InvalidStatus

import websocket
from wire import PATIENCE

SADDLE = """
from skitai.saddle import Saddle
import skitai

app = Saddle (__name__)
app.debug = True
app.use_reloader = True

@app.route ("/websocket/echo")
def echo (was, message = ""):
  if "websocket_init" in was.env:
    was.env ["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
    return ""
  return "ECHO:" + message

@app.route ("/websocket/talk")
def talk (was, name):
  if "websocket_init" in was.env:
    was.env ["websocket_init"] = (skitai.WEBSOCKET_DEDICATE, 60, None)
    return ""

  ws = was.env ["websocket"]
  while 1:
    messages = ws.getswait (10)
    if messages is None:
      break
    for m in messages:
      if m.lower () == "bye":
        ws.send ("Bye, have a nice day." + m)
        ws.close ()
        break
      elif m.lower () == "hello":
        ws.send ("Hello, " + name)
      else:
        ws.send ("You Said:" + m)

@app.route ("/websocket/chat")
def chat (was, roomid):
  if "websocket_init" in was.env:
    was.env ["websocket_init"] = (skitai.WEBSOCKET_MULTICAST, 60, "roomid")
    return ""

  ws = was.env ["websocket"]
  while 1:
    messages = ws.getswait (10)
    if messages is None:
      break
    for client_id, m in messages:
      ws.sendall ("Client %d Said: %s" % (client_id, m))
"""

FLASK = """
from flask import Flask, request
import skitai

app = Flask (__name__)
app.debug = True
app.use_reloader = True

@app.route ("/websocket/echo")
def echo ():
  if "websocket_init" in request.environ:
    request.environ ["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
    return ""
  return "ECHO:" + request.args.get ("message")
"""


@pytest.fixture
def saddle(serve_app):
    return serve_app(SADDLE)


@pytest.mark.parametrize("code", [SADDLE, FLASK], ids=["saddle", "flask"])
def test_echo(serve_app, code):
    """Each message is one run of the view, whatever is in it; a plain request is answered as ever."""
    server = serve_app(code)
    client = server.connect("/websocket/echo")
    for message in ("hi", "a&b=c +%", "é€😀\n", "x" * 100_000, "", "last"):
        client.send(message)
        assert client.recv(PATIENCE) == "ECHO:" + message
    assert server.ask("/websocket/echo?message=x").body == b"ECHO:x"


def test_echo_with_another_client(saddle):
    """The library websocket-client sends an Origin, as a browser does."""
    client = websocket.create_connection(saddle.url("/websocket/echo"), timeout=PATIENCE)
    client.send("hi")
    assert client.recv() == "ECHO:hi"
    client.close()


def test_talk(saddle):
    """The view owns its websocket; what it has sent arrives before the close."""
    client, other = (saddle.connect(f"/websocket/talk?name={name}") for name in ("Member", "Other"))
    for message, answer in (("hello", "Hello, Member"), ("HELLO", "Hello, Member"), ("x", "You Said:x")):
        client.send(message)
        assert client.recv(PATIENCE) == answer
    client.send("bye")
    assert client.recv(PATIENCE) == "Bye, have a nice day.bye"
    with pytest.raises(ConnectionClosedOK):
        client.recv(PATIENCE)
    assert client.close_code == 1000
    other.send("hello")
    assert other.recv(PATIENCE) == "Hello, Other"
    assert saddle.failures == []


def test_talk_without_a_name(saddle):
    """A missing argument refuses the handshake, as it refuses a request."""
    with pytest.raises(InvalidStatus) as caught:
        saddle.connect("/websocket/talk")
    assert caught.value.response.status_code == saddle.ask("/websocket/talk").code == 400


def test_chat(saddle):
    """All in a room hear each other, and who leaves ends it for nobody else."""
    first, second, elsewhere = (saddle.connect(f"/websocket/chat?roomid={room}") for room in (1, 1, 2))
    first.send("hi")
    said = first.recv(PATIENCE)
    assert said == second.recv(PATIENCE)
    number = said.removeprefix("Client ").removesuffix(" Said: hi")
    assert said == f"Client {int(number)} Said: hi"
    first.close()
    second.send("still here")
    assert second.recv(PATIENCE).endswith(" Said: still here")
    elsewhere.send("who?")
    assert elsewhere.recv(PATIENCE).endswith(" Said: who?")
    with pytest.raises(InvalidStatus):
        saddle.connect("/websocket/chat")
