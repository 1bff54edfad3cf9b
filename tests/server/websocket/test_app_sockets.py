"""Apps of flask-sock, whose library speaks the protocol itself, as they are."""

import pytest

from wire import PATIENCE

FLASK_SOCK = """
from flask import Flask, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)

@sock.route("/echo")
def echo(ws):
    while True:
        ws.send(ws.receive())

@app.route("/hello")
def hello():
    return "hello"
"""


@pytest.fixture
def server(serve_app):
    return serve_app(FLASK_SOCK)


def test_echo(server):
    """Text and binary, short and long."""
    client = server.connect("/echo")
    for message in ("hi", b"\0\1", "é" * 100_000, b"x" * 1_000_000, ""):
        client.send(message)
        assert client.recv(PATIENCE) == message
    client.close()
    assert client.close_code == 1000
    assert server.ask("/hello").body == b"hello"
    server.idle()
    assert server.failures == []
