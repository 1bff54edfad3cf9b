"""Mounts that want the certificate of their client."""

import json
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from twisted.logger import formatEvent

from certificates import Identity
from instances import RunningInstance, make_instance
from skitai.errors import ConfigError
from skitai.net import tls_transport
from skitai.net.tls_failures import HandshakeFailures
from skitai.server import clientcerts
from wire import PATIENCE, ask

ROOT, OTHER_ROOT = Identity(authority=True), Identity(authority=True)
SERVER = Identity("a.org", days=60)
CLIENT = Identity("client.a.org", issuer=ROOT)
APP = """
import json
def app(environ, start_response):
    start_response("200 OK", [])
    found = {key: value for key, value in environ.items() if "SSL_CLIENT" in key}
    return [json.dumps([found, environ["wsgi.input"].read().decode()]).encode()]
"""
ROUTES = """
/open = served:app
/asked = served:app client_cert=request
/closed = served:app client_cert=require
/closed = files client_cert=require
"""


class Server:
    """A server whose mounts want certificates; ``folder`` has that of the client."""

    def __init__(self, loop, folder, keys="", routes=ROUTES, ca=ROOT):
        self.folder = folder
        (folder / "served.py").write_text(APP)
        (folder / "files").mkdir()
        (folder / "files" / "file.txt").write_text("a file")
        (folder / "server.pem").write_bytes(SERVER.pem + SERVER.key_pem())
        (folder / "ca.pem").write_bytes(ca.pem)
        (folder / "site.conf").write_text(
            "[server]\nlisten = 127.0.0.1:0 ssl, 127.0.0.1:0\naccess_log = off\ncertfile = server.pem\n"
            f"client_ca = ca.pem\n{keys}\n[routes:line]\n{routes}"
        )
        self.running = RunningInstance(loop, make_instance(loop.reactor, folder / "site.conf"))
        self.plain_port = int(self.running.instance.urls[1].rstrip("/").rpartition(":")[2])

    def context(self, identity=None, version="TLSv1_3"):
        context = ssl.create_default_context(cadata=SERVER.pem.decode())
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion[version]
        if identity is not None:
            (self.folder / "client.pem").write_bytes(identity.pem + identity.key_pem())
            context.load_cert_chain(self.folder / "client.pem")
        return context

    def open(self, context, session=None):
        plain = socket.create_connection(("127.0.0.1", self.running.port), PATIENCE)
        try:
            return context.wrap_socket(plain, session=session)
        except BaseException:
            plain.close()
            raise

    def ask(self, path, context, method="GET", fields=(), body=b""):
        with self.open(context) as client:
            return exchanged(client, path, method, fields, body)


def exchanged(client, path, method="GET", fields=(), body=b""):
    """Return status and body of a response; the connection closes."""
    lines = [f"{method} {path} HTTP/1.1", "Host: a.org", "Connection: close", *fields]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    head, _, content = client.makefile("rb").read().partition(b"\r\n\r\n")
    return int(head.split()[1]), content.decode()


