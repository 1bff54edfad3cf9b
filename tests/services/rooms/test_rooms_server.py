"""Event streams of a server as people run it: Saddle, Flask and Django, with each executor."""

import json
import time
from contextlib import ExitStack

import pytest
from eventsource import EventSource
from websockets.sync.client import connect

from serving import FIXTURE_APPS, eventually
from wire import PATIENCE, Client

#: Fewer threads than there are streams.
EXECUTORS = {"threads": {"threads": 2}, "greenlets": {"threads": 0}}
CONFIG = """
[server]
port = 0
ip = 127.0.0.1
threads = {threads}
response_timeout = 20
access_log = off

[rooms]
history = 5
events_heartbeat = 0.3
events_waiting_max = 100 KB

[routes:line]
/ = {folder}/chatrooms:app
/flask = {folder}/chatrooms:flask_app
/django = {folder}/djangorooms:app
"""


@pytest.fixture(scope="module", params=EXECUTORS)
def server(request, running_server):
    threads = EXECUTORS[request.param]["threads"]
    server = running_server(CONFIG.format(threads=threads, folder=FIXTURE_APPS))
    yield server
    server.stop()
    assert "Traceback" not in server.log_text()


class World:
    def __init__(self, server):
        self.server = server
        self.sources = ExitStack()

    def listen(self, target, opened=True, **options):
        source = self.sources.enter_context(EventSource(self.server.port, target, **options))
        assert source.response.status == "200 OK"
        if opened:
            source.opened()
        return source

    def connect(self, target):
        url = f"ws://127.0.0.1:{self.server.port}{target}"
        return self.sources.enter_context(connect(url, open_timeout=PATIENCE, compression=None))

    def send(self, room, text, app=""):
        return self.server.ask(f"{app}/send/{room}", "POST", body=text.encode()).body.decode()

    def state(self):
        return json.loads(self.server.ask("/state").body)

    def streams(self):
        return self.state()["event_streams"]

    def until_nobody_listens(self):
        eventually(lambda: self.streams() == 0, "the end of all streams")


@pytest.fixture
def world(server):
    world = World(server)
    with world.sources:
        yield world
    world.until_nobody_listens()
    assert world.state()["members"] == world.state()["rooms"] == 0


APPS = pytest.mark.parametrize("app", ["", "/flask"], ids=["saddle", "flask"])
ALL_APPS = pytest.mark.parametrize("app", ["", "/flask", "/django"], ids=["saddle", "flask", "django"])


@ALL_APPS
def test_events(world, app):
    """Every reader gets every message with its position, whichever app it was sent in."""
    sources = [world.listen(f"{app}/events/news") for _ in range(3)]
    positions = [world.send("news", text, sender) for text, sender in (("one", ""), ("two\nlines", app))]
    for source in sources:
        assert source.response["Content-Type"] == "text/event-stream; charset=utf-8"
        assert source.response.all("Content-Encoding") == []
        assert [(event.data, event.id, event.type) for event in source.take(2)] == [
            ("one", positions[0], "message"),
            ("two\nlines", positions[1], "message"),
        ]


def test_fields_of_saddle(world):
    """What lies between must neither keep nor collect the events."""
    response = world.listen("/events/news").response
    assert response["Cache-Control"] == "no-cache"
    assert response["X-Accel-Buffering"] == "no"


@ALL_APPS
def test_streams_hold_no_thread(world, app):
    """Many more streams than threads are open, and views are answered at once."""
    sources = [world.listen(f"{app}/events/crowd") for _ in range(60)]
    began = time.monotonic()
    assert world.send("crowd", "hello")
    assert time.monotonic() - began < 5
    assert [source.take(1)[0].data for source in sources] == ["hello"] * 60


@ALL_APPS
def test_a_browser_comes_back(world, app):
    """With the field Last-Event-ID it gets what it has missed, and nothing twice."""
    with EventSource(world.server.port, f"{app}/events/back") as source:
        source.opened()
        world.send("back", "one")
        seen = source.take(1)[0].id
    for text in ("two", "three"):
        world.send("back", text)
    source = world.listen(f"{app}/events/back", last_id=seen)
    world.send("back", "four")
    assert [event.data for event in source.take(3)] == ["two", "three", "four"]


def test_cut_off_before_the_first_message(world):
    """The first thing that a browser learns is where it is."""
    with EventSource(world.server.port, "/events/early") as source:
        seen = source.opened()
    world.send("early", "one")
    assert [event.data for event in world.listen("/events/early", last_id=seen).take(1)] == ["one"]


def test_something_is_missing(world):
    """Where the history is too short, an event says so before what is left of it."""
    first = world.send("long", "0")
    for number in range(1, 10):
        world.send("long", str(number))
    missed, *events = world.listen("/events/long", last_id=first, opened=False).take(6)
    assert (missed.type, missed.data) == ("missed", "true")
    assert [event.data for event in events] == ["5", "6", "7", "8", "9"]


def test_the_page_says_where_to_begin(world):
    """``last`` holds for the first request only: the field of the browser is newer."""
    first, second = world.send("page", "one"), world.send("page", "two")
    assert world.listen(f"/events/page?last={first}", opened=False).take(1)[0].data == "two"
    late = world.listen(f"/events/page?last={first}", last_id=second)
    world.send("page", "three")
    assert late.take(1)[0].data == "three"


def test_what_else_a_stream_says(world):
    """The type of the events, the time to come back, bytes, and the presence of the reader."""
    source = world.listen("/events/more?who=ann&event=chat&retry=2.5")
    assert source.retry == 2500
    assert json.loads(world.server.ask("/who/more").body) == {"who": ["ann"]}
    world.send("more", "hello")
    world.server.ask("/forget/more", "POST", body=b"\xff\0")
    assert [(event.type, event.data) for event in source.take(2)] == [("chat", "hello"), ("base64", "/wA=")]
    source.client.close()
    eventually(lambda: json.loads(world.server.ask("/who/more").body) == {"who": []}, "the leaving")


