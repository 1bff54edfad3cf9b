"""Slow clients, large and endless bodies: what they cost, and that it ends."""

import hashlib
import io
import socket
import struct
import threading
import time
from contextlib import ExitStack

import pytest
from http_channel import MemoryServer

from serving import eventually
from skitai.loop.bridge import Pending
from skitai.server.request.request import Request
from skitai.server.wsgi import WSGIResource
from skitai.server.wsgi.appcall import AppCall
from skitai.server.wsgi.pieces import Pieces
from skitai.testing import FakeWas, InlineExecutor

MB = 1 << 20


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def block(number):
    """Return 64 KB that differ from others and cannot be compressed."""
    return hashlib.shake_128(b"%d" % number).digest(64 * 1024)


def start(client, target="/"):
    """Send a request without reading the response."""
    client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())


# -- slow clients ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
@pytest.mark.parametrize("kind", ["list", "generator", "write"])
def test_a_slow_reader_holds_up_nobody(serve, kind, threads):
    """While a client reads 50 MB slowly, its app has ended and the only thread serves others."""
    ended = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        if kind == "list":
            ended.set()
            return [b"x" * 50 * MB]
        if kind == "write":
            for _ in range(50):
                write(b"x" * MB)
            ended.set()
            return []
        return generate()

    def generate():
        for _ in range(50):
            yield b"x" * MB
        ended.set()

    gateway = serve({"/large": app, "": plain}, threads=threads)
    with gateway.client(receive_buffer=64 * 1024) as client:
        start(client, "/large")
        assert client.read_head().code == 200
        assert ended.wait(60)
        assert gateway.ask().body == b"ok"


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
def test_a_large_body_reaches_a_slow_reader_whole(serve, threads):
    """What waits for a slow reader, in memory and on disk, is sent in order and without a gap."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", str(200 * 64 * 1024))])
        return (block(number) for number in range(200))

    with serve({"/large": app}, threads=threads).client(receive_buffer=64 * 1024) as client:
        response = client.ask("/large")
    assert response.body == b"".join(map(block, range(200)))


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
@pytest.mark.parametrize("kind", ["generator", "write"])
def test_no_piece_waits_for_the_next(serve, kind, threads):
    """A piece is sent before the app makes the next one, even where that holds up the whole reactor."""
    go_on = [threading.Event(), threading.Event()]

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return generate() if kind == "generator" else list(map(write, generate()))[:0]

    def generate():
        yield b"one"
        assert go_on[0].wait(60)
        yield b"two"
        assert go_on[1].wait(60)
        yield b"three"

    with serve(app, threads=threads).client() as client:
        start(client)
        client.read_head()
        assert client.read_chunk() == b"one"
        go_on[0].set()
        assert client.read_chunk() == b"two"
        go_on[1].set()
        assert client.read_chunk() == b"three"


def test_an_endless_body_of_small_pieces_lets_others_in(serve):
    """Between pieces the reactor serves others, and notices that the client is gone."""
    ended = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        try:
            while True:
                time.sleep(0.01)
                yield b"x"
        finally:
            ended.set()

    gateway = serve({"/endless": app, "": plain}, threads=0)
    with gateway.client() as client:
        start(client, "/endless")
        assert client.read_head().code == 200
        assert gateway.ask().body == b"ok"
    assert ended.wait(60)


@pytest.mark.parametrize("begun", [False, True], ids=["before the first piece", "after it"])
@pytest.mark.parametrize("kind", ["generator", "iterable", "write"])
def test_empty_pieces_hold_up_nobody(serve, kind, begun):
    """An app that gives nothing, for ever, lets others in, and ends when its client has left."""
    ended = threading.Event()

    def app(environ, start_response):
        write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
        if kind == "generator":
            return generate()
        if kind == "iterable":
            return Endless()
        for piece in generate():
            write(piece)
        raise AssertionError("write() went on for ever")

    def generate():
        try:
            if begun:
                yield b"x"
            while True:
                yield b""
        finally:
            ended.set()

    class Endless:
        __iter__ = staticmethod(generate)

    gateway = serve({"/endless": app, "": plain})
    with gateway.client() as client:
        start(client, "/endless")
        if begun:
            assert client.read_head().code == 200
        assert [gateway.ask().body for _ in range(3)] == [b"ok"] * 3
        # Reset, not closed: a client that only says no more may still want its answer.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ended.wait(60)
    assert gateway.ask().body == b"ok"
    assert not gateway.failures


def test_empty_pieces_after_a_whole_body_end(serve):
    """An app that goes on to give nothing after all that it announced is not asked for ever."""
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return generate()

    def generate():
        try:
            yield b"ok"
            while True:
                yield b""
        finally:
            closed.set()

    with serve(app).client() as client:
        assert client.ask().body == b"ok"
        assert closed.wait(60)
        assert client.ask().body == b"ok"


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
def test_large_lists_hold_up_nobody(serve, threads):
    """Lists that slow readers wait for go to disk in pieces; meanwhile others are answered, and HEAD is."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return [block(number) for number in range(200)]

    gateway = serve({"/large": app, "": plain}, threads=threads)
    with ExitStack() as stack:
        readers = [stack.enter_context(gateway.client(receive_buffer=64 * 1024)) for _ in range(5)]
        for reader in readers:
            start(reader, "/large")
        assert gateway.ask().body == b"ok"
        head = gateway.ask("/large", "HEAD")
        assert (head["Content-Length"], head.body) == (str(200 * 64 * 1024), b"")
        whole = b"".join(map(block, range(200)))
        assert all(reader.response().body == whole for reader in readers)


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
def test_a_body_that_arrives_slowly_holds_up_nobody(serve, threads):
    """An app is called when the whole body is there; until then its thread serves others."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    gateway = serve({"/body": app, "": plain}, threads=threads)
    with gateway.client() as client:
        client.send(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        assert gateway.ask().body == b"ok"
        client.send(b"67890")
        assert client.response().body == b"1234567890"


class Source:
    """An endless body; counts the pieces it made, and how often it was closed."""

    def __init__(self):
        self.made = 0
        self.closed = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.made += 1
        return block(0)

    def close(self):
        self.closed += 1


def test_an_app_pauses_while_too_much_waits_and_goes_on_afterwards(serve):
    """response_buffer_max bounds what waits for a client; the app goes on as the client reads."""
    source = Source()

    def app(environ, start_response):
        start_response("200 OK", [])
        return source

    gateway = serve({"/endless": app, "": plain}, response_buffer_max=MB)
    with gateway.client(receive_buffer=64 * 1024) as client:
        start(client, "/endless")
        client.read_head()
        made = -1
        while made != source.made:  # it stands still once the buffers are full
            made = source.made
            [gateway.ask() for _ in range(20)]
        assert made < 200  # a megabyte here, and some in the kernel's buffers
        for _ in range(made + 100):
            assert client.read_chunk() == block(0)
        assert source.made > made
    eventually(lambda: source.closed, "close() of the endless body")
    assert source.closed == 1


@pytest.mark.parametrize("limit", [1, 10 * MB, 1 << 40])
@pytest.mark.parametrize("by_write", [False, True], ids=["iterable", "write"])
def test_an_endless_body_ends_when_its_client_leaves(serve, limit, by_write):
    """Whatever the limit: a client that goes away ends the app, and others are served all the while."""
    ended = threading.Event()
    source = Source()

    def app(environ, start_response):
        write = start_response("200 OK", [])
        if not by_write:
            return source
        try:
            while True:
                write(next(source))
        finally:
            ended.set()

    gateway = serve({"/endless": app, "": plain}, response_buffer_max=limit)
    with gateway.client(receive_buffer=64 * 1024) as client:
        start(client, "/endless")
        client.read_head()
        assert client.read_chunk() == block(0)
        assert gateway.ask().body == b"ok"
    eventually(lambda: source.closed or ended.is_set(), "the end of the endless body")
    made = source.made
    assert gateway.ask().body == b"ok"
    assert source.made == made
    assert source.closed == (0 if by_write else 1)
    assert not gateway.failures


def test_a_client_that_leaves_while_the_app_waits_is_noticed(serve):
    """An app that waited for something else ends soon after it goes on, with close()."""
    gate = Pending()
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [])
        return generate()

    def generate():
        try:
            yield b"first"
            gateway.bridge.wait(gate, 60)
            while True:
                yield b"more"
        finally:
            closed.set()

    gateway = serve(app)
    with gateway.client() as client:
        start(client)
        client.read_head()
        assert client.read_chunk() == b"first"
    gateway.loop.call(gate.end)
    assert closed.wait(60)
    assert not gateway.failures


def test_requests_in_a_row_are_answered_in_order(serve):
    """Pipelined requests, a slow one first, are answered in their order, one app after the other."""
    gate = Pending()

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            gateway.bridge.wait(gate, 60)
        start_response("200 OK", [])
        path = environ["PATH_INFO"].encode()
        return [path] if environ["QUERY_STRING"] else iter([path, b"!"])

    gateway = serve(app)
    with gateway.client() as client:
        targets = ["/slow", "/a", "/b?list", "/c?list", "/d"]
        client.send("".join(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n" for target in targets).encode())
        gateway.ask("/other")
        gateway.loop.call(gate.end)
        bodies = [client.response().body for _ in targets]
    assert bodies == [b"/slow!", b"/a!", b"/b", b"/c", b"/d!"]


# -- wsgi.file_wrapper -------------------------------------------------------------------------------------


class OnlyRead:
    """All that PEP 3333 asks of a file-like object."""

    def __init__(self, data):
        self.read = io.BytesIO(data).read


class Tracked(io.FileIO):
    """A file that counts how often it was closed, and in which thread."""

    def __init__(self, path):
        super().__init__(path)
        self.closes = []

    def close(self):
        if hasattr(self, "closes") and not self.closed:
            self.closes.append(threading.current_thread().name)
        super().close()


DATA = b"".join(map(block, range(20)))


@pytest.fixture
def path(tmp_path):
    """A file of 1.25 MB."""
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def wrapping(make_file, headers=(), status="200 OK"):
    """Return an app that answers a file."""

    def app(environ, start_response):
        start_response(status, [("Content-Type", "application/octet-stream"), *headers])
        return environ["wsgi.file_wrapper"](make_file())

    return app


@pytest.mark.parametrize("kind", ["file", "unbuffered", "bytes", "read-only", "in the middle", "middleware"])
def test_any_file_can_be_wrapped(serve, path, kind):
    """wsgi.file_wrapper sends real files and anything with read(), from where they stand."""

    def make():
        if kind == "bytes":
            return io.BytesIO(DATA)
        if kind == "read-only":
            return OnlyRead(DATA)
        file = open(path, "rb", buffering=0 if kind == "unbuffered" else -1)
        if kind == "in the middle":
            file.seek(1000)
        return file

    app = wrapping(make)

    def middleware(environ, start_response):
        iterable = app(environ, start_response)
        try:
            yield from iterable
        finally:
            iterable.close()

    gateway = serve(middleware if kind == "middleware" else app)
    with gateway.client() as client:
        for _ in range(2):
            response = client.ask()
            assert response.body == (DATA[1000:] if kind == "in the middle" else DATA)
            assert response.complete
    assert not gateway.failures


@pytest.mark.parametrize("announced", [0, 1, 1000, len(DATA)])
def test_no_more_of_a_file_is_sent_than_announced(serve, path, announced):
    """Content-Length bounds what is sent of a file; the connection goes on."""
    file = Tracked(path)
    gateway = serve({"/file": wrapping(lambda: file, [("Content-Length", str(announced))]), "": plain})
    with gateway.client() as client:
        response = client.ask("/file")
        assert (response["Content-Length"], response.body) == (str(announced), DATA[:announced])
        assert client.ask().body == b"ok"
    eventually(lambda: file.closes)


def test_a_file_shorter_than_announced_ends_the_connection(serve, path):
    """The client sees that something is missing."""
    response = serve(wrapping(lambda: open(path, "rb"), [("Content-Length", str(len(DATA) + 1))])).ask()
    assert (response.body, response.complete) == (DATA, False)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["200 OK", "304 Not Modified"])
def test_a_file_is_closed_once_where_the_app_runs(serve, path, method, status):
    """The file is closed exactly once, sent or not, and in an app's thread: closing may be app code."""
    file = Tracked(path)
    gateway = serve({"/file": wrapping(lambda: file, status=status), "": plain})
    with gateway.client() as client:
        assert client.ask("/file", method).code == int(status[:3])
        assert client.ask().body == b"ok"
    [thread] = eventually(lambda: file.closes)
    assert thread.startswith("skitai-app" if gateway.executor.multithread else "reactor")