@pytest.fixture
def start(reactor_thread, tmp_path):
    """Return ``start(keys)``: a running server."""
    servers = []

    def make(*args, **options):
        servers.append(Server(reactor_thread, tmp_path, *args, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.running.stop()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_shown(start, version):
    """The app finds what the certificate says, where its mount wants that, and nowhere else."""
    server = start()
    context = server.context(CLIENT, version)
    for path in ("/closed", "/asked"):
        status, text = server.ask(path, context)
        assert status == 200
        found = json.loads(text)[0]
        assert x509.load_pem_x509_certificate(found.pop("SSL_CLIENT_CERT").encode()) == CLIENT.certificate
        name = CLIENT.certificate.subject.rfc4514_string()
        assert found == {
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "SSL_CLIENT_M_SERIAL": f"{CLIENT.certificate.serial_number:X}",
            "SSL_CLIENT_V_START": f"{CLIENT.certificate.not_valid_before_utc:%b %e %H:%M:%S %Y GMT}",
            "SSL_CLIENT_V_END": f"{CLIENT.certificate.not_valid_after_utc:%b %e %H:%M:%S %Y GMT}",
            "SSL_CLIENT_S_DN": name,
            "SSL_CLIENT_S_DN_CN": name.removeprefix("CN="),
            "SSL_CLIENT_I_DN": ROOT.certificate.subject.rfc4514_string(),
            "SSL_CLIENT_I_DN_CN": ROOT.certificate.subject.rfc4514_string().removeprefix("CN="),
            "SSL_CLIENT_SAN_DNS_0": "client.a.org",
        }
    assert server.ask("/open", context) == (200, '[{}, ""]')
    assert server.ask("/closed/file.txt", context) == (200, "a file")
    status, text = server.ask("/closed", context, "POST", body=b"x" * 100_000)
    assert (status, len(json.loads(text)[1])) == (200, 100_000)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_not_shown(start, version):
    """Without a certificate, a mount that requires one answers with 403 and why, files among it."""
    server = start()
    context = server.context(None, version)
    for method, path in (("GET", "/closed"), ("POST", "/closed/x"), ("GET", "/closed/file.txt")):
        status, page = server.ask(path, context, method, body=b"x" * 100_000 if method == "POST" else b"")
        assert status == 403
        assert "needs a client certificate, and none was sent" in page
    assert json.loads(server.ask("/asked", context)[1])[0] == {"SSL_CLIENT_VERIFY": "NONE"}
    assert server.ask("/open", context)[0] == 200


def test_http2(start):
    """With HTTP/2, each stream has the certificate of its connection; that of a websocket needs it, too."""
    server = start()
    path, fields = "/closed", [(":authority", "a.org"), (":scheme", "https")]
    get = [(":method", "GET"), *fields, (":path", path)]
    websocket = [(":method", "CONNECT"), (":protocol", "websocket"), *fields, (":path", path)]
    assert statuses(server, CLIENT, (get, True), (get, True)) == ["200", "200"]
    assert statuses(server, None, (get, True), (websocket, False)) == ["403", "403"]


def statuses(server, identity, *requests):
    """Return the statuses of requests, each with its header fields and whether it ends there."""
    context = server.context(identity)
    context.set_alpn_protocols(["h2"])
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="ascii"))
    client.initiate_connection()
    found = {}
    with server.open(context) as wire:
        for number, (fields, ended) in enumerate(requests):
            client.send_headers(1 + 2 * number, fields, ended)
        while len(found) < len(requests):
            wire.sendall(client.data_to_send())
            for event in client.receive_data(wire.recv(65_536)):
                if isinstance(event, h2.events.ResponseReceived):
                    found[event.stream_id] = dict(event.headers)[":status"]
    return [found[number] for number in sorted(found)]


def test_names_of_files(start):
    """Without a certificate nobody learns which files there are; with one, everybody what is wrong."""
    server = start(routes="/closed = files client_cert=require\n/closed/open = .\n")
    asked = [(method, path) for method in ("GET", "POST", "OPTIONS") for path in ("/file.txt", "/none.txt")]

    def answers(context):
        return [server.ask(f"/closed{path}", context, method)[0] for method, path in asked]

    assert set(answers(server.context())) == {403}
    assert answers(server.context(CLIENT)) == [200, 404, 405, 404, 204, 404]
    assert server.ask("/closed/open/none", server.context())[0] == 404


def test_said_in_the_header(start):
    """What a client says of itself in fields is not taken for its certificate."""
    server = start()
    fields = ["SSL_CLIENT_VERIFY: SUCCESS", "SSL-CLIENT-VERIFY: SUCCESS", "X-SSL-Client-Verify: SUCCESS"]
    assert server.ask("/closed", server.context(), fields=fields)[0] == 403
    found = json.loads(server.ask("/asked", server.context(), fields=fields)[1])[0]
    assert found.pop("SSL_CLIENT_VERIFY") == "NONE"
    assert set(found) == {"HTTP_SSL_CLIENT_VERIFY", "HTTP_X_SSL_CLIENT_VERIFY"}


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize(
    "identity",
    [
        Identity("client.a.org", issuer=OTHER_ROOT),
        Identity("client.a.org"),
        Identity("client.a.org", issuer=ROOT, days=-1),
        Identity("client.a.org", issuer=ROOT, since=0.5),
    ],
    ids=["other authority", "self-signed", "expired", "too early"],
)
def test_not_accepted(start, identity, version, monkeypatch, log):
    """A certificate that cannot be trusted ends the handshake, and the log says why."""
    monkeypatch.setattr(tls_transport, "FAILURES", HandshakeFailures())
    server = start()
    with pytest.raises(ssl.SSLError, match="alert"):  # also a client that sends on meanwhile is not reset
        server.ask("/open", server.context(identity, version), "POST", body=b"x" * 300_000)
    (line,) = [formatEvent(event) for event in log if "is refused" in event.get("what", "")]
    assert line.startswith("no TLS with 127.0.0.1: its certificate is refused: ")
    assert line.endswith(" (client_ca in [server])")


