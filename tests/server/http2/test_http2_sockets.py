"""HTTP/2 over real sockets: with TLS and without, on both executors, by h2 and by curl."""

import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager

import h2.config
import h2.connection
import h2.events
import pytest

from certificates import Identity
from instances import RunningInstance, make_instance
from serving import eventually
from skitai.net.tls_transport import TLSTransport
from skitai.server.http2.channel import HTTP2Channel
from skitai.server.http2.stream import Stream
from skitai.server.request.request import Request
from wire import PATIENCE

APP = """
import hashlib, threading
open_gate = threading.Event()

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/wait":
        open_gate.wait(10)
    if path == "/open":
        open_gate.set()
    digest = hashlib.sha256()
    size = 0
    while piece := environ["wsgi.input"].read(65536):
        size += len(piece)
        digest.update(piece)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/large":
        return (b"x" * 50_000 for _ in range(100))
    names = ("SERVER_PROTOCOL", "REQUEST_METHOD", "wsgi.url_scheme", "REMOTE_ADDR")
    return [" ".join([*(environ[name] for name in names), str(size), digest.hexdigest()[:8]]).encode()]
"""


@pytest.fixture
def serve(reactor_thread, threads, tmp_path):
    """Return ``serve(*lines)``: an instance with these lines in its config."""
    running = []
    identity = Identity("localhost")
    (tmp_path / "server.pem").write_bytes(identity.pem + identity.key_pem())
    (tmp_path / "served2.py").write_text(APP)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "file.txt").write_text("a file")

    def start(*lines):
        config = tmp_path / "site.conf"
        config.write_text(
            "\n".join(
                [
                    "[server]\nip = 127.0.0.1\nport = 0",
                    f"access_log = {tmp_path / 'access.log'}\nthreads = {threads}",
                    *lines,
                    "[routes:line]\n/ = static\n/ = served2:app\n",
                ]
            )
        )
        running.append(RunningInstance(reactor_thread, make_instance(reactor_thread.reactor, config)))
        return running[-1]

    yield start
    for instance in running:
        instance.stop()


TLS = ("ssl = yes", "certfile = server.pem")


class SocketClient:
    """A connection of h2 over a socket."""

    def __init__(self, port, *, tls):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as all clients of HTTP/2 do
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2", "http/1.1"])
            self.socket = context.wrap_socket(self.socket)
            assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.bodies, self.ended, self.protocols = {}, set(), []

    def ask(self, path, method="GET", *, ends=True):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        self.h2.send_headers(stream, fields, end_stream=ends)
        self.socket.sendall(self.h2.data_to_send())
        return stream

    def read(self):
        """Take what comes."""
        data = self.socket.recv(65536)
        assert data, "the connection was closed"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
        self.socket.sendall(self.h2.data_to_send())

    def body(self, stream):
        while stream not in self.ended:
            self.read()
        return self.bodies[stream]

    def upload(self, path, size):
        stream = self.ask(path, "POST", ends=False)
        left = size
        while left:
            window = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, left)
            if window:
                left -= window
                self.h2.send_data(stream, b"x" * window, end_stream=not left)
                self.socket.sendall(self.h2.data_to_send())
            else:
                self.read()
        return stream


@contextmanager
def connected(port, *, tls):
    client = SocketClient(port, tls=tls)
    try:
        yield client
    finally:
        client.socket.close()


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "clear"])
def test_all_kinds_of_answers(serve, tls, tmp_path):
    server = serve(*(TLS if tls else ("h2c = yes",)))
    with connected(server.port, tls=tls) as client:
        scheme = b"https" if tls else b"http"
        assert client.body(client.ask("/")).startswith(b"HTTP/2 GET %b 127.0.0.1 0 " % scheme)
        assert client.body(client.ask("/ping")) == b"pong"
        assert client.body(client.ask("/file.txt")) == b"a file"
        assert len(client.body(client.ask("/large"))) == 5_000_000
        uploaded = client.body(client.upload("/up", 3_000_000))
        assert uploaded.startswith(b"HTTP/2 POST %b 127.0.0.1 3000000 " % scheme)
        several = [client.ask("/large"), client.ask("/"), client.ask("/large")]
        assert [len(client.body(stream)) > 20 for stream in several] == [True] * 3
    server.stop()
    server.stop = lambda: None
    log = (tmp_path / "access.log").read_text()
    assert "GET /file.txt HTTP/2 200 " in log
    assert "POST /up HTTP/2 200 " in log


