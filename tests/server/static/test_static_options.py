"""The options of a folder's mount line: ``/ = ./dist fallback=index.html max_age=0 cors=*``."""

import os
import re

import pytest

from serving import RunningServer, config_text
from skitai.server.static.options import (
    FolderOptions,
    MaxAges,
    cors_origins,
    fallback_path,
    header_fields,
    max_ages,
    show_header_fields,
    show_max_ages,
)

PAGE = b"<!doctype html><title>app</title>"
APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}".encode()]
"""
HEADERS = "X-Frame-Options: DENY | Content-Security-Policy: default-src 'self'; img-src *"


@pytest.fixture(scope="module", params=[4, 0], ids=["threads", "greenlets"])
def server(request, tmp_path_factory):
    """A server with a page that does its own routing, an app below it, and a folder of fonts."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "dist" / "assets").mkdir(parents=True)
    (folder / "fonts").mkdir()
    (folder / "api.py").write_text(APP, encoding="utf-8")
    for name, content in {
        "dist/index.html": PAGE,
        "dist/assets/a-1234.js": b"run()",
        "dist/logo.png": b"\x89PNG",
        "fonts/a.woff2": b"wOF2" * 100,
        "fonts/b.txt": b"text",
    }.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (1_700_000_000, 1_700_000_000))
    ages = '"/assets/* 365d, *.html 0, 1h"'
    running = RunningServer(
        folder,
        config_text(
            {
                "/": f'./dist fallback=index.html max_age={ages} headers="{HEADERS}"',
                "/api": "./api:app",
                "/fonts": "./fonts cors=*",
                "/ours": "./fonts cors=https://a.example,*.b.example",
                "/deep/ui": "./dist fallback=/index.html",
                "/deep": "./api:app",
            }
        ),
        request.param,
    )
    yield running
    running.stop()


def names(response, *fields):
    return tuple(response[field] for field in fields)


@pytest.mark.parametrize(
    ("path", "age"),
    [
        ("/", "max-age=0"),
        ("/index.html", "max-age=0"),
        ("/assets/a-1234.js", "max-age=31536000"),
        ("/logo.png", "max-age=3600"),
        ("/some/route", "max-age=0"),
        ("/fonts/b.txt", "max-age=300"),
    ],
)
def test_max_age_by_pattern(server, path, age):
    """The first pattern that matches counts; a file is itself whatever the address of a fallback says.

    nginx has ``expires`` in locations for this, whitenoise a function.
    """
    response = server.ask(path)
    assert (response.code, response["Cache-Control"]) == (200, age)


def test_header_fields(server):
    """The fields stand in all answers of the folder: whole, part, unchanged, error."""
    for fields, code in [
        ((), 200),
        ((("Range", "bytes=0-3"),), 206),
        ((("If-None-Match", "*"),), 304),
        ((("If-Match", '"x"'),), 412),
    ]:
        response = server.ask("/index.html", fields=fields)
        assert response.code == code
        assert response["X-Frame-Options"] == "DENY"
        assert response["Content-Security-Policy"] == "default-src 'self'; img-src *"
    assert server.ask("/api/x")["X-Frame-Options"] is None


@pytest.mark.parametrize("path", ["/users/7", "/deep/ui/users", "/users.list"])
def test_a_page_gets_the_fallback(server, path):
    """An address that is no file is the page's own business: its server sends the page.

    So do Vite's and connect-history-api-fallback's servers, and nginx with ``try_files``.
    """
    page = (("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),)
    response = server.ask(path, fields=page)
    assert (response.code, response.body) == (200, PAGE)
    assert response["Content-Type"] == "text/html; charset=utf-8"
    assert server.ask(path, "HEAD", fields=page)["Content-Length"] == str(len(PAGE))


@pytest.mark.parametrize(
    ("path", "method", "accept", "code"),
    [
        ("/assets/gone.js", "GET", "*/*", 404),
        ("/assets/gone.png", "GET", "image/avif,image/webp,*/*;q=0.8", 404),
        ("/users/7", "GET", "application/json", 404),
        ("/users/7", "GET", "text/html;q=0", 404),
        ("/users/7", "GET", "*/*", 200),
        ("/users/7", "GET", None, 200),
        ("/users/7", "POST", "text/html", 404),
        ("/../secret", "GET", "text/html", 200),
    ],
)
def test_who_does_not_get_the_fallback(server, path, method, accept, code):
    """A script or a picture that is missing is missing: as HTML it would be an error nobody understands."""
    fields = () if accept is None else (("Accept", accept),)
    response = server.ask(path, method, fields=fields)
    assert response.code == code
    assert (response.body == PAGE) is (code == 200)


def test_apps_keep_their_paths(server):
    """The nearest mount point decides: an app below the folder, and a folder below an app."""
    page = (("Accept", "text/html"),)
    assert server.ask("/api/users", fields=page).body == b"GET /users"
    assert server.ask("/deep/users", fields=page).body == b"GET /users"
    assert server.ask("/deep/ui/users", fields=page).body == PAGE
    assert server.ask("/deep/ui/users", "POST", body=b"x").body == b"POST /ui/users"


def test_options_of_a_file(server):
    """OPTIONS says what a file allows (RFC 9110, section 9.3.7), without CORS, too."""
    response = server.ask("/logo.png", "OPTIONS")
    assert (response.code, response["Allow"]) == (204, "GET, HEAD, OPTIONS")
    assert response["Access-Control-Allow-Origin"] is None
    assert server.ask("/none.png", "OPTIONS").code == 404
    assert server.ask("/logo.png", "DELETE")["Allow"] == "GET, HEAD, OPTIONS"


def test_any_origin(server):
    """With ``cors=*`` pages of any origin read files, and a preflight is answered (Fetch standard, 3.2)."""
    for fields in ((), (("Origin", "https://x.example"),)):
        response = server.ask("/fonts/a.woff2", fields=fields)
        assert response["Access-Control-Allow-Origin"] == "*"
        assert "Content-Range" in response["Access-Control-Expose-Headers"]
        assert response["Vary"] is None
    preflight = (
        ("Origin", "https://x.example"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "range, x-own"),
    )
    response = server.ask("/fonts/a.woff2", "OPTIONS", fields=preflight)
    assert (response.code, response["Access-Control-Allow-Origin"]) == (204, "*")
    assert response["Access-Control-Allow-Methods"] == "GET, HEAD"
    assert response["Access-Control-Allow-Headers"] == "range, x-own"
    assert response["Access-Control-Max-Age"] == "7200"


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://a.example", True),
        ("http://c.b.example:8080", True),
        ("http://a.example", False),
        ("https://a.example.evil", False),
        ("null", False),
        (None, False),
        ("nonsense\\", False),
    ],
)
def test_some_origins(server, origin, is_allowed):
    """Which origin is allowed depends on who asks, and a cache must know that (Fetch standard, 3.2.5)."""
    fields = () if origin is None else (("Origin", origin),)
    asks = (*fields, ("Access-Control-Request-Method", "GET"))
    for response in (
        server.ask("/ours/b.txt", fields=fields),
        server.ask("/ours/b.txt", "OPTIONS", fields=asks),
    ):
        assert response["Access-Control-Allow-Origin"] == (origin if is_allowed else None)
        assert "Origin" in response["Vary"]
    assert (response["Access-Control-Allow-Methods"] is not None) is is_allowed


