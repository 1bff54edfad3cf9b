"""What an app is told about its request: PEP 3333, "environ Variables"."""

import json
import os
from urllib.parse import quote
from wsgiref.util import request_uri

import pytest

from fixtureapps import echo
from serving import FIXTURE_APPS
from skitai import __version__


@pytest.fixture
def gateway(serve):
    """The echoing app at the root and at several mount points."""
    points = ["", "/app", "/app/inner", "/apple", "/with space", "/caf\u00e9"]
    return serve(dict.fromkeys(points, echo.environ))


def environ_of(response):
    assert response.code == 200, response
    return json.loads(response.body)


@pytest.mark.parametrize(
    ("target", "script_name", "path_info"),
    [
        ("/", "", "/"),
        ("/x", "", "/x"),
        ("/x/", "", "/x/"),
        ("//x", "", "//x"),
        ("/app", "/app", "/"),
        ("/app/", "/app", "/"),
        ("/app?x=1", "/app", "/"),
        ("/app/x", "/app", "/x"),
        ("/app/x/", "/app", "/x/"),
        ("/app//x", "/app", "//x"),
        ("/appx", "", "/appx"),
        ("/apple/x", "/apple", "/x"),
        ("/app/inner", "/app/inner", "/"),
        ("/app/inner/x", "/app/inner", "/x"),
        ("/app/innermost", "/app", "/innermost"),
        ("/APP/x", "", "/APP/x"),
        # Escapes are the same characters (RFC 3986, section 6.2.2.2), in the mount point as elsewhere.
        ("/%61pp/x", "/app", "/x"),
        ("/%61%70%70", "/app", "/"),
        ("/app/%69nner/a%20b", "/app/inner", "/a b"),
        ("/app/%E2%82%AC", "/app", "/\u20ac"),
        ("/app/%e2%82%ac%", "/app", "/\u20ac%"),
        ("/app/100%25", "/app", "/100%"),
        ("/app/%2541", "/app", "/%41"),
        ("/with%20space/x", "/with space", "/x"),
        ("/caf%C3%A9/x", "/caf\u00e9", "/x"),
        ("/caf%c3%a9", "/caf\u00e9", "/"),
        # ... except for a slash, which is a part of its segment.
        ("/app%2Fx", "", "/app/x"),
        ("/app%2finner/x", "", "/app/inner/x"),
        ("/app/inner%2Fx", "/app", "/inner/x"),
        ("/app/x%2Fy", "/app", "/x/y"),
    ],
)
def test_the_path_is_split_at_the_mount_point(gateway, target, script_name, path_info):
    """SCRIPT_NAME is the mount point and PATH_INFO the rest, both decoded; together they are the path."""
    environ = environ_of(gateway.ask(target))

    def text(native):
        return native.encode("latin-1").decode("utf-8")

    assert (text(environ["SCRIPT_NAME"]), text(environ["PATH_INFO"])) == (script_name, path_info)
    assert environ["REQUEST_URI"] == environ["RAW_URI"] == target


def test_bytes_that_are_not_utf_8_reach_the_app(gateway):
    """PATH_INFO carries bytes: what was escaped can be got back whatever its encoding."""
    environ = environ_of(gateway.ask("/app/%ff%00%fe"))
    assert environ["PATH_INFO"].encode("latin-1") == b"/\xff\x00\xfe"


@pytest.mark.parametrize(
    ("target", "query"),
    [("/", ""), ("/?", ""), ("/?a=1&b=%20+c", "a=1&b=%20+c"), ("/?a?b/c", "a?b/c"), ("/?a=%E9", "a=%E9")],
)
def test_the_query_is_given_as_it_was_sent(gateway, target, query):
    """QUERY_STRING is not decoded, and empty rather than absent."""
    assert environ_of(gateway.ask(target))["QUERY_STRING"] == query


def test_the_url_can_be_made_again(gateway):
    """wsgiref's reconstruction gives the URL that was asked for."""
    environ = environ_of(gateway.ask("/app/a%20b?x=%31", host="example.org:8000"))
    assert request_uri(environ) == "http://example.org:8000/app/a%20b?x=%31"
    assert quote(environ["SCRIPT_NAME"]) == "/app"


def test_what_pep_3333_requires_is_there(gateway):
    """All required variables are present, with values of the right kind."""
    with gateway.client() as client:
        environ = environ_of(client.ask("/", "PATCH"))
        host, port = client.socket.getsockname()
    assert environ["REQUEST_METHOD"] == "PATCH"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("127.0.0.1", str(gateway.address))
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == (host, str(port))
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert environ["wsgi.version"] == "(1, 0)"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["wsgi.multithread"] == repr(gateway.executor.multithread)
    assert environ["wsgi.multiprocess"] == environ["wsgi.run_once"] == "False"
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "skitai.was"} <= environ.keys()
    assert (environ["skitai.version"], environ["skitai.process"]) == (__version__, str(os.getpid()))
    threads = "skitai-app-" if gateway.executor.multithread else "reactor"
    assert environ["skitai.thread"].startswith(threads)