def test_a_quiet_stream_has_a_heartbeat(world):
    """A comment tells everything between that the stream is alive."""
    source = world.listen("/events/quiet")
    before = source.comments
    source.until(lambda: source.comments >= before + 2)


@APPS
@pytest.mark.parametrize("way", ["close", "half", "reset"])
def test_a_reader_that_leaves(world, app, way):
    """The stream ends at once, also if no message comes; what the framework has to close is closed."""
    source = world.listen(f"{app}/events/{way}")
    if way == "close":
        source.client.close()
    elif way == "half":
        source.client.socket.shutdown(1)
        assert source.ended()
    else:
        source.client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: what is sent is a reset
        source.client.close()
    world.until_nobody_listens()
    if app:
        eventually(
            lambda: way in json.loads(world.server.ask("/flask/closed").body), "the end of the response"
        )


def test_a_slow_reader_is_cut_off(world):
    """Whoever reads nothing is dropped at its limit, and holds up nobody."""
    slow = world.listen("/events/flood", receive_buffer=4096)
    quick = world.listen("/events/flood")
    for _ in range(150):
        world.send("flood", "x" * 50_000)
        assert len(quick.take(1)[0].data) == 50_000
        if world.streams() == 1:
            break
    assert world.streams() == 1
    assert not slow.ended()


@ALL_APPS
def test_head(world, app):
    """HEAD has the same fields, and no stream."""
    response = world.server.ask(f"{app}/events/news", "HEAD")
    assert response["Content-Type"] == "text/event-stream; charset=utf-8"
    assert world.streams() == 0


def test_http_1_0(world):
    """An old client gets the stream to the end of the connection."""
    with Client(world.server.port) as client:
        client.send(b"GET /events/old HTTP/1.0\r\n\r\n")
        got = b""
        while b"\nid: " not in got:
            got += client.socket.recv(4096)
        assert b"Transfer-Encoding" not in got
        world.send("old", "hello")
        while b"data: hello\n\n" not in got:
            got += client.socket.recv(4096)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_changed_pieces(world, encoding):
    """Events that somebody changes on their way are iterated over, as any body is."""
    source = EventSource(world.server.port, "/flask/changed/odd", [("Accept-Encoding", encoding)])
    with source:
        assert source.response.all("Content-Encoding") == []
        while b"id: " not in source.client.read_chunk():
            pass
        world.send("odd", "hello")
        assert b"Data: hello" in source.client.read_chunk()


@pytest.mark.parametrize("path", ["/coroutine", "/function", "/flask/talk"])
def test_websockets(world, path):
    """Members of all kinds hear each other: websockets of each design, and readers of events."""
    ann, bob = world.connect(f"{path}/talk"), world.connect(f"{path}/talk")
    listener = world.listen("/events/talk")
    eventually(lambda: world.state()["members"] == 3, "the joining")
    ann.send("hello")
    bob.send(b"\0\xff")
    for ws in (ann, bob):
        assert {ws.recv(PATIENCE), ws.recv(PATIENCE)} == {"hello", b"\0\xff"}
    assert {event.data for event in listener.take(2)} == {"hello", "AP8="}
    world.send("talk", "from a view")
    assert ann.recv(PATIENCE) == bob.recv(PATIENCE) == "from a view"


def test_a_websocket_comes_back(world):
    """Nothing is lost and nothing comes twice, also while much is said."""
    said = world.connect("/coroutine/busy")
    seen, got = "", []
    for number in range(5):
        ws = world.connect(f"/coroutine/busy?last={seen}")
        welcome = json.loads(ws.recv(PATIENCE))
        assert not welcome["missed"]
        for letter in "ab":
            said.send(f"{number}{letter}")
        while not got or got[-1] != f"{number}a":
            message = json.loads(ws.recv(PATIENCE))
            seen = message["id"]
            got.append(message["data"])
        ws.socket.close()
    wanted = [f"{number}{letter}" for number in range(5) for letter in "ab"]
    assert got == wanted[:-1]


def test_leaving(world):
    """A websocket that has left is open, and hears nothing of the room."""
    ws, other = world.connect("/function/go"), world.connect("/function/go")
    eventually(lambda: world.state()["members"] == 2, "the joining")
    ws.send("leave")
    assert ws.recv(PATIENCE) == "left"
    other.send("hello")
    assert other.recv(PATIENCE) == "hello"
    assert world.state()["members"] == 1
    with pytest.raises(TimeoutError):
        ws.recv(0.05)


def test_several_on_one_connection(world):
    """A stream is the last response of its connection, so what was pipelined behind it waits."""
    source = world.listen("/events/pipe")
    source.client.send(b"GET /state HTTP/1.1\r\nHost: localhost\r\n\r\n")
    world.send("pipe", "hello")
    assert source.take(1)[0].data == "hello"


@pytest.mark.parametrize("threads", [2, 0], ids=["threads", "greenlets"])
def test_the_stop_ends_streams_at_once(running_server, threads):
    """The server does not wait for readers; they see a complete response, and come back by themselves."""
    server = running_server(CONFIG.format(threads=threads, folder=FIXTURE_APPS))
    targets = ["/events/a", "/flask/events/a"] * 3 + ["/flask/changed/a"]
    with ExitStack() as opened:
        sources = [opened.enter_context(EventSource(server.port, target)) for target in targets]
        for source in sources:
            source.opened()
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8
        assert all(source.ended() for source in sources)
    assert "Traceback" not in server.log_text()
