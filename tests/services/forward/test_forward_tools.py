"""The forward proxy under other people's clients: curl, urllib, requests, a browser, a Squid as its child."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from forward_world import LISTS, Forward

from certificates import Identity
from serving import eventually

CURL = shutil.which("curl")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SQUID = shutil.which("squid", path="/usr/sbin:/usr/local/sbin") or shutil.which("squid")
BODY = bytes(range(256)) * 8000

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")


class Handler(BaseHTTPRequestHandler):
    """Says what was asked, and echoes bodies."""

    protocol_version = "HTTP/1.1"

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        via = self.headers.get_all("Via") or []
        self.answer(f"<p>{self.path} {', '.join(via)}</p>".encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *args):
        pass


def _origin(context=None):
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    if context is not None:
        made.socket = context.wrap_socket(made.socket, server_side=True)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


@pytest.fixture(scope="module")
def identity(tmp_path_factory):
    """The file of a certificate for this machine, with its key."""
    path = tmp_path_factory.mktemp("identity") / "own.pem"
    made = Identity("127.0.0.1", "localhost")
    path.write_bytes(made.key_pem() + made.pem)
    return path


@pytest.fixture(scope="module")
def origins(identity):
    """The URLs of a server without TLS and of one with it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    made = [_origin(), _origin(context)]
    yield [
        f"{scheme}://127.0.0.1:{each.server_address[1]}"
        for scheme, each in zip(("http", "https"), made, strict=True)
    ]
    for each in made:
        each.shutdown()
        each.server_close()


@pytest.fixture(scope="module")
def guarded(reactor_thread, tmp_path_factory):
    """A proxy with a password."""
    lists = f"{LISTS}\nproxy_users = anna:secret"
    made = Forward(reactor_thread, tmp_path_factory.mktemp("guarded"), server=lists)
    yield made
    made.stop()


def run(*command, **options):
    """Run a program and return what it printed."""
    done = subprocess.run(command, capture_output=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(server, *options, scheme="http"):
    return run(
        CURL,
        "-s",
        "-k",
        "--max-time",
        "60",
        "--noproxy",
        "",
        "-x",
        f"{scheme}://127.0.0.1:{server.port}",
        *options,
    )


@needs_curl
def test_curl(guarded, origins, tmp_path):
    """Both kinds of requests with a password, several on one connection; and none without it."""
    plain, secure = origins
    login = ("--proxy-user", "anna:secret")
    assert curl(guarded, *login, f"{plain}/a?b=c", f"{plain}/2") == (
        b"<p>/a?b=c 1.1 skitai</p><p>/2 1.1 skitai</p>"
    )
    assert curl(guarded, *login, f"{secure}/a") == b"<p>/a </p>"  # what is within a tunnel stays as it is
    assert curl(guarded, *login, "--proxytunnel", f"{plain}/a") == b"<p>/a </p>"
    assert curl(guarded, *login, "--proxy-anyauth", f"{plain}/a") == b"<p>/a 1.1 skitai</p>"
    (tmp_path / "body").write_bytes(BODY)
    for url in origins:
        assert curl(guarded, *login, "--data-binary", f"@{tmp_path / 'body'}", url) == BODY
    shown = curl(guarded, "-o", "/dev/null", "-w", "%{http_code} %{proxy_used}", f"{plain}/a")
    assert shown.startswith(b"407")
    wrong = ("--proxy-user", "anna:wrong", "-w", "%{http_connect}")
    done = subprocess.run(
        [CURL, "-s", "-k", "--noproxy", "", "-x", f"http://127.0.0.1:{guarded.port}", *wrong, secure],
        capture_output=True,
        timeout=120,
    )
    assert done.stdout == b"407"


@needs_curl
def test_curl_to_a_proxy_with_tls(forward, origins, identity):
    """The way to the proxy may be encrypted, too: then passwords are, and tunnels are within TLS."""
    server = forward(
        server=f"{LISTS}\nssl = yes\ncertfile = {identity}\nhttp2 = no\nproxy_users = anna:secret"
    )
    login = ("--proxy-insecure", "--proxy-user", "anna:secret")
    plain, secure = origins
    assert curl(server, *login, f"{plain}/a", scheme="https") == b"<p>/a 1.1 skitai</p>"
    assert curl(server, *login, f"{secure}/a", scheme="https") == b"<p>/a </p>"
    assert curl(server, *login, "--data-binary", "x" * 100_000, secure, scheme="https") == b"x" * 100_000
    eventually(lambda: server.counts()["open tunnels"] == 0, "the end of the tunnels")


def test_urllib(guarded, origins):
    """The standard library, with the password in the URL of the proxy."""
    proxy = f"http://anna:secret@127.0.0.1:{guarded.port}"
    context = ssl._create_unverified_context()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy}),
        urllib.request.HTTPSHandler(context=context),
    )
    found = []
    for url in origins:
        with opener.open(f"{url}/u", timeout=60) as reply:
            found.append(reply.read())
    assert found == [b"<p>/u 1.1 skitai</p>", b"<p>/u </p>"]


