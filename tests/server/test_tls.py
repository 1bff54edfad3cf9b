"""HTTPS: which files it takes, and that HTTP/1.1 works inside."""

import datetime
import http.client
import ipaddress
import socket
import ssl
import sys
import time
import warnings
from contextlib import ExitStack

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from twisted.internet.protocol import Factory, Protocol

from certificates import tls_of, with_kind
from instances import RunningInstance, make_instance
from serving import eventually
from skitai.errors import ConfigError
from skitai.net.pem import TLSConfigError
from skitai.net.server_tls import with_tls
from wire import PATIENCE

BIG = 10 << 20
APP = f"""
import tempfile

def app(environ, start_response):
    headers = [("Content-Type", "application/octet-stream")]
    if environ["PATH_INFO"] == "/file":
        headers.append(("Content-Length", "{BIG}"))
    start_response("200 OK", headers)
    if environ["PATH_INFO"] == "/big":
        return [b"x" * {BIG}]
    if environ["PATH_INFO"] == "/file":
        file = tempfile.TemporaryFile()
        file.truncate({BIG})
        return environ["wsgi.file_wrapper"](file, 65536)
    return [environ["wsgi.url_scheme"].encode(), environ["wsgi.input"].read()]
"""


class Identity:
    """A certificate with its key, signed by ``issuer`` or by itself."""

    def __init__(self, name, issuer=None, *, ca=False):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        signer = issuer or self
        builder = (
            x509.CertificateBuilder(
                signer.name, self.name, self.key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
        )
        builder = with_kind(builder, self.key, signer.key, authority=ca)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @property
    def pem(self):
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self, passphrase=None, form=PrivateFormat.PKCS8):
        encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, form, encryption)


ROOT = Identity("root", ca=True)
BETWEEN = Identity("between", ROOT, ca=True)
SERVER = Identity("server", BETWEEN)
CHAIN = SERVER.pem + BETWEEN.pem
OLD_FORM = PrivateFormat.TraditionalOpenSSL


class Greeter(Protocol):
    """Says hello to each client, and closes."""

    def connectionMade(self):
        self.transport.write(b"hello")
        self.transport.loseConnection()


def trusting_context():
    """Return what a client needs that knows the root only: the server must send the rest of the chain."""
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ROOT.pem.decode())
    return context


def connect(port, context):
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    try:
        return context.wrap_socket(plain, server_hostname="127.0.0.1")
    except BaseException:
        plain.close()
        raise


@pytest.fixture
def files(tmp_path):
    """Return ``files(certificate, key)``: the paths of files with this content; without content, none."""

    def write(*contents):
        paths = [tmp_path / name for name in ("server.pem", "server.key")]
        for path, content in zip(paths, contents, strict=True):
            if content is not None:
                path.write_bytes(content)
        return [None if content is None else path for path, content in zip(paths, contents, strict=True)]

    return write


@pytest.fixture
def greeter(reactor_thread):
    """Return ``greeter(options)``: the port where a greeter answers over TLS until the test ends."""
    ports = []

    def start(options):
        factory = with_tls(Factory.forProtocol(Greeter), options)
        factory.noisy = factory.wrappedFactory.noisy = False
        ports.append(reactor_thread.call(reactor_thread.reactor.listenTCP, 0, factory, interface="127.0.0.1"))
        return ports[-1].getHost().port

    yield start
    for port in ports:
        reactor_thread.call(port.stopListening)


@pytest.mark.parametrize(
    ("certificate", "key", "passphrase"),
    [
        (CHAIN + SERVER.key_pem(), None, None),
        (SERVER.key_pem() + CHAIN, None, None),
        (CHAIN, SERVER.key_pem(), None),
        (CHAIN, SERVER.key_pem("secret"), "secret"),
        (CHAIN, SERVER.key_pem("secret", OLD_FORM), "secret"),
        (CHAIN + SERVER.key_pem("secret"), None, "secret"),
        (CHAIN, SERVER.key_pem(), "not needed"),
        (b"Subject: CN=server\n" + CHAIN, SERVER.key_pem(), None),
    ],
    ids=[
        "together",
        "key first",
        "apart",
        "encrypted",
        "encrypted old",
        "all in one",
        "needless",
        "comments",
    ],
)
def test_files(files, greeter, certificate, key, passphrase):
    """Certificate, chain and key may stand together or apart; a client that knows the root is satisfied."""
    port = greeter(tls_of(*files(certificate, key), passphrase))
    with connect(port, trusting_context()) as client:
        assert client.makefile("rb").read() == b"hello"
        assert client.version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize(
    ("certificate", "key", "passphrase", "expected_key", "expected"),
    [
        (b"", None, None, "certfile", "{cert} holds no certificate in PEM form, or a damaged one"),
        (CHAIN[:200], None, None, "certfile", "{cert} holds no certificate in PEM form, or a damaged one"),
        (
            SERVER.key_pem(),
            None,
            None,
            "certfile",
            "{cert} holds no certificate in PEM form, or a damaged one",
        ),
        (
            CHAIN,
            None,
            None,
            "certfile",
            "{cert} holds no private key in PEM form: name the file of the key in keyfile",
        ),
        (CHAIN, b"x", None, "keyfile", "{key} holds no private key in PEM form"),
        (CHAIN, SERVER.key_pem("a"), None, "passphrase", "is missing: the key in {key} is encrypted"),
        (CHAIN, SERVER.key_pem("a"), "b", "passphrase", "does not open the key in {key}"),
        (CHAIN, SERVER.key_pem("a", OLD_FORM), "b", "passphrase", "does not open the key in {key}"),
        (
            BETWEEN.pem + SERVER.pem,
            SERVER.key_pem(),
            None,
            "keyfile",
            "the key in {key} is not that of the first certificate in {cert}",
        ),
    ],
)
def test_files_refused(files, certificate, key, passphrase, expected_key, expected):
    """Files that cannot be used are refused in one line that names the config key, and nobody is asked."""
    certificate_file, key_file = files(certificate, key)
    with pytest.raises(TLSConfigError) as caught:
        tls_of(certificate_file, key_file, passphrase)
    assert caught.value.key == expected_key
    assert str(caught.value) == expected.format(cert=certificate_file, key=key_file)


