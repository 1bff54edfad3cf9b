"""Flask and Django apps, unmodified and side by side, in the server that users run."""

import hashlib
import json
import re
from urllib.parse import urlencode

import pytest

from serving import FIXTURE_APPS
from wire import Client

FORM = ("Content-Type", "application/x-www-form-urlencoded")
BOUNDARY = "a-boundary"
FILE = b"\x00\xff\r\n--not-it\r\n" * 200_000  # kept on disk on its way


@pytest.fixture(scope="module")
def server(running_server, threads):
    """One server with Flask at the root and at a mount point, and Django at another."""
    apps = {"/": "flaskapp:app", "/deep/flask": "flaskapp:app", "/django": "djangoapp:app"}
    return running_server({point: f"{FIXTURE_APPS}/{target}" for point, target in apps.items()}, threads)


@pytest.fixture
def client(server):
    """A connection, so that each test shows that it outlives its requests."""
    with Client(server.port) as client:
        yield client


def text(response, code=200):
    assert response.code == code, (response.status, response.body)
    assert response.complete
    return response.body.decode()


def cookies(*responses):
    pairs = [cookie.partition(";")[0] for response in responses for cookie in response.all("Set-Cookie")]
    return ("Cookie", "; ".join(pairs))


def multipart():
    """Return the fields and the body of an upload."""
    parts = [
        b'Content-Disposition: form-data; name="note"\r\n\r\nwith a note',
        b'Content-Disposition: form-data; name="file"; filename="a file.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + FILE,
    ]
    body = b"".join(b"--%b\r\n%b\r\n" % (BOUNDARY.encode(), part) for part in parts)
    return [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")], body + b"--a-boundary--\r\n"


@pytest.mark.parametrize("point", ["", "/deep/flask"])
def test_flask_knows_where_it_is(client, point):
    """Routes, url_for, redirects and the request's URL are right at the root and at a mount point."""
    host = "localhost"
    expected = f"flask index {point}/greet/a%20b {point}/ http://{host}{point}/"
    assert text(client.ask(f"{point}/")) == expected
    assert text(client.ask(point or "/")) == expected
    assert text(client.ask(f"{point}/greet/a%20b")) == f"hello a b from {point}"
    assert client.ask(f"{point}/go")["Location"] == f"{point}/"
    redirect = client.ask(f"{point}/folder?x=1")
    assert (redirect.code, redirect["Location"]) == (308, f"http://{host}{point}/folder/?x=1")
    assert text(client.ask(f"{point}/folder/")) == "folder"
    assert client.ask(f"{point}/none").code == 404
    assert client.ask(f"{point}/form").code == 405
    assert client.ask(f"{point}/teapot").code == 418


def test_django_knows_where_it_is(client):
    """Routes, reverse(), redirects and the request's URL are right at a mount point, slash or not."""
    expected = "django index /django/greet/a%20b http://localhost/django/"
    assert text(client.ask("/django/")) == expected
    assert text(client.ask("/django")) == expected
    assert text(client.ask("/django/greet/a%20b")) == "hello a b from /django"
    redirect = client.ask("/django/folder?x=1")
    assert (redirect.code, redirect["Location"]) == (301, "/django/folder/?x=1")
    assert client.ask("/django/none").code == 404


@pytest.mark.parametrize("point", ["", "/deep/flask", "/django"])
def test_sessions_last(client, point):
    """A session cookie comes back and is understood."""
    first = client.ask(f"{point}/count")
    second = client.ask(f"{point}/count", fields=[cookies(first)])
    assert (text(first), text(second)) == ("1", "2")
    assert text(client.ask(f"{point}/count")) == "1"


@pytest.mark.parametrize("point", ["", "/deep/flask"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_flask_reads_forms_and_json(client, point, chunked):
    """Bodies reach Flask, whether sent with a length or in chunks."""

    def post(path, field, body):
        if not chunked:
            return client.ask(path, "POST", [field], body)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: a\r\n{field[0]}: {field[1]}\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        client.send(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        return client.response()

    body = urlencode([("name", "J\u00f6rg"), ("many", "1"), ("many", "2")]).encode()
    assert text(post(f"{point}/form", FORM, body)) == "J\u00f6rg|['1', '2']"
    answer = text(post(f"{point}/json", ("Content-Type", "application/json"), b'{"a": [1, null]}'))
    assert json.loads(answer) == {"given": {"a": [1, None]}}


@pytest.mark.parametrize("point", ["", "/django"])
def test_uploads_arrive(client, point):
    """A multipart upload of megabytes arrives byte for byte."""
    fields, body = multipart()
    expected = f"a file.bin {hashlib.sha256(FILE).hexdigest()} with a note"
    assert text(client.ask(f"{point}/upload", "POST", fields, body)) == expected


@pytest.mark.parametrize("point", ["", "/deep/flask", "/django"])
def test_streams_and_files_arrive(client, point):
    """Generators are chunked; files come with their length, in full, for HEAD without body."""
    stream = client.ask(f"{point}/stream")
    assert stream["Transfer-Encoding"] == "chunked"
    assert text(stream) == "".join(f"line {number}\n" for number in range(1000))
    source = (FIXTURE_APPS / ("djangoapp.py" if point == "/django" else "flaskapp.py")).read_bytes()
    file = client.ask(f"{point}/file")
    assert (file.body, file["Content-Length"]) == (source, str(len(source)))
    head = client.ask(f"{point}/file", "HEAD")
    assert (head["Content-Length"], head.body) == (str(len(source)), b"")
    assert client.ask(f"{point}/stream", "HEAD").body == b""


def test_flask_sends_parts_and_conditions(client):
    """Range, If-None-Match and large downloads work as Flask means them to."""
    assert len(client.ask("/download").body) == 5_000_000
    source = (FIXTURE_APPS / "flaskapp.py").read_bytes()
    part = client.ask("/file", fields=[("Range", "bytes=10-19")])
    assert (part.code, part.body) == (206, source[10:20])
    etag = client.ask("/file")["ETag"]
    assert client.ask("/file", fields=[("If-None-Match", etag)]).code == 304


def test_django_protects_its_forms(client):
    """A POST without the CSRF token is refused, one with it is taken."""
    body = urlencode([("name", "J\u00f6rg"), ("many", "1")])
    assert client.ask("/django/form", "POST", [FORM], body.encode()).code == 403
    page = client.ask("/django/form")
    body = f"{body}&csrfmiddlewaretoken={text(page)}".encode()
    assert text(client.ask("/django/form", "POST", [FORM, cookies(page)], body)) == "J\u00f6rg|['1']"


def test_djangos_admin_asks_for_a_login(client):
    """The admin redirects to its login page, which has a form with a token that points back to itself."""
    redirect = client.ask("/django/admin/")
    assert (redirect.code, redirect["Location"]) == (302, "/django/admin/login/?next=/django/admin/")
    page = text(client.ask(redirect["Location"]))
    assert re.search(r'<form action="/django/admin/login/\?next=/django/admin/" method="post"', page)
    assert "csrfmiddlewaretoken" in page


def test_a_view_that_fails_is_its_frameworks_affair(client, server):
    """The framework's 500 page is sent as it is, and the connection goes on."""
    assert "Internal Server Error" in text(client.ask("/fail"), 500)
    assert "Server Error" in text(client.ask("/django/fail"), 500)
    assert client.ask("/").code == 200
    assert server.log_text().count("ValueError: flask fails on purpose") == 1


def test_both_serve_many_clients_at_once(server):
    """Requests to both frameworks at the same time get the right answers."""
    clients = [Client(server.port) for _ in range(40)]
    try:
        for number, client in enumerate(clients):
            point = ("/deep/flask", "/django", "")[number % 3]
            client.send(f"GET {point}/greet/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        for number, client in enumerate(clients):
            point = ("/deep/flask", "/django", "")[number % 3]
            assert text(client.response()) == f"hello {number} from {point}"
    finally:
        for client in clients:
            client.close()
