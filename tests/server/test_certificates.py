"""Certificates by the name that a client asks for, and what is wrong with their files."""

import socket
import ssl

import pytest
from OpenSSL import SSL

from certificates import Identity
from instances import RunningInstance, make_instance
from serving import eventually
from skitai.config import describe, load
from skitai.errors import ConfigError
from skitai.net import renewing
from wire import PATIENCE

ROOT = Identity(authority=True)
BETWEEN = Identity(authority=True, issuer=ROOT)
DAYS = 60  # more than anybody warns of


def signed(*names, days=DAYS, issuer=BETWEEN, **options):
    return Identity(*names, issuer=issuer, days=days, **options)


MAIN, WWW, WILD = signed("main.org", "127.0.0.1"), signed("www.example.org"), signed("*.example.net")


class Site:
    """A folder with a config for HTTPS; ``lines`` are those of ``[certificates:line]``."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "site.conf"
        self.write("main.pem", MAIN.pem + BETWEEN.pem + MAIN.key_pem())

    def write(self, name, content):
        (self.folder / name).write_bytes(content)

    def configure(self, *lines, server="certfile = main.pem"):
        self.file.write_text(
            "\n".join(
                (
                    *("[server]", "ip = 127.0.0.1", "port = 0", "access_log = off", "ssl = yes", server),
                    *("[certificates:line]", *lines),
                )
            )
        )
        return self.file

    def load(self, *lines, **options):
        return load(self.configure(*lines, **options), certificates=self.folder / "others")


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def serve(reactor_thread, site):
    """Return ``serve(line, ...)``: the server of that config, running until the test ends."""
    running = []

    def start(*lines, **options):
        instance = make_instance(reactor_thread.reactor, site.configure(*lines, **options))
        running.append(RunningInstance(reactor_thread, instance))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def refused(reactor_thread, site):
    """Return ``refused(line, ...)``: the line that refuses that config, without the name of its folder."""

    def read(*lines, **options):
        with pytest.raises(ConfigError) as caught:
            make_instance(reactor_thread.reactor, site.configure(*lines, **options))
        return str(caught.value).replace(f"{site.folder}/", "")

    return read


def trusting():
    """Return the context of a client that knows the root only: the server must send the rest of the chain."""
    context = ssl.create_default_context(cadata=ROOT.pem.decode())
    context.check_hostname = False
    return context


def opened(port, name=None, context=None, session=None):
    plain = socket.create_connection(("127.0.0.1", port), PATIENCE)
    try:
        return (context or trusting()).wrap_socket(plain, server_hostname=name, session=session)
    except BaseException:
        plain.close()
        raise


def shown(port, name=None):
    """Return the first name in the certificate that a client gets."""
    with opened(port, name) as client:
        return client.getpeercert()["subjectAltName"][0][1]


def test_names(site, serve):
    """The name that the client asks for decides, in any case; a wildcard is for names one below."""
    site.write("www.pem", WWW.pem + BETWEEN.pem + WWW.key_pem())
    site.write("wild.pem", WILD.pem + BETWEEN.pem)
    site.write("wild.key", WILD.key_pem())
    server = serve(
        "www.example.org Bücher.example = www.pem", "*.example.net = wild.pem wild.key  ; one for all"
    )
    names = {
        None: "main.org",
        "main.org": "main.org",
        "www.example.org": "www.example.org",
        "WWW.Example.ORG": "www.example.org",
        "example.org": "main.org",
        "a.example.net": "*.example.net",
        "b.a.example.net": "main.org",
        "example.net": "main.org",
        "x" * 60 + ".org": "main.org",
    }
    assert {name: shown(server.port, name) for name in names} == names
    assert shown(server.port, "xn--bcher-kva.example") == "www.example.org"


def test_names_that_are_none(serve):
    """A client whose name is no name gets the certificate that there is."""
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_tlsext_host_name(b"\xff\xfe.org")
    client.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    with socket.create_connection(("127.0.0.1", serve().port), PATIENCE) as plain:
        plain.sendall(client.bio_read(10_000))
        client.bio_write(plain.recv(10_000))
    with pytest.raises(SSL.WantReadError):
        client.recv(1)
    shown = client.get_peer_certificate(as_cryptography=True)
    assert shown == MAIN.certificate


@pytest.mark.parametrize(
    ("written", "files"),
    [
        ("a.pem", {"a.pem": WWW.pem + BETWEEN.pem + WWW.key_pem()}),
        ("a.pem a.key", {"a.pem": WWW.pem + BETWEEN.pem, "a.key": WWW.key_pem()}),
        ("a.pem b.pem a.key", {"a.pem": WWW.pem, "b.pem": BETWEEN.pem, "a.key": WWW.key_pem()}),
        ("a.pem a.key b.pem", {"a.pem": WWW.pem, "b.pem": BETWEEN.pem, "a.key": WWW.key_pem()}),
        ("a.pem b.pem", {"a.pem": WWW.pem + WWW.key_pem(), "b.pem": WWW.pem + BETWEEN.pem}),
        ("a.pem passphrase=of-line", {"a.pem": WWW.pem + BETWEEN.pem + WWW.key_pem("of-line")}),
        ("a.pem", {"a.pem": WWW.pem + BETWEEN.pem + WWW.key_pem("of-server")}),
    ],
    ids=["one", "key", "chain", "any order", "with chain", "passphrase", "passphrase of the server"],
)
def test_files(site, serve, written, files):
    """What a certificate needs may stand in one file or in several."""
    for name, content in files.items():
        site.write(name, content)
    server = serve(f"www.example.org = {written}", server="certfile = main.pem\npassphrase = of-server")
    assert shown(server.port, "www.example.org") == "www.example.org"


@pytest.mark.parametrize(
    ("line", "content", "expected"),
    [
        ("a.org", b"", "write NAME = FILE, or NAME NAME = CERTIFICATE CHAIN KEY"),
        ("a.org =", b"", "write NAME = FILE, or NAME NAME = CERTIFICATE CHAIN KEY"),
        ("a.org = passphrase=x", b"", "write NAME = FILE, or NAME NAME = CERTIFICATE CHAIN KEY"),
        (
            "a/b = a.pem",
            b"",
            "'a/b' is not the name of a host: write a name, or *.domain for all names one below a domain",
        ),
        (
            "*.*.org = a.pem",
            b"",
            "'*.*.org' is not the name of a host: write a name, or *.domain for all names one below a domain",
        ),
        (
            "a.org = b.pem",
            b"",
            "a.org: there is no file b.pem or /etc/skitaid/cert/b.pem: name the one to use",
        ),
        ("a.org = a.pem", b"x", "a.org: a.pem holds no certificate in PEM form, or a damaged one"),
        (
            "a.org = a.pem",
            WWW.pem,
            "a.org: a.pem holds no private key in PEM form: name it behind the certificate",
        ),
        (
            "a.org = a.pem password=x",
            b"",
            "a.org: unknown option password: files stand without one, and passphrase= at the end",
        ),
        ("a.org = main.pem a.pem", b"x", "a.org: a.pem holds neither a certificate nor a key in PEM form"),
        (
            "a.org = main.pem a.pem",
            WWW.key_pem(),
            "a.org: the key in a.pem is not that of the first certificate in main.pem",
        ),
        (
            "a.org = a.pem",
            WWW.pem + WWW.key_pem("a"),
            "passphrase is missing: the key in a.pem is encrypted",
        ),
        (
            "a.org = a.pem passphrase=b",
            WWW.pem + WWW.key_pem("a"),
            "a.org: passphrase does not open the key in a.pem",
        ),
    ],
)
def test_refused(site, refused, line, content, expected):
    """What cannot be used is refused at start, in one line that says where it is written."""
    site.write("a.pem", content)
    error = refused(line)
    assert error.startswith("site.conf:8: [certificates:line]")
    assert error.endswith(expected)


def test_twice(site, refused):
    """A name has one certificate."""
    error = refused("a.org b.org = main.pem", "B.org = main.pem")
    assert error.endswith("b.org has a certificate at line 8 already: keep one of the two")


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (signed("a.org", days=-1, issuer=ROOT), "expired on "),
        (signed("a.org", since=1, issuer=ROOT), "is not valid before "),
        (signed("a.org", days=3.5, issuer=ROOT, since=-40), "expires on "),
        (signed("b.org", issuer=ROOT), "is not for a.org: clients refuse it"),
        (signed(issuer=ROOT), "is not for a.org: clients refuse it"),
        (signed("*.org", issuer=ROOT), None),
        (signed("a.org", issuer=ROOT), None),
        (signed("a.org", days=4, since=-2, issuer=ROOT), None),
    ],
)
def test_warned_of(site, reactor_thread, identity, expected):
    """A certificate that clients refuse does not keep a server from starting, but is named with its line."""
    site.write("a.pem", identity.pem + identity.key_pem())
    warnings = make_instance(reactor_thread.reactor, site.configure("a.org = a.pem")).warnings
    if expected is None:
        assert warnings == ()
    else:
        (said,) = warnings
        assert said.startswith(f"{site.file}:8: ")
        assert f"the certificate in {site.folder}/a.pem {expected}" in said


@pytest.mark.parametrize(
    ("chain", "is_right"),
    [
        ([], True),
        ([BETWEEN], True),
        ([ROOT, BETWEEN], True),
        ([Identity(authority=True)], False),
        ([ROOT], False),
    ],
)
def test_chain(site, reactor_thread, chain, is_right):
    """A chain without the issuer of the certificate is named. Without a chain, clients may know that."""
    identity = signed("a.org", issuer=BETWEEN)
    site.write("a.pem", identity.pem + b"".join(each.pem for each in chain) + identity.key_pem())
    warnings = make_instance(reactor_thread.reactor, site.configure("a.org = a.pem")).warnings
    assert [" has no certificate of " in warning for warning in warnings] == [True] * (not is_right)


def test_default_expired(site, reactor_thread):
    """So is the certificate of [server]."""
    expired = signed("main.org", days=-1)
    site.write("main.pem", expired.pem + expired.key_pem())
    (said,) = make_instance(reactor_thread.reactor, site.configure()).warnings
    assert said.startswith(
        f"{site.file}:6: [server] certfile: the certificate in {site.folder}/main.pem expired"
    )


def test_shown_by_check(site):
    """--check shows the lines with their files, but no passphrase."""
    site.write("a.pem", b"")
    shown = describe(site.load("A.org *.B.org = a.pem passphrase=secret"))
    assert f"[certificates:line]\na.org *.b.org = {site.folder}/a.pem passphrase=****\n" in shown
    assert "secret" not in shown


def test_beside_or_in_folder(site):
    """A file that is not beside the config is looked for in the folder of certificates."""
    (site.folder / "others").mkdir()
    site.write("others/b.pem", b"")
    assert site.load("a.org = b.pem").certificates[0].files == (site.folder / "others" / "b.pem",)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_resumed(site, serve, version):
    """A session is resumed under the certificate of its name, though that has a context of its own."""
    site.write("www.pem", WWW.pem + BETWEEN.pem + WWW.key_pem())
    server = serve("www.example.org = www.pem")
    context = trusting()
    context.maximum_version = ssl.TLSVersion[version]
    with opened(server.port, "www.example.org", context) as client:
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        session = client.session
        assert not client.session_reused
    with opened(server.port, "www.example.org", context, session) as client:
        assert client.session_reused
        client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")


def test_ciphers(serve):
    """Of TLS 1.2 there are only suites with forward secrecy and authenticated encryption."""
    port = serve().port
    context = trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM")
    with opened(port, None, context) as client:
        assert "GCM" in client.cipher()[0]
    context.set_ciphers("ECDHE+SHA1:ECDHE+SHA256:ECDHE+SHA384:!AESGCM:!CHACHA20:!AESCCM")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        opened(port, None, context)


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_renewed_while_serving(site, serve, monkeypatch, version):
    """New clients get the new certificate; open connections go on, and sessions of before are resumed."""
    monkeypatch.setattr(renewing, "LOOK_SECONDS", 0.02)
    server = serve()
    context = trusting()
    context.maximum_version = ssl.TLSVersion[version]
    with opened(server.port, None, context) as client:
        assert pinged(client)
        before = client.getpeercert()
        new = signed("main.org")
        site.write("main.pem", new.pem + BETWEEN.pem + new.key_pem())
        eventually(lambda: serial(server.port) != before["serialNumber"])
        assert pinged(client)
        session = client.session
    with opened(server.port, None, context, session) as client:
        assert client.session_reused
        assert pinged(client)


def pinged(client):
    client.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    return client.recv(1000).startswith(b"HTTP/1.1 200 OK")


def serial(port):
    with opened(port) as client:
        return client.getpeercert()["serialNumber"]


def test_metric(site, serve):
    """Monitoring knows the end of each certificate by name."""
    site.write("www.pem", WWW.pem + BETWEEN.pem + WWW.key_pem())
    server = serve("www.example.org example.org = www.pem")
    (found,) = [
        metric
        for metric in server.loop.call(server.instance.metrics)
        if metric.name == "skitai_certificate_expires_timestamp_seconds"
    ]
    end = WWW.certificate.not_valid_after_utc.timestamp()
    assert found.values == {
        ("default",): MAIN.certificate.not_valid_after_utc.timestamp(),
        ("www.example.org",): end,
        ("example.org",): end,
    }
    assert found.lowest
