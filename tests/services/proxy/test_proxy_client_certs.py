"""What members learn of the certificate of a client (RFC 9440)."""

import base64
import re
import ssl

import pytest

from certificates import Identity

LOOPBACK, ROOT = Identity("127.0.0.1", authority=True), Identity(authority=True)
CLIENT = Identity("client.a.org", issuer=ROOT)
ROUTES = "/open = @up\n/asked = @up client_cert=request\n/closed = @up client_cert=require cache=yes"
FORGED = "Client-Cert: :Zm9yZ2Vk:\r\nClient-Cert-Chain: :Zm9yZ2Vk:"


@pytest.fixture
def ask(proxy, tmp_path):
    """Return ``ask(member, path, identity)``: the response, and the values of Client-Cert that came."""
    (tmp_path / "own.pem").write_bytes(LOOPBACK.pem + LOOPBACK.key_pem())
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    (tmp_path / "client.pem").write_bytes(CLIENT.pem + CLIENT.key_pem())
    servers = []

    def make(member, path, *, shown=True, server="", fields=FORGED, reply=b""):
        if not servers:
            text = f"access_log = off\nssl = yes\ncertfile = own.pem\nclient_ca = ca.pem\n{server}"
            servers.append(proxy(member, routes=ROUTES, server=text))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if shown:
            context.load_cert_chain(tmp_path / "client.pem")
        with servers[0].client() as client:
            client.socket = context.wrap_socket(client.socket)
            client._file = client.socket.makefile("rb")
            client.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode())
            connection = member.connections[-1] if member.connections else member.accept()
            head, _ = connection.answer(reply or b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert client.response().code == 200
        return [each.decode() for each in re.findall(rb"(?i)client-cert[^:]*: (.*)\r\n", head)]

    return make


def test_certificate(ask, member):
    """Members get it where the route wants one, and nothing that the client has made up."""
    encoded = base64.b64encode(ssl.PEM_cert_to_DER_cert(CLIENT.pem.decode())).decode()
    assert ask(member, "/closed/a") == [f":{encoded}:"]
    assert ask(member, "/asked/a") == [f":{encoded}:"]
    assert ask(member, "/asked/a", shown=False) == []
    assert ask(member, "/open/a") == []


def test_trusted_proxy(ask, member):
    """The word of a trusted proxy is passed on; its own certificate is that of no client."""
    said = ask(member, "/closed/a", server="trusted_proxies = 127.0.0.1")
    assert said == [":Zm9yZ2Vk:", ":Zm9yZ2Vk:"]


def test_cached(ask, member):
    """What a member says is for the certificate of one client is not stored."""
    varying = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nCache-Control: max-age=60\r\nVary: Client-Cert\r\n\r\nok"
    )
    assert len(ask(member, "/closed/a", reply=varying)) == 1
    assert len(ask(member, "/closed/a", reply=varying)) == 1
