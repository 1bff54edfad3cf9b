"""The socket of a connection in the hands of an app: what comes, what goes, and how it ends."""

import gc
import os
import socket
import ssl
import struct
import threading
from collections import Counter
from contextlib import suppress

import pytest
from websocket_server import HANDSHAKE, shared

from certificates import Identity
from serving import eventually
from wire import PATIENCE

APP = """
from websocket_server import shared

def app(environ, start_response):
    if environ["PATH_INFO"] == "/hello":
        start_response("200 OK", [])
        return [b"hello"]
    return shared.use(environ, start_response) or []
"""
HEAD = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **HANDSHAKE}.items())
#: Closes with a reset, not in order.
ABRUPTLY = struct.pack("ii", 1, 0)
LARGE = os.urandom(1 << 20) * 16


@pytest.fixture
def start(serve_app):
    """Return ``start(use)``: a server whose app calls ``use(socket)``; ``shared.runs`` has the results."""
    shared.gate = threading.Event()

    def begin(use, **options):
        def run(environ, _start_response):
            shared.runs.append(use(environ["gunicorn.socket"]))

        shared.use = run
        return serve_app(APP, **options)

    yield begin
    shared.gate.set()


@pytest.fixture
def call(start, opened):
    """Return ``call(use, sent=b"")``: a server as of ``start``, and a client that has sent a handshake."""

    def begin(use, sent=b"", **options):
        server = start(use, **options)
        return server, knock(server, opened, sent)

    return begin


def knock(server, opened, sent=b"", context=None):
    """Return a client that has sent a handshake, and ``sent`` right after it; with TLS, if ``context``."""
    client = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    if context is not None:
        client = context.wrap_socket(client, server_hostname="127.0.0.1")
    opened.enter_context(client)
    client.sendall(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode() + sent)
    return client


def read_all(sock):
    return b"".join(iter(lambda: sock.recv(65536), b""))


def outcome():
    """Return what the app's use of the socket has returned."""
    return eventually(lambda: shared.runs)[-1]


def test_only_what_the_app_sends(call):
    """The server adds nothing, and hands over first what came right behind the head."""

    def use(sock):
        got = sock.recv(100)
        sock.sendall(b"anything " + got)
        return [b"ignored"]

    server, client = call(use, b"early")
    assert read_all(client) == b"anything early"
    client.close()
    server.idle()
    assert server.failures == []


def test_the_response_is_ignored(start, opened):
    """Whatever the app answers after it has used the socket."""

    def use(environ, start_response):
        environ["gunicorn.socket"].sendall(b"from the socket")
        write = start_response("200 OK", [])
        with suppress(Exception):
            write(b"written")
        return iter([b"returned"])

    server = start(None)
    shared.use = use
    assert read_all(knock(server, opened)) == b"from the socket"
    assert server.failures == []


def test_an_app_that_fails(call):
    """What it raises is logged, and the connection is closed."""

    def use(sock):
        sock.sendall(b"so far")
        raise LookupError("failed on purpose")

    server, client = call(use, close_timeout="0.3")  # the traceback keeps the socket
    assert read_all(client) == b"so far"
    client.close()
    server.idle()
    assert len(server.failures) == 1
    assert "failed on purpose" in server.failures[0]


def test_the_client_ends_first(call):
    """The end of its sending is the end of the app's input; it still gets the answer."""

    def use(sock):
        got = read_all(sock)
        sock.sendall(got[::-1])

    server, client = call(use)
    client.sendall(LARGE)
    client.shutdown(socket.SHUT_WR)
    assert read_all(client) == LARGE[::-1]
    server.idle()


def test_the_app_ends_first(call):
    """The end of its sending is the end of what the client gets, which may go on."""

    def use(sock):
        sock.sendall(b"all")
        sock.shutdown(socket.SHUT_WR)
        return read_all(sock)

    server, client = call(use)
    assert read_all(client) == b"all"
    client.sendall(LARGE)
    client.shutdown(socket.SHUT_WR)
    assert outcome() == LARGE
    server.idle()


