"""The README's examples on HTTP as people run them: a server of its own, real upstreams, both executors."""

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from certificates import Identity
from serving import FIXTURE_APPS, Gateway, eventually

UPSTREAM_SECONDS = 0.2


class Upstream:
    """A server of the tests that tells what it got, and counts."""

    def __init__(self):
        self.counts = {}
        self.ended = []
        self.release = threading.Event()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        self.counts[path] = self.counts.get(path, 0) + 1
        body = environ["wsgi.input"].read().decode("latin-1")
        if path == "/slow":
            self.release.wait(30)
        if path in ("/forgotten", "/detached"):
            time.sleep(UPSTREAM_SECONDS)
            self.ended.append(path)
        if path == "/methods":
            return self.protected(environ, start_response, body)
        start_response("404 Not Found" if path == "/missing" else "200 OK", [("Content-Type", "text/plain")])
        kind = environ.get("CONTENT_TYPE", "").partition(";")[0]
        return [f"{environ['REQUEST_METHOD']} {path} {kind} {body} {self.counts[path]}".encode("latin-1")]

    def protected(self, environ, start_response, body):
        if environ.get("HTTP_AUTHORIZATION") != "Basic dXNlcjpwYXNz":
            start_response("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="tests"')])
            return [b"who are you?"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['REQUEST_METHOD']} {environ.get('HTTP_X_NAME')} {len(body)}".encode()]


@pytest.fixture(scope="module")
def upstream(reactor_thread):
    app = Upstream()
    gateway = Gateway(reactor_thread, {"": app}, 8)
    app.url = f"http://127.0.0.1:{gateway.address}/"
    yield app
    app.release.set()
    gateway.stop()


class Member(BaseHTTPRequestHandler):
    """One machine of a cluster: says which, and how often it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.count += self.path == "/count"
        body = f"{self.server.name} {self.server.count}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Two members that speak TLS, with certificates of one authority: their ports, and its file."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Identity(authority=True)
    (folder / "ca.pem").write_bytes(authority.pem)
    running = []
    for name in ("one", "two"):
        identity = Identity("127.0.0.1", issuer=authority)
        (folder / name).write_bytes(identity.pem + identity.key_pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / name)
        member = ThreadingHTTPServer(("127.0.0.1", 0), Member)
        member.name, member.count = name, 0
        member.socket = context.wrap_socket(member.socket, server_side=True)
        threading.Thread(target=member.serve_forever, daemon=True).start()
        running.append(member)
    yield [member.server_address[1] for member in running], folder / "ca.pem"
    for member in running:
        member.shutdown()
        member.server_close()


@pytest.fixture(scope="module")
def server(running_server, threads, members):
    ports, authority = members
    config = (
        "[server]\nip = 127.0.0.1\nport = 0\n[routes:line]\n"
        f"/ = {FIXTURE_APPS}/readme_http:app\n[@mysearch]\nssl = yes\nca = {authority}\n"
        f"members = {', '.join(f'127.0.0.1:{port}' for port in ports)}\n"
    )
    return running_server(config, threads)


def ask(server, path, method="GET"):
    """Return what a view made, which must have gone well."""
    response = server.ask(path, method)
    assert response.code == 200, (response.body, server.log_text()[-3000:])
    return json.loads(response.body)


def test_get(server, upstream):
    """The page behind the URL is the answer; a machine that cannot be reached makes reraise() a 500."""
    assert server.ask(f"/get?url={upstream.url}page").body.startswith(b"GET /page ")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        unreachable = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        assert server.ask(f"/get?url={unreachable}").code == 500
    assert f"[701] 127.0.0.1:{unreachable[17:-1]} refused the connection (status: 2)" in server.log_text()


def test_requests_do_not_mix(server, upstream):
    """Many clients at once get each what it asked for."""
    answers = {}

    def get(number):
        answers[number] = server.ask(f"/get?url={upstream.url}of/{number}").body.split()[1].decode()

    threads = [threading.Thread(target=get, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {number: f"/of/{number}" for number in range(20)}


def test_post_and_upload(server, upstream):
    """A dict is a form; with a file it is multipart, with name, type and content of the file."""
    form, multipart = ask(server, f"/post-and-upload?url={upstream.url}in")
    assert form.startswith("POST /in application/x-www-form-urlencoded user=Hans+Roh&comment=Hello ")
    assert multipart.startswith("POST /in multipart/form-data ")
    assert 'name="user"\r\n\r\nHans Roh\r\n' in multipart
    assert 'name="file"; filename="logo.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in multipart


def test_getwait_in_a_template(server, upstream):
    """A template may wait, which is the latest that a page can."""
    assert b"<p>3 GET /late" in server.ask(f"/template?url={upstream.url}late").body


def test_method_list(server, upstream):
    """Each method takes data, auth, headers and use_cache in that order."""
    answers = ask(server, f"/methods?url={upstream.url}methods")
    assert answers.pop("upload").startswith("POST value ")
    assert answers == {
        "get": "GET value 0",
        "post": "POST value 4",
        "put": "PUT value 5",
        "delete": "DELETE value 0",
    }


def test_status_and_code(server, upstream):
    """0 before the end; 1 for what is too slow, 2 for what failed, 3 for any answer; the same ever after."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
        query = f"slow={upstream.url}slow&refused={refused}&missing={upstream.url}missing"
        answer = ask(server, f"/states?{query}")
    assert answer == {
        "before": [0, 0],
        "results": [[1, 702], [2, 701], [3, 404]],
        "same": True,
        "after": [1, 702],
        "raised": f"[701] {refused[7:-1]} refused the connection (status: 2)",
        "in time": True,
    }


def test_load_balancing_and_map(server):
    """Both members of a TLS cluster are asked; map answers in their order."""
    answer = ask(server, "/search")
    assert {text.split()[0] for text in answer["lb"]} == {"one", "two"}
    assert ([text.split()[0] for text in answer["map"]], answer["codes"]) == (["one", "two"], [200, 200])


def test_caching(server, upstream, threads):
    """What is kept answers without asking; POST asks anew and its answer takes the place of the old."""
    path = f"/cached?url={upstream.url}kept/{threads}"

    def numbers(method="GET"):
        text, is_cached, counts = ask(server, path, method)
        return text.split()[-1], is_cached, [count.split()[1] for count in counts]

    first, second, posted, last = numbers(), numbers(), numbers("POST"), numbers()
    assert [first[:2], second[:2], posted[:2], last[:2]] == [
        ("1", False),
        ("1", True),
        ("2", False),
        ("2", True),
    ]
    assert first[2] == second[2] == last[2]  # of map as well


def test_utilities(server):
    """was.status is HTML; JSON and XML come back as they went."""
    assert ask(server, "/utilities") == {"json": True, "xml": True, "html": True}


def test_calls_that_nobody_collects(server, upstream):
    """They end with the request and leave nothing; detached ones go on."""
    assert server.ask(f"/lost?url={upstream.url}").body == b"gone"
    eventually(lambda: "/detached" in upstream.ended)


def test_import_outside_a_server():
    """was can be imported anywhere; using it without a server says so."""
    code = "from skitai import was\ntry:\n    was.get('http://h/')\nexcept AttributeError as e:\n    print(e)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "no Skitai server runs in this process" in printed