def test_unreadable(tmp_path):
    """A file that cannot be read is an error, too."""
    with pytest.raises(TLSConfigError, match=r"cannot read .*: Is a directory"):
        tls_of(tmp_path)


def test_old_versions(files, greeter):
    """TLS 1.1 is refused."""
    port = greeter(tls_of(*files(CHAIN, SERVER.key_pem())))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        connect(port, context)


@pytest.fixture
def server(reactor_thread, threads, tmp_path):
    """A whole instance that serves HTTPS, on both executors."""
    (tmp_path / "served.py").write_text(APP)
    (tmp_path / "server.pem").write_bytes(CHAIN + SERVER.key_pem("secret"))
    config = tmp_path / "site.conf"
    config.write_text(
        "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nssl = yes\ncertfile = server.pem\n"
        f"passphrase = secret\nthreads = {threads}\n[routes:line]\n/ = served:app\n"
    )
    running = RunningInstance(reactor_thread, make_instance(reactor_thread.reactor, config))
    yield running
    running.stop()


def test_keep_alive(server):
    """Requests follow each other on one connection, and apps are told that it is secure."""
    assert server.instance.urls == [f"https://127.0.0.1:{server.port}/"]
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=trusting_context())
    sockets = set()
    for body in (b"", b"body" * 50_000, b""):
        connection.request("POST", "/", body)
        sockets.add(connection.sock)
        assert connection.getresponse().read() == b"https" + body
    assert len(sockets) == 1
    assert connection.sock.selected_alpn_protocol() is None
    connection.close()


def test_alpn(server):
    """A client that can do HTTP/2 is told that it is; others speak HTTP/1.1."""
    context = trusting_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(server.port, context) as client:
        assert client.selected_alpn_protocol() == "h2"