def test_a_file_whose_client_leaves_is_closed(serve, tmp_path):
    """A file that a client does not want any more is closed once."""
    path = tmp_path / "large"
    with open(path, "wb") as large:
        large.truncate(500 * MB)
    file = Tracked(path)
    gateway = serve(wrapping(lambda: file))
    with gateway.client(receive_buffer=64 * 1024) as client:
        start(client)
        client.read_head()
        assert client.read_chunk()
        assert not file.closes
    eventually(lambda: file.closes)
    assert len(file.closes) == 1


@pytest.mark.parametrize("threads", [1, 0], ids=["one-thread", "greenlets"])
def test_a_file_that_is_read_slowly_holds_up_nobody(serve, tmp_path, threads):
    """The reactor sends files: the only thread is free meanwhile."""
    path = tmp_path / "large"
    with open(path, "wb") as large:
        large.truncate(500 * MB)
    gateway = serve({"/file": wrapping(lambda: open(path, "rb")), "": plain}, threads=threads)
    with gateway.client(receive_buffer=64 * 1024) as client:
        start(client, "/file")
        client.read_head()
        assert gateway.ask().body == b"ok"


def test_a_wrapped_file_may_follow_write(serve, path):
    """What write() sent comes first, under one head."""

    def app(environ, start_response):
        start_response("200 OK", [])(b"before ")
        return environ["wsgi.file_wrapper"](open(path, "rb"))

    gateway = serve({"/file": app, "": plain})
    with gateway.client() as client:
        assert client.ask("/file").body == b"before " + DATA
        assert client.ask().body == b"ok"


