"""When a response is compressed, and what its head then says."""

import gzip
import io
import zlib

import pytest

from skitai.server.request.compress import LENGTH_MIN, accepts_gzip

TEXT = b"All work and no play makes Jack a dull boy. " * 200
GZIP = ("Accept-Encoding", "gzip")


def answering(body=TEXT, headers=(), content_type="text/html; charset=utf-8", status="200 OK", make=list):
    """Return an app that answers ``body``, cut in three, as the iterable that ``make`` makes."""
    pieces = [body[:100], body[100:3000], body[3000:]]

    def app(environ, start_response):
        start_response(status, [("Content-Type", content_type), *headers])
        return make(pieces)

    return app


def stream_of(pieces):
    yield from pieces


@pytest.mark.parametrize("make", [list, stream_of])
def test_text_is_compressed_for_who_asks(serve, make):
    """A text of 2 KB and more is sent with gzip, whole or streamed, and the connection goes on."""
    with serve(answering(make=make)).client() as client:
        for _ in range(2):
            response = client.ask(fields=[GZIP])
            assert (response["Content-Encoding"], response["Vary"]) == ("gzip", "Accept-Encoding")
            assert gzip.decompress(response.body) == TEXT
            assert len(response.body) < len(TEXT) // 10


@pytest.mark.parametrize("make", [list, stream_of])
def test_who_does_not_ask_gets_the_plain_text(serve, make):
    """Without Accept-Encoding nothing is compressed, but caches are told that it could be."""
    response = serve(answering(make=make)).ask()
    assert (response["Content-Encoding"], response["Vary"]) == (None, "Accept-Encoding")
    assert response.body == TEXT


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"gzip", True),
        (b"GZip", True),
        (b"x-gzip", True),
        (b"deflate, gzip;q=0.5", True),
        (b"deflate,gzip ; q = 0.001", True),
        (b"*", True),
        (b"*;q=0.5", True),
        (b"gzip;q=1.0", True),
        (b"", False),
        (b"br, deflate", False),
        (b"identity", False),
        (b"gzip;q=0", False),
        (b"gzip;q=0.000, *", False),
        (b"*;q=0", False),
        (b"*;q=0, gzip", True),
        (b"gzip;q=a", False),
        (b"gzip;q=", False),
        (b"gzipped", False),
        (b",,;;=,gzip;;", True),
    ],
)
def test_accept_encoding_is_weighed(field, expected):
    """RFC 9110, section 12.5.3: by name first, then ``*``; a weight of zero refuses."""
    assert accepts_gzip(field) is expected


@pytest.mark.parametrize("make", [list, stream_of])
@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "TEXT/CSS", "application/json", "application/javascript", "application/ld+json",
     "application/atom+xml; charset=utf-8", "image/svg+xml"],
)  # fmt: skip
def test_kinds_of_text_are_compressed(serve, make, content_type):
    """What is text by its media type is compressed."""
    response = serve(answering(content_type=content_type, make=make)).ask(fields=[GZIP])
    assert response["Content-Encoding"] == "gzip"


@pytest.mark.parametrize("make", [list, stream_of])
@pytest.mark.parametrize(
    "options",
    [
        {"content_type": "image/png"},
        {"content_type": "application/octet-stream"},
        {"content_type": "application/zip"},
        {"content_type": ""},
        {"content_type": "text/event-stream"},
        {"headers": [("Content-Encoding", "br")]},
        {"headers": [("content-encoding", "identity")]},
        {"headers": [("Cache-Control", "public"), ("Cache-Control", "No-Transform")]},
        {"headers": [("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ==")]},
        {"headers": [("Repr-Digest", "sha-256=:x:")]},
        {"headers": [("Content-Range", "bytes 0-8799/8800")], "status": "206 Partial Content"},
    ],
    ids=str,
)
def test_what_must_not_be_changed_is_not(serve, make, options):
    """Other types, encoded bodies, parts, and what carries a checksum or forbids it stay as they are."""
    response = serve(answering(make=make, **options)).ask(fields=[GZIP])
    assert response.body == TEXT
    assert response["Content-Encoding"] in (None, "br", "identity")


@pytest.mark.parametrize("length", [0, 1, LENGTH_MIN - 1, LENGTH_MIN])
@pytest.mark.parametrize("announced", [False, True], ids=["list", "announced stream"])
def test_short_bodies_are_left_alone(serve, length, announced):
    """Below 2 KB the work is not worth it, and nothing is said of it."""
    headers = [("Content-Length", str(length))] if announced else []
    app = answering(b"x" * length, headers, make=stream_of if announced else list)
    response = serve(app).ask(fields=[GZIP])
    long_enough = length >= LENGTH_MIN
    assert (response["Content-Encoding"] is not None) is (response["Vary"] is not None) is long_enough
    assert (gzip.decompress(response.body) if long_enough else response.body) == b"x" * length