def test_slow_reader(server):
    """A large response reaches a client that reads it slowly, while others are served."""
    with connect(server.port, trusting_context()) as slow:
        slow.sendall(b"GET /big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        begin = slow.recv(100)
        assert begin.startswith(b"HTTP/1.1 200 OK\r\n")
        for _ in range(3):
            with connect(server.port, trusting_context()) as other:
                other.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                assert other.makefile("rb").read().endswith(b"https")
        received = begin + slow.makefile("rb").read()
    head, _, body = received.partition(b"\r\n\r\n")
    assert f"Content-Length: {BIG}".encode() in head
    assert len(body) == BIG


@pytest.mark.parametrize("path", ["file", "big"])
def test_reader_that_begins_late(server, path):
    """A large response waits for its client, and comes whole, also where the reactor reads it from a file."""
    with connect(server.port, trusting_context()) as slow:
        slow.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        channels = server.instance._factory.channels
        eventually(lambda: server.loop.call(lambda: any(each.output.blocked for each in channels)))
        assert len(slow.makefile("rb").read().partition(b"\r\n\r\n")[2]) == BIG


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system decides when it acknowledges")
def test_the_handshake_is_acknowledged_at_once(server):
    """A client that gathers small writes (RFC 9293, section 3.7.4) sends its first request without a wait.

    It keeps the request back until the end of its handshake is acknowledged, which may take 40 ms.
    """

    def first_answer():
        with connect(server.port, trusting_context()) as client:
            began = time.monotonic()
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            client.recv(1)
            return time.monotonic() - began

    # The quickest of many, because the machine may be busy.
    assert min(first_answer() for _ in range(20)) < 0.03


def test_plain_http(server, failures):
    """Plain HTTP on the port is told so, without a traceback, and nobody else notices."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: plain.recv(1000), b""))
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"There is HTTPS at this address" in answer
    with connect(server.port, trusting_context()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.makefile("rb").read().endswith(b"https")
    assert failures() == []


def test_silent_clients_do_not_delay_the_end(server, failures):
    """Stopping cuts a connection whose client does not say goodbye, and one that is shaking hands."""
    with (
        connect(server.port, trusting_context()) as idle,
        socket.create_connection(("127.0.0.1", server.port), PATIENCE) as shaking,
    ):
        idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(10) == b"HTTP/1.1 2"
        shaking.sendall(client_hello())
        assert shaking.recv(3) == b"\x16\x03\x03"
        server.stop()
    assert failures() == []


def client_hello():
    """Return the bytes that a TLS client says first."""
    outgoing = ssl.MemoryBIO()
    client = trusting_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.fixture
def several(reactor_thread, threads, tmp_path):
    """A whole instance that listens on two ports and two Unix sockets, one of each with TLS."""
    (tmp_path / "served.py").write_text(
        "from wsgiref.util import request_uri\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [request_uri(environ).encode()]\n"
    )
    (tmp_path / "server.pem").write_bytes(CHAIN + SERVER.key_pem("secret"))
    config = tmp_path / "site.conf"
    config.write_text(
        "[server]\nlisten = 127.0.0.1:0, 127.0.0.1:0 ssl, unix:plain, unix:secure ssl\naccess_log = off\n"
        f"connections_max = 4\ncertfile = server.pem\npassphrase = secret\nthreads = {threads}\n"
        "[routes:line]\n/ = served:app\n"
    )
    running = RunningInstance(reactor_thread, make_instance(reactor_thread.reactor, config))
    yield running
    running.stop()


def opened(address, context=None):
    """Return a connection to a port or a Unix socket, with TLS if ``context`` is given."""
    plain = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    plain.settimeout(PATIENCE)
    try:
        plain.connect(address)
        return context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
    except BaseException:
        plain.close()
        raise


def asked(connection, request=b"GET / HTTP/1.0\r\n\r\n"):
    connection.sendall(request)
    return connection.makefile("rb").read()


def addresses_of(several):
    """Return the four addresses, each with what a client needs to talk to it."""
    plain, secure, *sockets = several.instance.urls
    ports = [int(url.rstrip("/").rpartition(":")[2]) for url in (plain, secure)]
    paths = [url.removeprefix("unix:").removesuffix(" (TLS)") for url in sockets]
    return [
        (address, trusting_context() if tls else None)
        for address, tls in zip(
            [*(("127.0.0.1", port) for port in ports), *paths], [False, True] * 2, strict=True
        )
    ]


def test_several_addresses(several, tmp_path):
    """One worker answers on all of them, and each app reads the scheme and port that its client used."""
    (plain, _), (secure, _), _, _ = addresses = addresses_of(several)
    assert several.instance.urls == [
        f"http://127.0.0.1:{plain[1]}/",
        f"https://127.0.0.1:{secure[1]}/",
        f"unix:{tmp_path}/plain",
        f"unix:{tmp_path}/secure (TLS)",
    ]
    answers = []
    for address, context in addresses:
        with opened(address, context) as client:
            answers.append(asked(client).rpartition(b"\r\n\r\n")[2].decode())
    assert answers == [
        f"http://127.0.0.1:{plain[1]}/",
        f"https://127.0.0.1:{secure[1]}/",
        "http://localhost/",
        "https://localhost/",
    ]


def test_connections_of_all_addresses_count_together(several):
    """connections_max is of the worker, not of an address."""
    with ExitStack() as stack:
        for address, context in addresses_of(several):
            client = stack.enter_context(opened(address, context))
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
        address, _ = addresses_of(several)[2]
        assert asked(stack.enter_context(opened(address))).startswith(b"HTTP/1.1 503 ")


def test_the_worker_ends_on_all_addresses(several, tmp_path):
    """Stopping closes every one."""
    addresses = addresses_of(several)
    several.stop()
    assert several.instance.urls == []
    for address, _ in addresses:
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            opened(address)
    assert not (tmp_path / "plain").exists()


@pytest.mark.parametrize("listen", ["ip = 127.0.0.1\nport = 0\nssl = yes", "listen = 127.0.0.1:0 ssl"])
def test_the_port_of_redirects_is_taken(reactor_thread, tmp_path, listen):
    """The error names the key that names the port."""
    (tmp_path / "own.pem").write_bytes(SERVER.pem + SERVER.key_pem())
    config = tmp_path / "site.conf"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        config.write_text(f"[server]\ncertfile = own.pem\nredirect_http = {taken}\n{listen}\n")
        instance = make_instance(reactor_thread.reactor, config)
        with pytest.raises(ConfigError) as caught:
            reactor_thread.call(instance.startService)
    assert str(caught.value).startswith(f"{config}:3: [server] redirect_http: 127.0.0.1:{taken} is in use:")


def test_one_of_several_is_taken(reactor_thread, tmp_path):
    """Where one address is in use the worker does not start, the error names it, and all others are free."""
    config = tmp_path / "site.conf"
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        config.write_text(f"[server]\nlisten = unix:first, 127.0.0.1:{taken}\n")
        instance = make_instance(reactor_thread.reactor, config)
        with pytest.raises(ConfigError) as caught:
            reactor_thread.call(instance.startService)
    assert str(caught.value) == (
        f"{config}:2: [server] listen: 127.0.0.1:{taken} is in use:"
        " end the program that listens there or choose another port"
    )
    assert (instance.urls, (tmp_path / "first").exists()) == ([], False)
