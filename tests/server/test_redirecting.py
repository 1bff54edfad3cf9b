"""The port that leads to HTTPS, and Strict-Transport-Security."""

import http.client
import socket
import ssl

import pytest

from certificates import Identity
from instances import RunningInstance, make_instance
from wire import Client, ask

SERVER = Identity("a.org", days=60)
APP = """
def app(environ, start_response):
    fields = [("Strict-Transport-Security", "max-age=1")] if environ["PATH_INFO"] == "/own" else []
    start_response("200 OK", fields)
    return [environ["wsgi.url_scheme"].encode()]
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Site:
    """A config with a port that leads to HTTPS; ``port`` is that, ``secure`` the other."""

    def __init__(self, loop, folder, keys, routes):
        self.port = free_port()
        (folder / "served.py").write_text(APP)
        (folder / "server.pem").write_bytes(SERVER.pem + SERVER.key_pem())
        (folder / "site.conf").write_text(
            "[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nssl = yes\ncertfile = server.pem\n"
            f"redirect_http = {self.port}\n{keys}\n[routes:line]\n{routes}\n/ = served:app\n"
        )
        self.running = RunningInstance(loop, make_instance(loop.reactor, folder / "site.conf"))
        self.secure = self.running.port

    def ask(self, *args, **options):
        return ask(self.port, *args, **options)

    def ask_securely(self, path="/"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", self.secure, context=context)
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        connection.close()
        return response


@pytest.fixture
def start(reactor_thread, tmp_path):
    """Return ``start(keys, routes)``: a running site."""
    sites = []

    def make(keys="", routes=""):
        sites.append(Site(reactor_thread, tmp_path, keys, routes))
        return sites[-1]

    yield make
    for site in sites:
        site.running.stop()


def test_redirect(start):
    """Host, path and query stay; so does the method, if it is another than GET and HEAD."""
    site = start()
    host, secure = f"a.org:{site.port}", f"https://a.org:{site.secure}"
    found = site.ask("/x%20y/z?q=1&r=/", host=host)
    assert (found.code, found["Location"]) == (301, f"{secure}/x%20y/z?q=1&r=/")
    assert found["Strict-Transport-Security"] is None
    found = site.ask("//evil.org/", "HEAD", host=host)
    assert (found.code, found["Location"]) == (301, f"{secure}//evil.org/")
    found = site.ask("/form", "POST", body=b"x" * 100_000, host=host)
    assert (found.code, found["Location"]) == (308, f"{secure}/form")
    assert site.ask_securely("/").status == 200


def test_mapped_port(start):
    """Who comes by another port than ours, as through a container's, finds HTTPS where it usually is."""
    site = start()
    assert site.ask("/", host="a.org")["Location"] == "https://a.org/"
    assert site.ask("/", host="[::1]:8080")["Location"] == "https://[::1]/"
    assert site.ask("/", host=f"[::1]:{site.port}")["Location"] == f"https://[::1]:{site.secure}/"


@pytest.mark.parametrize("host", ["", "a.org/evil", "a b", "evil.org@a.org", "a.org:80:80"])
def test_bad_host(start, host, log_text):
    """A host that is none leads nowhere."""
    found = start().ask("/", host=host)
    assert (found.code, found["Location"]) == (400, None)
    assert " GET / was refused with 400: it" in log_text()


def test_unknown_host(start, log_text):
    """A host that is not served leads nowhere, either."""
    site = start(routes=": a.org .b.org")
    assert site.ask("/", host="a.org").code == site.ask("/", host="x.B.org").code == 301
    found = site.ask("/", host="evil.org")
    assert (found.code, found["Location"]) == (421, None)
    assert " GET / was refused with 421: its host is none of those that are served" in log_text()


def test_ping(start):
    """A health check of the port gets its answer there."""
    found = start().ask("/ping")
    assert (found.code, found.body) == (200, b"pong")


def test_challenges_from_a_webroot(start, tmp_path):
    """What certbot puts into the webroot is served there, for any host, and nothing else of that folder."""
    folder = tmp_path / "webroot" / ".well-known" / "acme-challenge"
    (tmp_path / "webroot").mkdir()
    (tmp_path / "webroot" / "secret").write_text("secret")
    site = start("acme_webroot = webroot", routes=": a.org")
    assert site.ask("/.well-known/acme-challenge/token", host="any.org").code == 404
    folder.mkdir(parents=True)
    (folder / "token").write_text("proof")
    assert site.ask("/.well-known/acme-challenge/token", host="any.org").body == b"proof"
    assert site.ask("/secret", host="a.org").code == 301
    assert site.ask("/.well-known/acme-challenge/../../secret").code in (301, 404)
    assert site.ask("/.well-known/acme-challenge/%2e%2e/%2e%2e/secret").code == 404


def test_challenges_from_a_mount(start, tmp_path):
    """Without a webroot, the routes answer."""
    (tmp_path / "proofs").mkdir()
    (tmp_path / "proofs" / "token").write_text("proof")
    site = start(routes="/.well-known/acme-challenge = proofs")
    assert site.ask("/.well-known/acme-challenge/token").body == b"proof"


def test_behind_a_proxy(start):
    """A trusted proxy that had an encrypted request is not sent in a circle; others are."""
    site = start("trusted_proxies = 127.0.0.1\nhsts = 10")
    fields = [("X-Forwarded-Proto", "https")]
    found = site.ask("/", fields=fields)
    assert (found.code, found.body, found["Strict-Transport-Security"]) == (200, b"https", "max-age=10")
    assert site.ask("/").code == 301


def test_many_on_one_connection(start):
    """The connection goes on after a redirect."""
    site = start()
    with Client(site.port) as client:
        assert [client.ask(f"/{number}").code for number in range(3)] == [301] * 3


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("31536000", "max-age=31536000"),
        ("365 d; includesubdomains; preload", "max-age=31536000; includeSubDomains; preload"),
        ("0", "max-age=0"),
        ("off", None),
    ],
)
def test_hsts(start, written, expected):
    """Encrypted responses have the field, errors among them; one that an app sends counts."""
    site = start(f"hsts = {written}")
    assert site.ask_securely("/").getheader("Strict-Transport-Security") == expected
    assert site.ask_securely("/%00").getheader("Strict-Transport-Security") == expected
    assert site.ask_securely("/own").getheader("Strict-Transport-Security") == "max-age=1"
    assert site.ask("/")["Strict-Transport-Security"] is None