def test_requests(guarded, origins, identity):
    """requests, with a session that keeps its connections."""
    proxy = f"http://anna:secret@127.0.0.1:{guarded.port}"
    with requests.Session() as session:
        session.trust_env = False
        session.proxies = {"http": proxy, "https": proxy}
        for url in origins * 2:
            assert session.post(url, data=BODY, verify=identity, timeout=60).content == BODY
    refused = requests.get(origins[0], proxies={"http": f"http://127.0.0.1:{guarded.port}"}, timeout=60)
    assert refused.status_code == 407


@pytest.mark.skipif(CHROMIUM is None, reason="no browser is installed")
def test_browser(forward, origins, tmp_path):
    """A browser, by both ways."""
    server = forward()
    for number, url in enumerate(origins):
        folder = tmp_path / str(number)
        printed = run(
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
            f"--proxy-server=http://127.0.0.1:{server.port}", "--proxy-bypass-list=<-loopback>",
            "--ignore-certificate-errors", "--timeout=60000", "--dump-dom", f"{url}/page",
        ).decode()  # fmt: skip
        assert re.search(r"<p>/page (1\.1 skitai)?</p>", printed), printed
    counts = server.counts()
    assert counts["requests"] >= 1
    assert counts["tunnels"] >= 1


SQUID_CONFIG = """
http_port 127.0.0.1:{port}
cache_peer 127.0.0.1 parent {parent} 0 no-query no-digest no-netdb-exchange default login=anna:secret
never_direct allow all
acl everybody src 127.0.0.1
http_access allow everybody
cache deny all
pid_filename none
cache_log /dev/null
access_log none
netdb_filename none
visible_hostname child
shutdown_lifetime 0 seconds
"""


@needs_curl
@pytest.mark.skipif(SQUID is None, reason="squid is not installed")
def test_parent_of_squid(guarded, origins, tmp_path):
    """A Squid asks this proxy for all: by absolute URIs and by tunnels, with a password of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    config = tmp_path / "squid.conf"
    config.write_text(SQUID_CONFIG.format(port=port, parent=guarded.port))
    process = subprocess.Popen(
        [SQUID, "-N", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    )
    try:
        eventually(lambda: _listens(port), "Squid")
        asked = ("-s", "-k", "--max-time", "60", "--noproxy", "", "-x", f"http://127.0.0.1:{port}")
        plain, secure = origins
        shown = run(CURL, *asked, f"{plain}/a").decode()
        assert re.fullmatch(r"<p>/a 1\.1 child \(squid/[0-9.]+\), 1\.1 skitai</p>", shown), shown
        assert run(CURL, *asked, f"{secure}/a") == b"<p>/a </p>"
        assert run(CURL, *asked, "--data-binary", "x" * 100_000, plain) == b"x" * 100_000
    finally:
        process.kill()
        process.wait()


def _listens(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
