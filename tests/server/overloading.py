"""A server that can be held up, and its clients."""

import json

from serving import eventually
from wire import Client

APP = """
import json
import threading
import time

from skitai import was

gate = threading.Event()
begun = []


def app(environ, start_response):
    path = environ["PATH_INFO"]
    begun.append(environ["REQUEST_METHOD"] + " " + path)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [ANSWERS.get(path, lambda: path)().encode()]


def hold():
    gate.wait(60)
    return "held"


def compute():
    time.sleep(0.1)
    return "computed"


def release():
    gate.set()
    return ""


def renew():
    gate.clear()
    begun.clear()
    return ""


def status():
    return json.dumps(was.status(flt="Queues", fancy=False)["Queues"])


ANSWERS = {
    "/hold": hold,
    "/compute": compute,
    "/release": release,
    "/renew": renew,
    "/status": status,
    "/begun": lambda: " ".join(begun),
}
"""
CONFIG = """[server]
ip = 127.0.0.1
port = 0
access_log = off
blocked_warning = 0
threads = {threads}
queue_timeout = {queue_timeout}
[metrics]
[routes:line]
/ = {folder}/held:app {options}
/other = {folder}/held:app threads=1
/files = {folder}/files
"""

clients = []


def close_all():
    """Close all connections of a test."""
    while clients:
        clients.pop().close()


def connect(server):
    """Return a new connection."""
    clients.append(Client(server.port))
    return clients[-1]


def send(server, path, method="GET", body=b""):
    """Send a request and return its connection."""
    client = connect(server)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    client.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode() + body)
    return client


def held(server):
    """Keep the only thread busy until ``/other/release`` is asked for."""
    client = send(server, "/hold")
    eventually(lambda: b"/hold" in server.ask("/other/begun").body, "the request that holds the thread")
    return client


def release(server, *held_up):
    """Let the thread go on; return the bodies of those who had to wait."""
    server.ask("/other/release")
    return [client.response().body for client in held_up]


def row(server):
    """Return what the status page shows of the requests that wait at the first mount."""
    rows = json.loads(server.ask("/other/status").body)
    return next(row for row in rows if row["mount"] == "/")


def begun(server):
    """Return method and path of all requests that the app has begun."""
    return server.ask("/other/begun").body.decode()