@pytest.mark.parametrize("status", ["201 Created", "404 Not Found", "500 Oops"])
def test_whole_bodies_of_any_status_are_compressed(serve, status):
    """The text of an error page is text too."""
    response = serve(answering(status=status)).ask(fields=[GZIP])
    assert (response.status, gzip.decompress(response.body)) == (status, TEXT)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_what_has_no_body_is_not_compressed(serve, status):
    """A response without a body has no Content-Encoding."""
    response = serve(answering(status=status)).ask(fields=[GZIP])
    assert (response["Content-Encoding"], response.body) == (None, b"")


def test_fields_of_the_plain_form_are_adapted(serve):
    """The compressed form has no length or ranges of the plain one, and a tag of its own."""
    headers = [
        ("ETag", '"abc"'),
        ("Content-Length", str(len(TEXT))),
        ("Accept-Ranges", "bytes"),
        ("X-A", "1"),
    ]
    gateway = serve(answering(headers=headers, make=stream_of))
    response = gateway.ask(fields=[GZIP])
    assert (response["ETag"], response["Accept-Ranges"], response["X-A"]) == ('"abc-gzip"', None, "1")
    assert response["Content-Length"] is None
    assert gzip.decompress(response.body) == TEXT
    plain = gateway.ask()
    assert (plain["ETag"], plain["Accept-Ranges"]) == ('"abc"', "bytes")
    assert plain["Content-Length"] == str(len(TEXT))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Cookie"], "Cookie, Accept-Encoding"),
        (["Cookie", "Origin"], "Cookie, Origin, Accept-Encoding"),
        (["Cookie, accept-encoding"], "Cookie, accept-encoding"),
        (["X-Accept-Encoding-Not"], "X-Accept-Encoding-Not, Accept-Encoding"),
        ([" * "], "*"),
        (['W/"weak"'], 'W/"weak", Accept-Encoding'),
    ],
)
def test_vary_keeps_what_the_app_said(serve, given, expected):
    """Accept-Encoding joins the fields that the app's response depends on already."""
    response = serve(answering(headers=[("Vary", value) for value in given])).ask(fields=[GZIP])
    assert ", ".join(response.all("Vary")) == expected


def test_a_weak_etag_stays_as_it_is(serve):
    """An ETag that is weak already is not marked twice."""
    assert serve(answering(headers=[("ETag", 'W/"a"')])).ask(fields=[GZIP])["ETag"] == 'W/"a"'


@pytest.mark.parametrize("given", [True, False], ids=["body given", "body left out"])
def test_head_says_what_get_would(serve, given):
    """HEAD gets the fields of GET, whether the app gives the body for it or leaves it out."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(TEXT)))])
        return [TEXT] if given or environ["REQUEST_METHOD"] == "GET" else []

    with serve(app).client() as client:
        for fields in ([GZIP], []):
            head, get = client.ask("/", "HEAD", fields), client.ask("/", "GET", fields)
            for name in ("Content-Encoding", "Vary", "Content-Type"):
                assert head[name] == get[name]
            # It may be left out (RFC 9110, section 9.3.2), but not be wrong.
            assert head["Content-Length"] in (
                (get["Content-Length"],) if given else (get["Content-Length"], None)
            )


def test_each_piece_of_a_stream_can_be_read_when_it_arrives(serve):
    """Compressing does not hold back what the app has sent."""
    pieces = [b"first " * 10, b"second " * 500, b"third"]

    with serve(answering(make=lambda _: iter(pieces))).client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        client.read_head()
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
        assert [reader.decompress(client.read_chunk()) for _ in pieces] == pieces
        assert reader.decompress(client.read_chunk()) == b""
        assert reader.eof
        assert client.read_chunk() == b""


def test_http_1_0_gets_the_compressed_stream_until_the_end(serve):
    """An HTTP/1.0 client that asks gets gzip, ended by the connection."""
    with serve(answering(make=stream_of)).client() as client:
        client.send(b"GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
        assert gzip.decompress(client.response().body) == TEXT


def test_a_wrapped_text_file_is_compressed(serve):
    """wsgi.file_wrapper is no exception, with a real file or without."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        file = open(__file__, "rb") if environ["QUERY_STRING"] else io.BytesIO(TEXT)
        return environ["wsgi.file_wrapper"](file)

    gateway = serve(app)
    with open(__file__, "rb") as file:
        assert gzip.decompress(gateway.ask("/?file", fields=[GZIP]).body) == file.read()
    assert gzip.decompress(gateway.ask("/", fields=[GZIP]).body) == TEXT
    assert gateway.ask("/?file", "HEAD", [GZIP])["Content-Encoding"] == "gzip"


def test_a_compressed_stream_keeps_to_its_announced_length(serve):
    """The compressed form has no Content-Length, so the server sees to it that the announced one is right."""
    wrong = [("Content-Length", str(len(TEXT) - 100))]
    response = serve(answering(headers=wrong, make=stream_of)).ask(fields=[GZIP])
    assert gzip.decompress(response.body) == TEXT[:-100]
    wrong = [("Content-Length", str(len(TEXT) + 100))]
    gateway = serve(answering(headers=wrong, make=stream_of))
    assert not gateway.ask(fields=[GZIP]).complete
    assert "100 bytes shorter than its Content-Length" in gateway.failures[0]