def test_a_slow_client(call):
    """It makes its app wait and nobody else, and not much is kept for it."""
    sent = [0]

    def use(sock):
        for at in range(0, len(LARGE), 65536):
            sock.sendall(LARGE[at : at + 65536])
            sent[0] += 65536

    server, client = call(use)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    stuck = until_it_stops(lambda: sent[0])
    assert stuck < len(LARGE) / 2
    assert server.ask("/hello").body == b"hello"
    assert read_all(client) == LARGE
    client.close()
    server.idle()


def test_a_slow_app(call):
    """It makes its client wait and nobody else."""

    def use(sock):
        sock.fileno()
        shared.gate.wait(PATIENCE)
        return read_all(sock)

    server, client = call(use)
    sent = [0]

    def send():
        for at in range(0, len(LARGE), 65536):
            client.sendall(LARGE[at : at + 65536])
            sent[0] += 65536
        client.shutdown(socket.SHUT_WR)

    sending = threading.Thread(target=send)
    sending.start()
    stuck = until_it_stops(lambda: sent[0])
    assert stuck < len(LARGE) / 2
    assert server.ask("/hello").body == b"hello"
    shared.gate.set()
    sending.join(PATIENCE)
    assert outcome() == LARGE
    server.idle()


def until_it_stops(count):
    """Return ``count()`` when it is the same for a quarter of a second."""
    pause = threading.Event()
    last = -1
    while (now := count()) != last:
        last = now
        pause.wait(0.25)
    return now


def test_a_client_that_is_gone(call):
    """The app sees the end of its input, and can send no more."""

    def use(sock):
        sock.sendall(b"there")
        got = read_all(sock)
        with pytest.raises(BrokenPipeError):
            sock.sendall(LARGE)
        return got

    server, client = call(use)
    assert client.recv(5) == b"there"
    client.sendall(b"last")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
    client.close()
    assert outcome() in (b"last", b"")  # a reset may overtake what was sent before
    server.idle()
    assert server.failures == []


def test_a_client_that_was_gone_before(call):
    """It is noticed when the socket is used."""

    def use(sock):
        shared.gate.wait(PATIENCE)
        return read_all(sock)

    server, client = call(use)
    client.close()
    shared.gate.set()
    assert outcome() == b""
    server.idle()


def test_a_socket_that_is_kept(call):
    """Some time after the app has returned, its socket is at its end, whoever has it."""
    kept = []

    def use(sock):
        kept.append(sock)
        sock.sendall(b"bye")
        threading.Thread(target=answer, args=(sock,)).start()

    def answer(sock):
        assert sock.recv(10) == b""
        sock.sendall(b" and more")

    server, client = call(use, close_timeout="0.3")
    assert read_all(client) == b"bye and more"
    client.close()
    server.idle()
    assert kept[-1].recv(10) == b""
    with pytest.raises(BrokenPipeError):
        kept[-1].send(b"more")
    kept[-1].close()


def test_a_client_that_does_not_close(call):
    """It is cut off close_timeout after the app's end."""
    server, client = call(lambda sock: sock.sendall(b"bye"), close_timeout="0.3")
    assert read_all(client) == b"bye"
    server.idle()
    assert server.failures == []


def test_a_client_that_does_not_read_the_end(call, opened):
    """It is cut off close_timeout after it has read something for the last time."""

    def use(sock):
        sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sock.send(b"x" * 65536)
        return "returned"

    server, _client = call(use, close_timeout="0.3")
    assert outcome() == "returned"
    server.idle()
    assert server.failures == []


def test_first_use_elsewhere(call):
    """Another thread than that of the app's call cannot begin, and the app may still answer."""

    def use(sock):
        def begin():
            with pytest.raises(OSError, match="must first be used where the app is called"):
                sock.recv(1)
            refused.append(True)

        thread = threading.Thread(target=begin)
        thread.start()
        thread.join(PATIENCE)
        sock.sendall(b"here")

    refused = []
    _server, client = call(use)
    assert read_all(client) == b"here"
    assert refused