@pytest.mark.parametrize(
    ("value", "shown", "path", "age"),
    [
        ("1h", "3600", b"/a", b"max-age=3600"),
        ("*.html 0, 1 h", None, b"/a", None),
        ("*.html 0, 60", "*.html 0, 60", b"/a/b.html", b"max-age=0"),
        ("/a/* 1d", "/a/* 86400", b"/a/b/c", b"max-age=86400"),
        ("/a/* 1d", "/a/* 86400", b"/b/a/c", b"max-age=300"),
        ("a b.txt 5", "a b.txt 5", b"/x/a b.txt", b"max-age=5"),
        ("[ab].txt 5", "[ab].txt 5", b"/b.txt", b"max-age=5"),
        ("*.txt 5", "*.txt 5", "/한.txt".encode(), b"max-age=5"),
    ],
)
def test_patterns(value, shown, path, age):
    """A pattern with a slash is one of the whole path, any other one of the name."""
    if shown is None:  # a time has no space in it here
        with pytest.raises(ValueError, match="seconds"):
            max_ages("*.html 0, 1 x")
        return
    read = max_ages(value)
    assert show_max_ages(read) == shown
    assert max_ages(shown) == read
    assert read.or_else(300).cache_control(path) == age


@pytest.mark.parametrize(
    ("cast", "value", "words"),
    [
        (max_ages, "", "needs a time"),
        (max_ages, "*.html", "must be a number of seconds"),
        (max_ages, "1h, 2h", "two times without a pattern"),
        (max_ages, "*.html never", "must be a number of seconds"),
        (header_fields, "", "needs a field"),
        (header_fields, "X-Frame-Options", "write Name: value"),
        (header_fields, "a b: c", "write Name: value"),
        (header_fields, "X: a\x00b", "no header field may have"),
        (header_fields, "X: 한", "no header field may have"),
        (header_fields, "Content-Length: 5", "is set by the server itself"),
        (header_fields, "Transfer-Encoding: chunked", "is set by the server itself"),
        (header_fields, "ETag: x", "is set by the server itself"),
        (header_fields, "Access-Control-Allow-Origin: *", "write cors=ORIGIN"),
        (cors_origins, "", "needs an origin"),
        (cors_origins, "www.example.com", "is not an origin"),
        (cors_origins, "https://a.example/path", "is not an origin"),
        (fallback_path, "", "must be the path of a file"),
        (fallback_path, "../index.html", "must be the path of a file"),
        (fallback_path, "a/.git", "must be the path of a file"),
        (fallback_path, "a/", "must be the path of a file"),
        (fallback_path, "a?b", "must be the path of a file"),
    ],
)
def test_wrong_values(cast, value, words):
    """What cannot be meant is refused when the file is read."""
    with pytest.raises(ValueError, match=re.escape(words)):
        cast(value)


def test_values_are_shown_as_they_are_written():
    """``--check`` shows what can be written."""
    fields = header_fields(HEADERS)
    assert show_header_fields(fields) == HEADERS
    assert header_fields(show_header_fields(fields)) == fields
    assert fallback_path("index.html") == fallback_path("/index.html") == "/index.html"


def test_a_cache_control_of_ones_own():
    """It takes the place of ``max_age``, but an error is not kept for so long."""
    options = FolderOptions(MaxAges(60), header_fields("Cache-Control: max-age=5, immutable | X-A: b"))
    assert options.fields(200, None) == [(b"Cache-Control", b"max-age=5, immutable"), (b"X-A", b"b")]
    assert options.fields(404, None) == [(b"X-A", b"b")]