def test_http2_off(serve):
    server = serve(*TLS, "http2 = no")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain,
        context.wrap_socket(plain) as client,
    ):
        assert client.selected_alpn_protocol() == "http/1.1"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("tls", [True, False], ids=["tls", "clear"])
def test_curl(serve, tls, tmp_path):
    server = serve(*(TLS if tls else ("h2c = yes",)))
    base = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}"
    flag = "--http2" if tls else "--http2-prior-knowledge"

    def curl(*options):
        command = ["curl", "-sk", "--max-time", "20", flag, "-w", " %{http_version} %{http_code}", *options]
        return subprocess.run(command, capture_output=True, check=True).stdout

    big = tmp_path / "big"
    big.write_bytes(b"z" * 2_000_000)
    assert curl(f"{base}/").endswith(b" 2 200")
    assert b" PUT " in curl("-T", str(big), f"{base}/up")
    assert curl("-o", str(tmp_path / "got"), f"{base}/large").endswith(b" 2 200")
    assert (tmp_path / "got").stat().st_size == 5_000_000
    assert curl("-I", f"{base}/file.txt").startswith(b"HTTP/2 200 ")
    assert curl("--http1.1", f"{base}/").endswith(b" 1.1 200")


def test_a_connection_that_the_server_ends_is_gone_when_its_client_closes(serve, reactor_thread):
    server = serve("h2c = yes")
    with connected(server.port, tls=False) as client:
        client.socket.sendall(client.h2.data_to_send() + b"\0\0\0\0\0\0\0\0\0")  # DATA on no stream
        seen = b""
        while piece := client.socket.recv(65536):
            seen += piece
        assert b"DATA on an idle stream" in seen
    eventually(lambda: reactor_thread.call(server.instance._connections)["open"] == 0, "the end")


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "clear"])
def test_what_is_over_goes_at_once(serve, how_many, tls):
    """Cycles would keep requests, and their whole connection, until there is a garbage collection."""
    requests, connections = (Stream, Request), (HTTP2Channel, TLSTransport)
    before = how_many(*requests), how_many(*connections)
    server = serve(*(TLS if tls else ("h2c = yes",)))
    with connected(server.port, tls=tls) as client:
        for path in ("/", "/file.txt", "/large", "/nothing/there"):
            client.body(client.ask(path))
        client.body(client.upload("/up", 100_000))
        eventually(lambda: how_many(*requests) <= before[0], "the end of the requests")
        for path in ("/large", "/"):
            client.h2.reset_stream(client.ask(path))
        client.upload("/up", 100_000)
    eventually(lambda: how_many(*requests) <= before[0], "the end of the last requests")
    eventually(lambda: how_many(*connections) <= before[1], "the end of the connection")


def test_a_stop_lets_requests_end(serve, threads):
    """What is under way when the server stops is answered; the connection then ends in good order."""
    if not threads:
        pytest.skip("a greenlet that waits for a lock holds up the others")
    server = serve("h2c = yes")
    with connected(server.port, tls=False) as client:
        client.ask("/wait")
        client.body(client.ask("/ping"))
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        client.ask("/open")
        seen = b""
        client.socket.settimeout(PATIENCE)
        while piece := client.socket.recv(65536):
            seen += piece
    stopping.join(PATIENCE)  # for a client that does not close, the server lingers
    server.stop = lambda: None
    assert b"HTTP/2 GET" in seen
    assert seen.count(b"\x07\0\0\0\0\0") >= 2  # both GOAWAYs
