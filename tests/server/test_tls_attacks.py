"""Clients that break off, stall or renegotiate within TLS."""

import socket
import ssl
import struct
import time
from contextlib import suppress

import pytest
from OpenSSL import SSL
from twisted.logger import formatEvent

from certificates import Identity
from instances import RunningInstance, make_instance
from raw_tls import ALERT, DATA, HANDSHAKE, RawTLS
from serving import eventually
from skitai.net import tls_transport
from skitai.net.tls_failures import HandshakeFailures
from wire import PATIENCE

SERVER = Identity("a.org", days=60)
APP = """
def app(environ, start_response):
    read = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b"x" * 10_000_000 if environ["PATH_INFO"] == "/big" else b"%d" % len(read)]
"""
HELLO = b"GET / HTTP/1.1\r\nHost: a.org\r\n\r\n"


def serving(reactor_thread, folder, header_timeout):
    (folder / "served.py").write_text(APP)
    (folder / "server.pem").write_bytes(SERVER.pem + SERVER.key_pem())
    (folder / "site.conf").write_text(
        "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nssl = yes\ncertfile = server.pem\n"
        f"header_timeout = {header_timeout}\n[routes:line]\n/ = served:app\n"
    )
    return RunningInstance(reactor_thread, make_instance(reactor_thread.reactor, folder / "site.conf"))


@pytest.fixture
def server(reactor_thread, tmp_path):
    """A server of HTTPS."""
    running = serving(reactor_thread, tmp_path, PATIENCE)
    yield running
    running.stop()


@pytest.fixture
def hasty(reactor_thread, tmp_path):
    """One whose clients have a second for the head of a request: on a busy machine, honest ones need more."""
    running = serving(reactor_thread, tmp_path, 1)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def _no_failures(failures):
    """Nothing may be logged with a traceback."""
    yield
    assert failures() == []


def plain(server):
    return socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def secure(server, version="TLSv1_3"):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion[version]
    return context.wrap_socket(plain(server))


def client_hello():
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.org")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def open_ones(server):
    return len(server.instance._factory.channels)


def answers(server):
    with secure(server) as client:
        client.sendall(HELLO)
        return client.recv(1000).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "begun",
    [b"", HELLO[:9], b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["idle", "in the head", "in the body"],
)
@pytest.mark.parametrize("how", ["end", "reset"])
def test_closed_without_a_word(server, begun, how):
    """A client that goes without close_notify leaves nothing behind."""
    client = secure(server)
    if begun:
        client.sendall(begun)
    bare = socket.socket(fileno=client.detach())
    if how == "reset":
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        bare.shutdown(socket.SHUT_WR)
        bare.settimeout(PATIENCE)
        while bare.recv(1000):
            pass
    bare.close()
    eventually(lambda: open_ones(server) == 0)
    assert answers(server)


def test_gone_while_reading(server):
    """So does one that goes in the middle of a response."""
    client = secure(server)
    client.sendall(b"GET /big HTTP/1.1\r\nHost: a.org\r\n\r\n")
    assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
    socket.socket(fileno=client.detach()).close()
    eventually(lambda: open_ones(server) == 0)
    assert answers(server)


@pytest.mark.parametrize("begun", [b"", client_hello()[:50], client_hello()], ids=len)
def test_handshake_that_never_ends(hasty, begun):
    """Whoever does not end the handshake within header_timeout is cut off."""
    with plain(hasty) as client:
        client.sendall(begun)
        began = time.monotonic()
        with suppress(ConnectionResetError):
            while client.recv(10_000):
                pass
        assert 0.5 < time.monotonic() - began < 10
    eventually(lambda: open_ones(hasty) == 0)


def test_handshake_in_drops(hasty):
    """A client that sends a byte now and then gains no time."""
    began = time.monotonic()
    with plain(hasty) as client:
        for byte in client_hello():
            try:
                client.sendall(bytes([byte]))
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(0.1)
        else:
            pytest.fail("the server read on")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x80" * 100, b"\x15\x03\x03\x00\x02\x02\x28"]
)
def test_garbage(server, sent):
    """What is no TLS ends that connection only."""
    with plain(server) as client, suppress(ConnectionResetError):
        client.sendall(sent)
        while client.recv(10_000):
            pass
    assert answers(server)