def test_first_use_too_late(start):
    """When the app has answered, its socket is none any more. Looking at it is no use."""
    kept = []

    def use(environ, start_response):
        kept.append(environ["gunicorn.socket"])
        assert "Lazy" in repr(kept[-1])
        start_response("403 Forbidden", [])
        return [b"no"]

    server = start(None)
    shared.use = use
    assert server.handshake()[1].code == 403
    with pytest.raises(OSError, match="must first be used where the app is called"):
        kept[0].recv(1)
    assert server.statistics["threads"] == 0


def test_server_stop(call):
    """The app sees the end of its input, and may still say goodbye."""

    def use(sock):
        sock.sendall(b"hello")
        assert read_all(sock) == b""
        sock.sendall(b" and goodbye")

    server, client = call(use)
    assert client.recv(5) == b"hello"
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    assert read_all(client) == b" and goodbye"
    client.close()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert server.failures == []


def test_server_stop_is_not_held_up(call):
    """An app that does not end is cut off when the time of requests under way is over."""

    def use(sock):
        sock.sendall(b"hello")
        shared.gate.wait(PATIENCE)

    server, client = call(use, server="response_timeout = 0.3")
    assert client.recv(5) == b"hello"
    server.stop()
    with suppress(ConnectionResetError):
        assert client.recv(5) == b""
    shared.gate.set()


def test_tls(start, tmp_path, opened):
    """Bytes go both ways at once, and the close is one of TLS."""

    def use(sock):
        sock.setblocking(True)
        sender = threading.Thread(target=sock.sendall, args=(LARGE,))
        sender.start()
        got = sock.recv(len(LARGE), socket.MSG_WAITALL)
        sender.join(PATIENCE)
        return got

    identity = Identity("127.0.0.1")
    pem = tmp_path / "server.pem"
    pem.write_bytes(identity.pem + identity.key_pem())
    server = start(use, server=f"certfile = {pem}\nssl = yes")
    client = knock(server, opened, context=ssl.create_default_context(cadata=identity.pem.decode()))
    client.sendall(LARGE)  # not in a thread: an SSL object is for one at a time
    assert read_all(client) == LARGE  # a connection that is cut would raise SSLEOFError
    assert outcome() == LARGE
    client.close()
    server.idle()
    assert server.failures == []


def app_threads():
    """Return how many threads may run apps."""
    names = [thread.name for thread in threading.enumerate()]
    return sum(name.startswith(("skitai-app", "skitai-websocket")) for name in names)


def left_over(server):
    """Return how many descriptors, threads, timers and objects there are."""
    gc.collect()
    names = ("AppEnd", "LazySocket", "Offer", "Pump", "socket")
    counts = dict.fromkeys(names, 0)
    for kind, count in Counter(map(type, gc.get_objects())).items():  # there may be a million
        if kind.__name__ in counts:
            counts[kind.__name__] += count
    counts["descriptors"] = len(os.listdir("/proc/self/fd"))
    counts["threads"] = app_threads()
    counts["timers"] = len(server.loop.call(lambda: server.loop.reactor.getDelayedCalls()))
    return counts


def test_coming_and_going(start, opened):
    """Many clients, some of them abruptly gone, even at once, leave nothing behind."""

    def use(sock):
        with suppress(BrokenPipeError):
            sock.sendall(b"hello")
        sock.recv(10)
        sock.close()

    server = start(use)

    def visit(number):
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            client.sendall(f"GET / HTTP/1.1\r\n{HEAD}\r\n".encode())
            if number % 3:
                assert client.recv(5) == b"hello"
            if number % 2:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)

    def is_as_before():
        found = left_over(server)
        return all(found[name] <= before[name] for name in found)

    before = left_over(server)  # the tracebacks of other tests may keep something
    visit(0)
    eventually(is_as_before, "the end of the first websocket")
    for number in range(150):
        visit(number)
    eventually(is_as_before, "the end of all websockets")
    assert server.failures == []
