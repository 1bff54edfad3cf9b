"""An app that announces a Content-Length is kept to it, whatever its body is made of (PEP 3333)."""

import gzip
import threading

import pytest

from fixtureapps import lengths

GZIP = ("Accept-Encoding", "gzip")
LONGER = "longer than its Content-Length"
SHORTER = "shorter than its Content-Length"


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


@pytest.fixture
def gateway(serve):
    """Apps of every shape at /lengths, and a plain one."""
    return serve({"/lengths": lengths.app, "": plain})


def count(gateway, text):
    """How many lines of the log hold ``text``."""
    return sum(text in line for line in gateway.messages)


@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_a_right_content_length_is_kept(gateway, shape):
    """An announced length frames the response, whichever way the body is made."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/10/10")
        assert (response["Content-Length"], response["Transfer-Encoding"]) == ("10", None)
        assert response.body == b"x" * 10
        assert client.ask("/").body == b"ok"
    assert not count(gateway, "Content-Length")


@pytest.mark.parametrize("shape", sorted(lengths.SHAPES.keys() - {"list", "tuple"}))
def test_without_content_length_a_stream_is_chunked(gateway, shape):
    """A streamed body of unknown length goes in chunks and keeps the connection."""
    with gateway.client() as client:
        for _ in range(2):
            response = client.ask(f"/lengths/{shape}//10")
            assert (response["Content-Length"], response["Transfer-Encoding"]) == (None, "chunked")
            assert response.body == b"x" * 10


@pytest.mark.parametrize(("announced", "given"), [(5, 10), (0, 10), (4000, 5000), (300_000, 600_000)])
@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_what_is_longer_than_announced_is_cut_at_its_length(gateway, shape, announced, given):
    """No byte beyond Content-Length is sent: it would be read as the next response."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/{announced}/{given}")
        assert (response["Content-Length"], response.body) == (str(announced), b"x" * announced)
        assert client.ask("/").body == b"ok"
    if shape != "file":  # which is read no further than is needed
        assert count(gateway, LONGER) == 1


@pytest.mark.parametrize(("announced", "given"), [(20, 10), (20, 0), (5000, 4000), (600_000, 300_000)])
@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_what_is_shorter_than_announced_ends_the_connection(gateway, shape, announced, given):
    """The client sees that the rest will not come, and does not take the body for whole."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/{announced}/{given}")
        assert (response["Content-Length"], response.body) == (str(announced), b"x" * given)
        assert not response.complete
        assert client.at_end()
    assert count(gateway, SHORTER) == 1
    assert not gateway.failures


@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_the_next_request_is_not_answered_on_a_connection_that_ends(gateway, shape):
    """A pipelined request after a body that is too short gets nothing, least of all the rest of that body."""
    request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
    with gateway.client() as client:
        client.send(request % f"/lengths/{shape}/20/10".encode() + request % b"/")
        assert client.read().endswith(b"\r\n\r\n" + b"x" * 10)


@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_a_client_of_http_1_0_sees_the_same(gateway, shape):
    """Its connection ends where bytes are missing, though it asked to keep it."""
    request = b"GET /lengths/%b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    with gateway.client() as client:
        client.send(request % f"{shape}/5/10".encode())
        assert client.response().body == b"x" * 5
        client.send(request % f"{shape}/20/10".encode())
        response = client.response()
        assert (response["Content-Length"], response.body) == ("20", b"x" * 10)
        assert client.at_end()


@pytest.mark.parametrize("shape", lengths.SHAPES)
@pytest.mark.parametrize(("announced", "given"), [(10, 10), (5, 10), (20, 10), (20, 0), (4000, 5000)])
def test_head_gets_the_length_that_get_would(gateway, shape, announced, given):
    """It has no body that could be too short or too long, so its connection goes on."""
    with gateway.client() as client:
        head = client.ask(f"/lengths/{shape}/{announced}/{given}", "HEAD")
        assert (head["Content-Length"], head.body) == (str(announced), b"")
        assert client.ask("/").body == b"ok"
    assert not count(gateway, "Content-Length")


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("shape", lengths.SHAPES)
@pytest.mark.parametrize(("announced", "given"), [(10, 10), (5, 10), (20, 10), (5, 0)])
def test_what_has_no_body_lacks_none(gateway, shape, announced, given, status):
    """With status 204 or 304 the connection goes on, whatever was announced and given."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/{announced}/{given}", fields=[("X-Status", status)])
        assert (response.status, response.body) == (status, b"")
        assert client.ask("/").body == b"ok"
    assert not count(gateway, "Content-Length")


@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_excess_is_cut_before_it_is_compressed(gateway, shape):
    """A client that gets gzip unpacks what was announced and no more."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/4000/5000?text", fields=[GZIP])
        assert response["Content-Encoding"] == "gzip"
        assert gzip.decompress(response.body) == b"x" * 4000
        assert client.ask("/").body == b"ok"


@pytest.mark.parametrize("shape", lengths.SHAPES)
def test_a_compressed_body_that_is_too_short_looks_so(gateway, shape):
    """The compressed form announces no length that would tell, so the response is cut off or sent plain."""
    with gateway.client() as client:
        assert not client.ask(f"/lengths/{shape}/5000/4000?text", fields=[GZIP]).complete
        assert client.at_end()
    assert any(SHORTER in line for line in (*gateway.messages, *gateway.failures))


@pytest.mark.parametrize(
    "wrong", ["", " ", "x", "+5", "-5", "5, 5", "0x5", "5.0", "\xb2", "1_0", "9" * 19, "9" * 5000]
)
@pytest.mark.parametrize("more", [[], [("Content-Length", "5")]], ids=["alone", "beside a right one"])
def test_a_length_that_is_no_number_is_refused(serve, wrong, more):
    """It is that request's 500, with a traceback that shows where the app gave it, compressed or not."""

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", wrong), *more])
        return [b"x" * 5000]

    gateway = serve({"/wrong": app, "": plain})
    with gateway.client() as client:
        for fields in ([], [GZIP]):
            assert client.ask("/wrong", fields=fields).code == 500
        assert client.ask("/").body == b"ok"
    assert all("in app" in failure and "Content-Length" in failure for failure in gateway.failures)


@pytest.mark.parametrize("shape", ["list", "iter", "file"])
def test_two_lengths_are_one_if_they_are_equal(gateway, shape):
    """A field that comes twice leaves once; two that differ are the request's 500."""
    with gateway.client() as client:
        response = client.ask(f"/lengths/{shape}/10+10/10")
        assert (response.all("Content-Length"), response.body) == (["10"], b"x" * 10)
        assert client.ask(f"/lengths/{shape}/10+11/10").code == 500
        assert client.ask("/").body == b"ok"


def test_an_endless_body_ends_at_its_content_length(serve):
    """An app is not asked for more than it announced, and its body is closed."""
    closed = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "10")])
        return endless()

    def endless():
        try:
            while True:
                yield b"1234"
        finally:
            closed.set()

    with serve(app).client() as client:
        assert client.ask().body == b"1234123412"
        assert closed.wait(60)
        assert client.ask("/", "HEAD")["Content-Length"] == "10"
