"""TLS on both sides of the proxy, with the same behaviour as without."""

import contextlib
import socket
import ssl
import threading

import pytest

from certificates import Identity

LOOPBACK = Identity("127.0.0.1", authority=True)
BODY = bytes(range(256)) * 8000


@pytest.fixture
def secure(proxy, member, tmp_path):
    """Return a TLS connection to the proxy, and a function that accepts its TLS connection as the member."""
    (tmp_path / "own.pem").write_bytes(LOOPBACK.pem + LOOPBACK.key_pem())
    (tmp_path / "ca.pem").write_bytes(LOOPBACK.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")

    def accept():
        listening, member.socket = member.socket, context.wrap_socket(member.socket, server_side=True)
        listening.close()
        return member.accept()

    server = proxy(
        member,
        server="access_log = off\nssl = yes\ncertfile = own.pem",
        routes="/ = @up host=member",
        up="ssl = yes\nca = ca.pem",
    )
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with server.client() as client:
        client.socket = trusting.wrap_socket(
            client.socket, server_hostname="127.0.0.1", suppress_ragged_eofs=False
        )
        client._file = client.socket.makefile("rb")
        yield client, accept


def test_both_ways(secure):
    """Bodies go both ways, and the member is told that the client speaks TLS."""
    client, accept = secure
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    connection = accept()
    head, body = connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    assert body == BODY
    assert b"X-Forwarded-Proto: https\r\n" in head
    assert client.response().body == BODY


def test_tunnel(secure):
    """A tunnel leads through both."""
    client, accept = secure
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    connection = accept()
    connection.answer(b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
    assert client.read_head().code == 101
    assert client.read(5) == b"early"
    client.send(BODY)
    assert connection.file.read(len(BODY)) == BODY
    connection.send(BODY)
    assert client.read(len(BODY)) == BODY
    client.socket.unwrap()
    assert connection.at_end()


def test_client_leaves(secure):
    """A client that closes keeps no member busy that has nothing to say yet."""
    client, accept = secure
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection = accept()
    assert connection.head()
    client.socket.settimeout(0)
    with pytest.raises(ssl.SSLWantReadError):
        client.socket.unwrap()
    socket.socket(fileno=client.socket.detach()).close()
    assert connection.at_end()


def test_broken_off(secure):
    """A reply that breaks off is no complete one."""
    client, accept = secure
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection = accept()
    connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    assert client.read_head().code == 200
    assert client.read(3) == b"abc"
    connection.close()
    with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
        client.socket.recv(10)


AUTHORITY = Identity(authority=True)


@pytest.mark.parametrize(
    ("identity", "up", "keys"),
    [
        (Identity("127.0.0.1"), "", "ca or verify"),
        (Identity("127.0.0.1", issuer=AUTHORITY), "", "ca or verify"),
        (Identity("a.example", issuer=AUTHORITY), "\nca = ca.pem", "members or verify"),
        (Identity("127.0.0.1", issuer=AUTHORITY, days=-1), "\nca = ca.pem", "verify"),
    ],
    ids=["self-signed", "unknown issuer", "another name", "expired"],
)
def test_certificate_refused(proxy, member, lines, tmp_path, identity, up, keys):
    """The page and the log name the keys that help where the certificate of a member is refused."""
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.pem)
    (tmp_path / "own.pem").write_bytes(identity.pem + identity.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own.pem")

    def shake_hands():
        with contextlib.suppress(OSError):  # of which a failure of TLS is one
            context.wrap_socket(member.socket.accept()[0], server_side=True).close()

    thread = threading.Thread(target=shake_hands, daemon=True)
    thread.start()
    server = proxy(member, up=f"ssl = yes{up}")
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        response = client.response()
    thread.join(10)
    assert response.code == 502
    assert f"the certificate of its member is refused ({keys} in [@up])" in response.body.decode()
    (line,) = [line for line in lines() if line.startswith("the proxy")]
    assert line.endswith(f" ({keys} in [@up])")


def test_member_without_tls(proxy, member, log_lines):
    """A member that answers TLS with HTTP is named with the key that asks for TLS."""
    server = proxy(member, routes="/ = @up", up="ssl = yes\nverify = no")
    with server.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        member.accept().send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        found = client.response()
    assert (found.code, b"(ssl or members in [@up])" in found.body) == (502, True)
    assert any("failed: it speaks no TLS" in line for line in log_lines)