def test_intermediate(start):
    """An authority in client_ca needs no other one above it: so not all clients of the root are known."""
    between = Identity(issuer=ROOT, authority=True)
    server = start(ca=between)
    assert server.ask("/closed", server.context(Identity("c.a.org", issuer=between)))[0] == 200
    with pytest.raises(ssl.SSLError, match="alert"):
        server.ask("/closed", server.context(CLIENT))


def test_of_no_use(reactor_thread, tmp_path):
    """Authorities of clients whom no route asks are named."""
    server = Server(reactor_thread, tmp_path, routes="/open = served:app")
    (warning,) = server.running.instance.warnings
    server.running.stop()
    assert warning.endswith("[server] client_ca: has no effect, as no route has client_cert")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumed(start, version, monkeypatch):
    """A resumed session has the certificate of the first, until that expires."""
    server = start()
    context = server.context(CLIENT, version)
    with server.open(context) as client:
        client.sendall(b"GET /closed HTTP/1.1\r\nHost: a.org\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK")
        session = client.session
    with server.open(context, session) as client:
        assert client.session_reused
        status, text = exchanged(client, "/closed")
    assert (status, json.loads(text)[0]["SSL_CLIENT_VERIFY"]) == (200, "SUCCESS")
    monkeypatch.setattr(clientcerts, "time", lambda: CLIENT.certificate.not_valid_after_utc.timestamp() + 1)
    with server.open(context, session) as client:
        status, page = exchanged(client, "/closed")
    assert status == 403
    assert "has expired meanwhile" in page


def test_plain(start):
    """A connection without TLS carries none."""
    server = start()
    refused = ask(server.plain_port, "/closed")
    assert refused.code == 403
    assert b"only HTTPS can carry" in refused.body
    assert ask(server.plain_port, "/asked").code == 200


def test_nobody_asks(start):
    """Without a mount that wants certificates, no client is asked for one."""
    server = start(routes="/open = served:app")
    assert server.ask("/open", server.context(Identity("client.a.org", issuer=OTHER_ROOT)))[0] == 200


def test_shown_by_check(start):
    """--check shows the option of a mount."""
    instance = start().running.instance
    shown = [instance.describe_mount(mount) for mount in instance.config.hosts[0].mounts]
    assert ["client_cert=" in each for each in shown] == [False, True, True, True]


@pytest.mark.parametrize(
    ("keys", "option", "expected"),
    [
        ("", "client_cert=require", "client_cert needs client_ca in [server]: the authorities of clients"),
        ("client_ca = ca.pem", "client_cert=maybe", "option client_cert: must be one of require, request"),
        ("client_ca = bad.pem", "client_cert=require", "bad.pem holds no certificate in PEM form"),
        ("client_ca = none.pem", "", "there is no file none.pem or /etc/skitaid/cert/none.pem"),
        ("client_ca = ca.pem\nssl = no", "", "client_ca: needs an address with ssl"),
    ],
)
def test_refused(reactor_thread, tmp_path, keys, option, expected):
    """What cannot be is refused at start."""
    (tmp_path / "served.py").write_text(APP)
    (tmp_path / "server.pem").write_bytes(SERVER.pem + SERVER.key_pem())
    (tmp_path / "ca.pem").write_bytes(ROOT.pem)
    (tmp_path / "bad.pem").write_text("x")
    keys = keys if "ssl" in keys else f"ssl = yes\n{keys}"
    (tmp_path / "site.conf").write_text(
        f"[server]\nport = 0\ncertfile = server.pem\n{keys}\n[routes:line]\n/ = served:app {option}\n"
    )
    with pytest.raises(ConfigError) as caught:
        make_instance(reactor_thread.reactor, tmp_path / "site.conf")
    assert expected in str(caught.value).replace(f"{tmp_path}/", "")
    assert str(caught.value).startswith(f"{tmp_path}/site.conf:")