def test_the_body_of_the_request_can_be_the_wrapped_file(serve):
    """wsgi.input given to file_wrapper comes back whole, in memory or on disk."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](environ["wsgi.input"])

    with serve(app).client() as client:
        for size in (10, 2_000_000):
            assert client.ask("/", "POST", body=b"x" * size).body == b"x" * size


class Failing(io.FileIO):
    """A file that cannot be read to its end."""

    def read(self, size=-1):
        if self.tell() > 100_000:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("error", [OSError("disk"), EOFError("cut"), KeyError("odd")], ids=repr)
def test_a_file_that_cannot_be_read_cuts_the_response_off(serve, path, error):
    """The client sees that the response is incomplete, the log says why once, all goes on."""
    Failing.error = error
    gateway = serve({"/file": wrapping(lambda: Failing(path)), "": plain})
    response = gateway.ask("/file")
    assert (response.code, response.complete) == (200, False)
    assert gateway.ask().body == b"ok"
    assert len(gateway.failures) == 1


def test_a_file_opened_as_text_is_sent_as_utf_8(serve, tmp_path):
    """A file that gives str is taken as other text is."""
    path = tmp_path / "text"
    path.write_text("caf\u00e9" * 10_000, encoding="utf-8")
    response = serve(wrapping(lambda: open(path, encoding="utf-8"))).ask()
    assert (response.body, response.complete) == (path.read_bytes(), True)


def test_a_file_that_is_sent_before_its_app_returns_is_closed_once(tmp_path):
    """The reactor may have sent the file and had it closed while the app's call is still on its way out."""
    small, closed = tmp_path / "small", []
    small.write_bytes(b"ok")

    class File(io.FileIO):
        def close(self):
            closed.append(self)
            super().close()

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](File(small))

    with FakeWas() as fake:
        resource = WSGIResource(lambda: app, "", InlineExecutor(), fake.services, buffer_max=MB)
        server = MemoryServer(resource.render)
        connection = server.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [answer.body for answer in connection.answers()] == [b"ok"]
    assert len(closed) == 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "in close"])
