"""Clients that speak HTTP/2 to the proxy; members speak HTTP/1.1."""

import shutil
import subprocess

import pytest
from h2.errors import ErrorCodes
from proxy_h2 import H2Client

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
BODY = bytes(range(256)) * 4000


def curl(server, *options):
    """Start curl, which shows the version and the status behind the body."""
    url = f"http://127.0.0.1:{server.port}/shop/a"
    flags = ("-s", "--max-time", "20", "--http2-prior-knowledge", "-w", " %{http_version} %{http_code}")
    return subprocess.Popen(["curl", *flags, *options, url], stdout=subprocess.PIPE)


@pytest.fixture(params=["yes", "no"])
def server(proxy, request):
    """Return a proxy that speaks HTTP/2 without TLS, with and without buffer."""
    made = []

    def start(member):
        made.append(
            proxy(member, server="access_log = off\nh2c = yes", routes=f"/shop = @up buffer={request.param}")
        )
        return made[-1]

    return start


def test_get(server, member):
    """A request and its reply, with all that the member is told."""
    with curl(server(member), "-H", "Cookie: a=b") as client:
        head, _ = member.accept().answer()
        assert head.startswith(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"cookie: a=b\r\n" in head
        assert b"Via: 2 skitai\r\n" in head
        assert b"\r\n:" not in head
        assert client.stdout.read() == b"ok 2 200"


def test_bodies(server, member, tmp_path):
    """Bodies of a megabyte, both ways."""
    (tmp_path / "sent").write_bytes(BODY)
    with curl(server(member), "-T", str(tmp_path / "sent")) as client:
        head, body = member.accept().answer(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
        )
        assert head.startswith(b"PUT /a HTTP/1.1\r\n")
        assert body == BODY
        assert client.stdout.read() == BODY + b" 2 200"


def test_broken_off(server, member):
    """A reply that breaks off ends the stream with an error, not as a complete one.

    The client is h2: curl 7.88 does not see a reset behind the data, and waits for its own time-out.
    """
    with H2Client(server(member).port) as client:
        stream = client.get("/shop/a")
        connection = member.accept()
        connection.answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        reply = client.reply(stream, size=3)
        assert (reply.code, reply.body, reply.reset) == (200, b"abc", None)
        connection.close()
        assert client.reply(stream, reply).reset == ErrorCodes.INTERNAL_ERROR


def test_events(server, member):
    """Each event comes at once."""
    with curl(server(member), "-N") as client:
        connection = member.accept()
        connection.answer(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(3):
            event = b"data: %d\n\n" % number
            connection.send(b"%x\r\n%b\r\n" % (len(event), event))
            assert client.stdout.read(len(event)) == event
        connection.send(b"0\r\n\r\n")
        assert client.stdout.read() == b" 2 200"