@pytest.mark.parametrize("asked", [HELLO, b"CONNECT a.org:443 HTTP/1.1\r\nHost: a.org\r\n\r\n"])
def test_http_without_tls(server, asked):
    """Who asks in the clear is told what is wrong, in words that a person can read."""
    with plain(server) as client:
        client.sendall(asked)
        head, _, body = client.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"begin the address with https://" in body
    assert answers(server)


def test_renegotiation(server):
    """A client cannot have the handshake again and again (RFC 5746; CVE-2011-1473)."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    with plain(server) as bare:
        bare.setblocking(True)
        bare.settimeout(None)
        client = SSL.Connection(context, bare)
        client.set_connect_state()
        client.do_handshake()
        finished = client.get_finished()
        assert client.renegotiate()
        with pytest.raises(SSL.Error, match="no renegotiation"):
            client.do_handshake()
        assert client.get_finished() == finished
    assert answers(server)


def test_new_keys(server):
    """Either side may have new keys, also within a request (RFC 8446, section 4.6.3)."""
    with RawTLS(server.port) as client:
        for asks in (False, True):
            client.socket.sendall(client.key_update(asks=asks) + client.record(HELLO[:9]))
            client.socket.sendall(client.key_update(asks=asks) + client.record(HELLO[9:]))
            kind, content = client.read()
            while kind == HANDSHAKE:  # tickets
                kind, content = client.read()
            assert (kind, content[:15]) == (DATA, b"HTTP/1.1 200 OK")
        assert client.updates


@pytest.mark.parametrize("asks", [False, True], ids=["own", "both"])
def test_flood_of_new_keys(server, asks, log, monkeypatch):
    """Keys that are changed again and again hold up all others: that is the end, and is logged."""
    monkeypatch.setattr(tls_transport, "FAILURES", HandshakeFailures())
    with RawTLS(server.port) as client:
        client.socket.sendall(client.record(HELLO[:9]))
        flood = b"".join(client.key_update(asks=asks) for _ in range(2000))
        with suppress(OSError):
            client.socket.sendall(flood)
            client.socket.sendall(client.record(HELLO[9:]))
            while client.read()[0] != DATA:
                pass
            pytest.fail("it was answered")
    eventually(lambda: open_ones(server) == 0)
    (line,) = [formatEvent(event) for event in log if "without data" in event.get("what", "")]
    assert line == "TLS with 127.0.0.1 is cut off: it sends records without data"
    assert answers(server)


@pytest.mark.parametrize(("size", "padding"), [(1, 0), (100, 4000)], ids=["bytes", "padded"])
def test_small_records(server, size, padding):
    """Records of a byte each, or padded ones, are a matter of the client."""
    body = b"x" * 20_000
    data = b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with RawTLS(server.port) as client:
        for start in range(0, len(data), size):
            client.socket.sendall(client.record(data[start : start + size], padding=padding))
        content = b""
        while b"20000" not in content:
            kind, content = client.read()
            assert kind in (HANDSHAKE, DATA)


def test_refused_in_small_records(server):
    """What is no more read of records of a byte each is no flood: the refusal still arrives."""
    head = b"GET / HTTP/1.1\r\nHost: a.org\r\nBad Name: x\r\n\r\n" + b"x" * 1000
    with RawTLS(server.port) as client:
        client.socket.sendall(b"".join(client.record(head[start : start + 1]) for start in range(len(head))))
        while (found := client.read())[0] == HANDSHAKE:
            pass
        assert found[1].startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("kind", [DATA, HANDSHAKE, ALERT])
def test_empty_records(server, kind):
    """A row of records with nothing in them is the end."""
    with RawTLS(server.port) as client:
        client.socket.sendall(b"".join(client.record(b"", kind) for _ in range(100)))
        with suppress(EOFError, ConnectionResetError):
            while client.read()[0] == HANDSHAKE:
                pass
    eventually(lambda: open_ones(server) == 0)
    assert answers(server)


def test_http_without_tls_and_a_long_body(server):
    """Whoever has not sent all yet is told, too, and not reset."""
    with plain(server) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: a.org\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
        )
        assert b"begin the address with https://" in client.makefile("rb").read()
    assert answers(server)