def test_a_failing_file_app_is_logged_once(serve, path, late):
    """Without start_response a wrapped file is 500; what its close() raises comes after a whole response."""

    class File(io.FileIO):
        def close(self):
            super().close()
            if late:
                raise ValueError("on purpose")

    def app(environ, start_response):
        if late:
            start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](file)

    file = File(path)
    gateway = serve({"/file": app, "": plain})
    with gateway.client() as client:
        response = client.ask("/file")
        assert response.code == (200 if late else 500)
        assert response.complete
        assert client.ask().body == b"ok"
    eventually(lambda: gateway.failures)
    assert len(gateway.failures) == 1


# -- what is left ------------------------------------------------------------------------------------------


def _begin(start_response):
    return start_response("200 OK", [("Content-Type", "text/plain")])


def by_write(environ, start_response):
    _begin(start_response)(b"ok")
    return [b"ok"]


def by_parts(environ, start_response):
    _begin(start_response)
    yield b""
    yield b"ok"
    yield b"ok"


def large(environ, start_response):
    _begin(start_response)
    return [block(1) * 20]


def by_file(environ, start_response):
    _begin(start_response)
    return environ["wsgi.file_wrapper"](open(__file__, "rb"))


APPS = (plain, by_write, by_parts, large, by_file)


@pytest.mark.parametrize("threads", [1, 0], ids=["thread", "greenlets"])
def test_a_request_goes_at_once(serve, how_many, threads):
    """However it is answered, a request that is over leaves no cycle: that would wait for the collector."""
    gateway = serve({f"/{app.__name__}": app for app in APPS}, threads=threads)
    kinds = (AppCall, Pieces, Request)
    gateway.ask("/plain")
    before = how_many(*kinds)
    for app in APPS:
        gateway.ask(f"/{app.__name__}")
        eventually(lambda: how_many(*kinds) <= before, f"the end of {app.__name__}")