def test_the_environment_of_the_process_stays_out(gateway, monkeypatch):
    """Variables of the server's process are nobody's business, and cannot pass for a client's fields."""
    monkeypatch.setenv("HTTP_X_SECRET", "secret")
    environ = environ_of(gateway.ask())
    assert "HTTP_X_SECRET" not in environ
    assert not {"HOME", "PATH"} & environ.keys() & os.environ.keys()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("Accept", "a"), ("X-Other", "1"), ("Accept", "b")], {"HTTP_ACCEPT": "a, b", "HTTP_X_OTHER": "1"}),
        ([("Cookie", "a=1"), ("cookie", "b=2")], {"HTTP_COOKIE": "a=1; b=2"}),
        ([("X-User", "real"), ("X_User", "forged")], {"HTTP_X_USER": "real"}),
        ([("X_User", "forged"), ("X-User", "real")], {"HTTP_X_USER": "real"}),
        ([("X_User", "forged")], {"HTTP_X_USER": None}),
        ([("Content_Length", "5")], {"HTTP_CONTENT_LENGTH": None, "CONTENT_LENGTH": None}),
        ([("Content-Type", "a/b")], {"CONTENT_TYPE": "a/b", "HTTP_CONTENT_TYPE": None}),
        ([("Content-Length", "0")], {"CONTENT_LENGTH": "0", "HTTP_CONTENT_LENGTH": None}),
        ([], {"CONTENT_TYPE": None, "CONTENT_LENGTH": None}),
        ([("Proxy", "http://evil/")], {"HTTP_PROXY": None}),
        ([("X-Text", "caf\u00e9")], {"HTTP_X_TEXT": "caf\u00e9"}),
        ([("X-Empty", "")], {"HTTP_X_EMPTY": ""}),
        ([("X.Dotted~", "1")], {"HTTP_X.DOTTED~": "1"}),
        ([("wsgi.url_scheme", "https")], {"wsgi.url_scheme": "http"}),
    ],
)
def test_header_fields_become_variables(gateway, fields, expected):
    """Fields go by HTTP_NAME, several of a name joined; what could pass for another field is dropped."""
    environ = environ_of(gateway.ask("/", fields=fields))
    assert {key: environ.get(key) for key in expected} == expected


@pytest.mark.parametrize("fields", [["5", "6"], ["5", "5"], ["5, 5"], ["+5"], ["0x5"], ["5 5"]])
def test_content_length_must_be_one_number(gateway, fields):
    """A request whose length is in doubt never reaches an app."""
    with gateway.client() as client:
        lines = "".join(f"Content-Length: {text}\r\n" for text in fields)
        client.send(f"POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\nGET / HTTP/1.1\r\n\r\n".encode())
        assert client.response().code == 400
        assert client.at_end()


def test_the_body_of_a_chunked_request_has_a_length(gateway):
    """The app sees CONTENT_LENGTH, and nothing of how the body was framed."""
    with gateway.client() as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-After\r\n\r\n"
            b"5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-After: 1\r\n\r\n"
        )
        environ = environ_of(client.response())
    assert environ["CONTENT_LENGTH"] == "11"
    assert not {"HTTP_TRANSFER_ENCODING", "HTTP_X_AFTER"} & environ.keys()


def test_an_empty_chunked_body_has_the_length_0(gateway):
    """A chunked body of no chunks is an empty one."""
    with gateway.client() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert environ_of(client.response())["CONTENT_LENGTH"] == "0"


@pytest.mark.parametrize(
    ("target", "host", "path", "expected"),
    [
        ("http://example.org/app/x?q", "example.org", "/x", "q"),
        ("http://example.org:81/app", "example.org:81", "/", ""),
        ("HTTP://EXAMPLE.org/app?q=http://b/", "EXAMPLE.org", "/", "q=http://b/"),
    ],
)
def test_an_absolute_target_names_the_host(gateway, target, host, path, expected):
    """RFC 9112, section 3.2.2: the host of an absolute target replaces that of the Host field."""
    environ = environ_of(gateway.ask(target, host="ignored.example"))
    assert (environ["HTTP_HOST"], environ["SCRIPT_NAME"]) == (host, "/app")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, expected)


def test_an_http_1_0_request_without_host_has_no_http_host(gateway):
    """Without Host the app has to do with SERVER_NAME."""
    with gateway.client() as client:
        client.send(b"GET /app HTTP/1.0\r\n\r\n")
        environ = environ_of(client.response())
    assert "HTTP_HOST" not in environ
    assert (environ["SERVER_NAME"], environ["SERVER_PROTOCOL"]) == ("127.0.0.1", "HTTP/1.0")


def test_a_unix_socket_has_names_too(serve, tmp_path):
    """Over a Unix socket, which has neither address nor port, the required variables are not empty."""
    gateway = serve(echo.environ, unix_socket=tmp_path / "socket")
    environ = environ_of(gateway.ask(host="example.org"))
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == ("localhost", "80")
    assert (environ["REMOTE_ADDR"], environ["HTTP_HOST"]) == ("", "example.org")
    assert "unix:- GET / HTTP/1.1 200" in gateway.access_lines(1)[0]


def test_an_app_may_change_its_environ(serve):
    """The environ is a dict of its own for each request: middleware may change it as it likes."""

    def app(environ, start_response):
        seen = environ.get("mine")
        environ["mine"] = "changed"
        assert type(environ) is dict
        start_response("200 OK", [])
        environ.clear()
        return [repr(seen).encode()]

    with serve(app).client() as client:
        assert [client.ask().body for _ in range(3)] == [b"None"] * 3


def test_the_echoing_app_is_a_file(running_server, threads):
    """The same holds for the program that users run: app by file, mount point, Unix socket."""
    server = running_server({"/app": f"{FIXTURE_APPS}/echo:environ"}, threads)
    environ = environ_of(server.ask("/%61pp/x?y", host="example.org"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/app", "/x", "y")
    assert environ["wsgi.multithread"] == repr(threads > 0)
    assert server.ask("/nothing").code == 404
    server.stop()
