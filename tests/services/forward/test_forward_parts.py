"""Parts of the forward proxy by themselves: what cannot be had, or only rarely, over sockets."""

import socket
import ssl
import threading
from types import SimpleNamespace

import pytest
from forward_world import LISTS, Forward, basic
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection

from certificates import Identity
from serving import eventually
from skitai.errors import MisuseError
from skitai.net.addresses import HTTPNode
from skitai.services import forward as forward_plugin
from skitai.services.forward.message import OutwardMessage
from skitai.services.forward.tunnel import ConnectTunnel
from skitai.services.forward.way import OneDestination, Outward
from skitai.services.proxy.fields import UnsendableError

#: A reply whose connection is not used again.
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def server(forward):
    return forward()


def proxy_of(server):
    return forward_plugin.plugin._proxies(server.instance)[0]


def request(host="1.2.3.4", version="1.1", **attributes):
    """Return what the proxy looks at of a request."""
    made = SimpleNamespace(
        connection=SimpleNamespace(peer=SimpleNamespace(host=host)),
        method=b"GET",
        uri=b"http://a.example/b",
        path=b"/b",
        query=b"",
        version=version,
        headers=[],
        gone=False,
        field=lambda name: None,
    )
    made.__dict__.update(attributes)
    return made


class Connected(StringTransportWithDisconnection):
    """A transport that may have no producer, as real ones."""

    def unregisterProducer(self):
        pass


def way(**options):
    return Outward(
        cluster=OneDestination(HTTPNode("a.example", 80)), pool=None, seconds=None, waiting_max=1, **options
    )


@pytest.mark.parametrize(
    ("host", "lines"),
    [
        ("1.2.3.4", b"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n"),
        ("::1", b'X-Forwarded-For: ::1\r\nForwarded: for="[::1]"\r\n'),
        (None, b""),
    ],
)
def test_what_is_told_of_the_client(host, lines):
    """An IPv6 address is written as RFC 7239 wants it; a Unix socket has none."""
    told = OutwardMessage(way(tells_client=True), request(host)).encode("a.example")
    assert told == b"GET /b HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 skitai\r\n" + lines + b"\r\n"


def test_unsendable():
    """Whatever protocol brought it, a field of several lines is not sent."""
    broken = request(headers=[(b"x", b"a\r\nGET / HTTP/1.1")])
    with pytest.raises(UnsendableError):
        OutwardMessage(way(), broken)


def test_unsendable_is_refused(server, reactor_thread):
    """Such a request gets 400."""
    answers = []
    broken = request(
        headers=[(b"x", b"a\nb")],
        fail=lambda code, *fields, detail: answers.append(code),
        authority=b"127.0.0.1:1",
        host="127.0.0.1",
    )
    broken.connection.peer = SimpleNamespace(host="127.0.0.1")
    reactor_thread.call(lambda: proxy_of(server).render(broken) and None)
    assert answers == [400]


def test_http2_opens_no_tunnel(server, reactor_thread):
    """Should a stream bring CONNECT, or a target in absolute-form, nothing is forwarded for it."""
    answers = []
    stream = request(version="2", method=b"CONNECT", fail=lambda code, *fields, detail: answers.append(code))
    reactor_thread.call(lambda: proxy_of(server).at_head(stream) and None)
    assert answers == [405]
    assert not proxy_of(server).takes(stream)


@pytest.mark.parametrize("gone", [False, True])
def test_nobody_takes_the_tunnel(server, reactor_thread, gone):
    """A client that is gone, or was answered otherwise, leaves no connection to the destination."""

    def take_over(protocol, status):
        raise MisuseError("it is too late")

    def connected():
        tunnel = ConnectTunnel(Clock(), 10, lambda sent, received: ended.append(1))
        tunnel.member.makeConnection(Connected())
        tunnel.member.transport.protocol = tunnel.member
        proxy_of(server)._connected(request(gone=gone, take_over=take_over), tunnel)
        return tunnel

    ended = []
    tunnel = reactor_thread.call(connected)
    assert (ended, tunnel.member.transport) == ([1], None)


