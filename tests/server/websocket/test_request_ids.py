"""A websocket has the id of its handshake, wherever its view runs."""

import pytest

from skitai.context import current_request_id
from wire import PATIENCE

APP = """
import skitai
from skitai import was as current
from skitai.saddle import Saddle

app = Saddle(__name__)

def view(path, design, name):
    def decorate(function):
        @app.route(path)
        def answer(was, **arguments):
            if "websocket_init" in was.env:
                was.env["websocket_init"] = (design, 60, name)
                return ""
            return function(was, **arguments)
        return function
    return decorate

@view("/view", skitai.WEBSOCKET_DEDICATE, None)
def dedicated(was):
    current.sleep(0)
    was.env["websocket"].send(f"{current.request_id} {was.request_id}")

@view("/reqdata", skitai.WEBSOCKET_REQDATA, "message")
def reqdata(was, message):
    current.sleep(0)
    return f"{current.request_id} {was.request_id}"

@app.websocket("/coroutine")
async def coroutine(was, ws):
    await ws.send(f"{current.request_id} {was.request_id}")
"""


@pytest.mark.parametrize("path", ["/view", "/coroutine", "/reqdata"])
def test_the_id_of_the_handshake(serve_app, path):
    """View, coroutine and messages have it; so do their logs and calls."""
    server = serve_app(APP)
    client = server.connect(path, additional_headers={"X-Request-ID": "mine-1"})
    if path == "/reqdata":
        client.send("x")
    assert client.recv(PATIENCE) == "mine-1 mine-1"
    assert server.failures == []


@pytest.mark.parametrize("path", ["/view", "/reqdata"])
def test_an_id_that_is_made(serve_app, path):
    """All runs for one websocket have the same."""
    client = serve_app(APP).connect(path)
    if path == "/reqdata":
        client.send("x")
        client.send("x")
    ids = client.recv(PATIENCE).split()
    assert ids[0] == ids[1]
    if path == "/reqdata":
        assert client.recv(PATIENCE).split() == ids


def test_outside_a_request():
    """There is none."""
    assert current_request_id() == ""