def test_a_bug_is_a_500(server, reactor_thread, monkeypatch):
    """What goes wrong in the proxy itself is told in the log, and to the client."""
    monkeypatch.setattr(proxy_of(server)._gate, "_check_client", None)
    assert server.fetch("http://a.example/").code == 500


@pytest.fixture
def secure(forward, tmp_path):
    """A proxy with TLS."""
    path = tmp_path / "own.pem"
    made = Identity("127.0.0.1")
    path.write_bytes(made.key_pem() + made.pem)
    return forward(server=f"{LISTS}\nssl = yes\ncertfile = {path}\nhttp2 = no")


@pytest.mark.parametrize("first", ["client", "destination"])
def test_no_half_close_within_tls(secure, destination, first):
    """With TLS on one side, the end of one direction ends both, when all that was sent has arrived."""
    context = ssl._create_unverified_context()
    with context.wrap_socket(socket.create_connection(("127.0.0.1", secure.port))) as client:
        client.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        connection = destination.accept()
        answer = client.makefile("rb")
        assert answer.readline() == b"HTTP/1.1 200 Connection established\r\n"
        while answer.readline() != b"\r\n":
            pass
        data = b"x" * 300_000
        if first == "client":
            client.sendall(data)
            client.unwrap()
            assert connection.file.read() == data
        else:
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
            assert answer.read() == data
            assert connection.at_end()
    eventually(lambda: secure.counts()["open tunnels"] == 0, "the end of the tunnel")


def test_workers(running_server, destination):
    """With several processes each is a proxy; the log shows the requests, without passwords."""
    server = running_server(
        "[server]\nip = 127.0.0.1\nport = 0\nprocesses = 2\nenable_proxy = yes\n"
        f"{LISTS}\nproxy_users = anna:s3cret\n"
    )
    url = f"http://127.0.0.1:{destination.port}/a"
    for _ in range(3):
        answering = threading.Thread(target=lambda: destination.accept().answer(LAST))
        answering.start()
        assert server.ask(url, fields=[basic("anna", "s3cret")]).code == 200
        answering.join()
    assert server.ask(url, fields=[basic("anna", "wr0ng")]).code == 407
    eventually(lambda: f"GET {url} HTTP/1.1 407" in server.log_text(), "the line of the access log")
    eventually(lambda: "a wrong password, or an unknown user 'anna'" in server.log_text(), "the line")
    assert "s3cret" not in server.log_text()
    assert "wr0ng" not in server.log_text()


def test_own_tunnels_are_no_apps(reactor_thread, tmp_path):
    """The connections of clients are not those of was.*: each has a pool of its own."""
    from skitai.services.http.connections import connections_of

    made = Forward(reactor_thread, tmp_path)
    assert proxy_of(made).pool is not connections_of(made.instance).pool
    made.stop()


class Stuck(Connected):
    """A transport whose peer takes nothing: it closes only if it is cut."""

    def registerProducer(self, producer, streaming):
        pass

    def loseConnection(self):
        self.disconnecting = True

    def abortConnection(self):
        self.protocol.connectionLost(None)


def test_a_closed_side_is_cut():
    """A side that does not take what was sent to it is cut when the idle time is over; then no timer runs."""
    clock, ended = Clock(), []
    tunnel = ConnectTunnel(clock, 10, lambda sent, received: ended.append((sent, received)))
    for end in (tunnel.client, tunnel.member):
        end.makeConnection(Stuck())
        end.transport.protocol = end
    tunnel.open()
    clock.advance(9)
    tunnel.client.dataReceived(b"abc")
    clock.advance(9)
    assert not ended
    clock.advance(1)
    assert (ended, tunnel.member.transport.disconnecting) == ([(3, 0)], True)
    tunnel.client.transport.abortConnection()
    tunnel.client.readConnectionLost()
    assert tunnel.member.transport is not None
    clock.advance(10)
    assert (tunnel.member.transport, clock.getDelayedCalls(), len(ended)) == (None, [], 1)
