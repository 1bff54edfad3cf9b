"""What an app may do, in PEP 3333's words and against them, and what its client then sees."""

import enum
import json
import tracemalloc
from wsgiref.validate import validator

import pytest

from fixtureapps import bodies, echo, protocol, raising
from serving import eventually
from skitai.http.fields import FIELD_VALUE
from skitai.loop.bridge import Pending
from skitai.server.apps.slot import AppWatcher
from skitai.server.site import Mounts, Site
from skitai.server.wsgi.checks import check_headers
from skitai.server.wsgi.resource import WSGIResource


def plain(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize("point", ["", "/mounted/here"])
def test_the_validator_of_the_standard_library_finds_nothing(serve, method, point):
    """wsgiref.validate has nothing to object to, at the root and at a mount point."""

    def app(environ, start_response):
        environ["wsgi.input"].read(10)
        print("a line", file=environ["wsgi.errors"])
        return plain(environ, start_response)

    gateway = serve({point: validator(app)})
    with gateway.client() as client:
        for path in (f"{point}/", f"{point}/a%20b?x=1", point or "/"):
            body = b"a body" if method == "POST" else b""
            fields = [("Content-Type", "text/plain"), ("Cookie", "a=b")]
            response = client.ask(path, method, fields, body)
            assert (response.code, response.body) == (200, b"" if method == "HEAD" else b"ok")
    assert not gateway.failures


# -- bodies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bodies.ALL)
def test_a_body_of_any_shape_arrives_whole(serve, name):
    """Whatever kind of iterable or call made the body, the client gets all of it, on a live connection."""
    gateway = serve(bodies.ALL[name])
    with gateway.client() as client:
        for _ in range(2):
            response = client.ask()
            assert (response.code, response.body, response.complete) == (200, bodies.WHOLE, True)
    assert not gateway.failures


@pytest.mark.parametrize("name", bodies.ALL)
def test_a_body_for_head_is_left_out(serve, name):
    """HEAD gets the head only, so the next response on the connection is read right."""
    gateway = serve({"/a": bodies.ALL[name], "": plain})
    with gateway.client() as client:
        response = client.ask("/a", "HEAD")
        assert (response.code, response.body) == (200, b"")
        assert client.ask("/").body == b"ok"


@pytest.mark.parametrize("name", bodies.ALL)
def test_a_body_for_http_1_0_ends_with_the_connection_or_its_length(serve, name):
    """An HTTP/1.0 client never gets chunks."""
    gateway = serve(bodies.ALL[name])
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        response = client.response()
        assert response["Transfer-Encoding"] is None
        assert response.body == bodies.WHOLE
        assert client.at_end()


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_a_body_where_none_may_be_is_dropped(serve, status, make):
    """The body that an app gives with 204 or 304 does not spill into the next response."""

    def app(environ, start_response):
        start_response(status, [("Content-Type", "text/plain")])
        return make([b"a body", b" all the same"])

    gateway = serve({"/empty": app, "": plain})
    with gateway.client() as client:
        response = client.ask("/empty")
        assert (response.code, response.body) == (int(status[:3]), b"")
        assert response["Transfer-Encoding"] is None
        assert client.ask("/").body == b"ok"


def test_an_empty_body_is_sent_as_such(serve):
    """An app that returns nothing at all answers with Content-Length 0."""

    def app(environ, start_response):
        start_response("200 OK", [])
        return []

    with serve(app).client() as client:
        for _ in range(2):
            response = client.ask()
            assert (response["Content-Length"], response.body) == ("0", b"")


def test_each_piece_leaves_when_it_is_made(serve):
    """A client reads a piece of a stream before the app makes the next one."""
    gate = Pending()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"first"
        assert gateway.bridge.wait(gate, 60)
        yield b"last"

    gateway = serve(app)
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
        assert client.read_chunk() == b"first"
        gateway.loop.call(gate.end)
        assert [client.read_chunk(), client.read_chunk()] == [b"last", b""]


# -- start_response ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", protocol.REFUSED)
def test_what_cannot_be_a_head_is_refused(serve, name):
    """A broken status or field is that request's 500 with one traceback; nothing of it reaches the client."""
    gateway = serve({"/refused": protocol.REFUSED[name], "": plain})
    with gateway.client() as client:
        response = client.ask("/refused")
        assert (response.code, response["X-Injected"]) == (500, None)
        assert client.ask("/").body == b"ok"
    assert len(gateway.failures) == 1


@pytest.mark.parametrize(
    "name",
    [
        "starts_twice",
        "never_starts",
        "never_starts_nor_sends",
        "never_starts_generator",
        "writes_text",
        "returns_an_array",
        "yields_an_array",
        "returns_none",
    ],
)
def test_what_is_no_answer_gets_500(serve, name):
    """An app that breaks the protocol before its first byte gets the error page and one logged traceback."""
    gateway = serve({"/broken": getattr(protocol, name), "": plain})
    with gateway.client() as client:
        response = client.ask("/broken")
        assert (response.code, response["Content-Type"]) == (500, "text/html; charset=utf-8")
        assert client.ask("/").body == b"ok"
    assert len(gateway.failures) == 1


@pytest.mark.parametrize("name", ["changes_its_mind", "changes_its_mind_between_empty_pieces"])
def test_exc_info_replaces_the_head_while_it_is_not_sent(serve, name):
    """start_response with exc_info before the first byte changes status and fields."""
    gateway = serve(getattr(protocol, name))
    response = gateway.ask()
    assert (response.status, response.body, response["X-Old"]) == ("503 Busy", b"sorry", None)
    assert not gateway.failures


def test_exc_info_is_raised_once_the_head_is_sent(serve):
    """start_response with exc_info after the first byte raises it: the connection is cut, the log tells."""
    gateway = serve(protocol.changes_its_mind_too_late)
    response = gateway.ask()
    assert (response.code, response.complete) == (200, False)
    [failure] = gateway.failures
    assert "ValueError: found out too late" in failure


def test_a_head_is_fixed_when_start_response_returns(serve):
    """Changing the list of headers after start_response changes nothing."""
    assert serve(protocol.changes_headers_afterwards).ask()["X-Late"] is None


def test_hop_by_hop_fields_of_an_app_are_dropped(serve):
    """An app cannot change the framing: fields of the connection are the server's."""
    gateway = serve({"/hop": protocol.hop_by_hop, "": plain})
    with gateway.client() as client:
        response = client.ask("/hop")
        assert {name for name, _ in response.fields} == {"Content-Length", "Date", "Server"}
        assert response.body == b"ok"
        assert client.ask("/").body == b"ok"


def test_an_app_may_ask_for_the_connection_to_be_closed(serve):
    """``Connection: close`` of an app is done and said."""
    with serve(protocol.closing).client() as client:
        response = client.ask()
        assert (response["Connection"], response.body) == ("close", b"ok")
        assert client.at_end()


def test_repeated_fields_keep_their_order_and_their_bytes(serve):
    """Fields are sent as given: each on its own line, in order, latin-1 included."""
    response = serve(protocol.repeated_fields).ask()
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert response["X-One"] == "\xe9"


def test_date_and_server_of_an_app_are_kept(serve):
    """The server adds Date and Server only where the app gave none."""
    response = serve(protocol.own_date_and_server).ask()
    assert (response["Date"], response["Server"]) == ("Thu, 01 Jan 1970 00:00:00 GMT", "mine")


def test_text_of_a_subclass_is_text(serve):
    """Subclasses of str are as good as str."""
    assert serve(protocol.text_of_a_subclass).ask()["X-Name"] == "value"


class Text(str, enum.Enum):  # noqa: UP042 - a StrEnum is no trap
    """Text whose name is not its value."""

    STATUS = "203 Non-Authoritative"
    NAME = "X-Kind"
    KIND = "text/plain"


def test_a_member_of_a_text_enum_is_its_value(serve):
    """Status, name and value are what they equal, here and where a plain str says the same later."""

    def named(environ, start_response):
        start_response(
            Text.STATUS, [(Text.NAME, Text.KIND), ("Vary", Text.NAME), ("Content-Type", Text.KIND)]
        )
        return [b"x" * 5000]

    def plain(environ, start_response):
        start_response("203 Non-Authoritative", [("X-Kind", "text/plain"), ("Vary", "X-Kind")])
        return [b"x"]

    gateway = serve({"/named": named, "": plain})
    for path in ("/named", "/"):
        response = gateway.ask(path)
        assert (response.status, response["X-Kind"]) == ("203 Non-Authoritative", "text/plain")
        assert response["Vary"].startswith("X-Kind")


def test_fields_that_are_remembered_stay_as_they_are():
    """Whatever is done with those that were checked, the next response with the same fields has its own."""
    fields = [("X-Kind", "remembered"), ("Content-Length", "3")]
    for _ in range(3):
        announced, checked = check_headers(fields)
        assert (announced, checked) == (3, fields)
        checked.append(("X-More", "of this response"))


def test_fields_that_come_once_do_not_drive_out_those_that_come_again(monkeypatch):
    """Each response of one route begins a session: those of the others are still not checked again."""

    class Counting:
        """Counts the values that are checked; the expression is for those that are not plain ASCII."""

        def __init__(self):
            self.seen = []

        def fullmatch(self, value):
            self.seen.append(value)
            return FIELD_VALUE.fullmatch(value)

    values = Counting()
    monkeypatch.setattr("skitai.server.wsgi.checks.FIELD_VALUE", values)
    for turn in range(100):
        for route in range(20):
            assert check_headers([("X-Route", f"k\xf6nstant {route}")])[0] is None
            check_headers([("X-Route", "home"), ("Set-Cookie", f"session={turn}-{route}; Path=/")])
    assert len(values.seen) <= 4 * 20  # twice each, and again where what other tests left is forgotten


def test_heads_that_are_remembered_take_bounded_memory(serve):
    """What apps have sent is remembered by its size: large fields do not pile up."""

    def app(environ, start_response):
        start_response("200 OK", [("X-Large", environ["QUERY_STRING"] * 200_000)])
        return []

    with serve(app).client() as client:
        client.ask("/?warm")
        tracemalloc.start()
        try:
            for number in range(100, 200):
                assert len(client.ask(f"/?{number}")["X-Large"]) == 600_000
            assert tracemalloc.get_traced_memory()[0] < 20_000_000
        finally:
            tracemalloc.stop()


# -- exceptions --------------------------------------------------------------------------------------------

ERRORS = ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit", "GreenletExit"]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("when", ["called", "started", "first"])
def test_an_exception_before_the_first_byte_is_the_requests_500(serve, name, when):
    """Whatever an app raises, the client gets the error page, the log one traceback, and all goes on."""
    gateway = serve(raising.app)
    with gateway.client() as client:
        for _ in range(6):  # more than there are threads
            response = client.ask(f"/{name}?{when}")
            assert (response.code, response["Content-Type"]) == (500, "text/html; charset=utf-8")
        assert client.ask().body == b"still here"
    assert len(gateway.failures) == 6
    assert all("on purpose" in failure for failure in gateway.failures)


@pytest.mark.parametrize("name", ["ValueError", "KeyboardInterrupt"])
def test_a_watcher_that_raises_keeps_no_client_waiting(serve, name):
    """Whatever those raise who learn of an app's exception, the client gets the error page."""

    class Rash(AppWatcher):
        def failed(self, error, doing):
            raise type(error)("by a watcher")

    maker = serve({})
    watched = WSGIResource(lambda: raising.app, "", maker.executor, maker.table, buffer_max=1, watcher=Rash())
    gateway = serve({}, site=Site(Mounts([], [(b"", watched)])))
    with gateway.client() as client:
        assert client.ask(f"/{name}?called").code == 500
        assert client.ask().body == b"still here"


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("when", ["later", "written"])
def test_an_exception_after_the_first_byte_cuts_the_connection(serve, name, when):
    """A response that broke off looks like one: the client must not take it for whole."""
    gateway = serve(raising.app)
    response = gateway.ask(f"/{name}?{when}")
    assert (response.code, response.complete) == (200, False)
    eventually(lambda: gateway.failures, "a logged traceback")
    assert len(gateway.failures) == 1
    assert gateway.ask().body == b"still here"


@pytest.mark.parametrize("name", ERRORS)
def test_an_exception_in_close_comes_too_late_to_matter(serve, name):
    """What close() raises is logged; the response was whole, and the connection goes on."""
    gateway = serve(raising.app)
    with gateway.client() as client:
        response = client.ask(f"/{name}?close")
        assert (response.body, response.complete) == (b"first piece", True)
        assert client.ask().body == b"still here"
    eventually(lambda: gateway.failures, "a logged traceback")
    assert len(gateway.failures) == 1


@pytest.mark.parametrize("when", ["none", "first", "later", "close"])
def test_close_is_called_exactly_once(serve, when):
    """The body is closed once: after its end, and where iterating or closing it raised."""
    raising.closed.clear()
    gateway = serve(raising.app)
    gateway.ask(f"/ValueError?{when}")
    eventually(lambda: raising.closed)
    gateway.ask()
    assert raising.closed == [when]


def test_close_is_called_for_a_body_that_head_does_not_want(serve):
    """HEAD closes the body like GET does."""
    raising.closed.clear()
    serve(raising.app).ask("/ValueError?none", "HEAD")
    eventually(lambda: raising.closed)
    assert raising.closed == ["none"]


# -- wsgi.input and wsgi.errors ----------------------------------------------------------------------------

BODY = "line one\n\nline three, longer than the others\nno line break at the end"


@pytest.mark.parametrize("reader", echo.READERS)
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_the_body_can_be_read_in_any_way(serve, reader, chunked):
    """Every way to read wsgi.input gives all of the body, then nothing."""
    gateway = serve(echo.body)
    with gateway.client() as client:
        for _ in range(2):
            if chunked:
                client.send(
                    f"POST /?{reader} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
                )
                for piece in (BODY[:11], BODY[11:]):
                    client.send(b"%x\r\n%b\r\n" % (len(piece), piece.encode()))
                client.send(b"0\r\n\r\n")
                response = client.response()
            else:
                response = client.ask(f"/?{reader}", "POST", body=BODY.encode())
            answer = json.loads(response.body)
            assert answer["length"] == str(len(BODY))
            if reader == "mixed":
                assert answer["pieces"] == ["line one\n", "\nl", *BODY[11:].splitlines(keepends=True)]
            assert "".join(answer["pieces"]) == BODY


def test_a_body_that_is_not_read_does_not_disturb_the_next_request(serve):
    """The bytes of an unread body are not taken for a request."""
    with serve(echo.unread).client() as client:
        for size in (10, 2_000_000, 10):
            assert client.ask("/", "POST", body=b"GET /hidden HTTP/1.1\r\n\r\n" * (size // 24)).code == 200


def test_a_request_without_a_body_has_an_empty_one(serve):
    """GET has a wsgi.input that is at its end."""
    answer = json.loads(serve(echo.body).ask("/?beyond").body)
    assert answer == {"length": None, "pieces": ["", "", "", ""]}


def test_a_large_body_arrives_whole_and_closed_when_done(serve):
    """A body that is kept on disk reads like any other, and its file is closed after the request."""
    seen = []

    def app(environ, start_response):
        stream = environ["wsgi.input"]
        seen.append(stream)
        start_response("200 OK", [])
        return [str(sum(map(len, iter(lambda: stream.read(100_000), b"")))).encode()]

    gateway = serve(app)
    assert gateway.ask("/", "POST", body=b"x" * 3_000_000).body == b"3000000"
    eventually(lambda: seen[0].closed)


def test_wsgi_errors_is_standard_error(serve, capsys):
    """What an app writes to wsgi.errors is on standard error as it wrote it, an unfinished line too."""

    def app(environ, start_response):
        errors = environ["wsgi.errors"]
        errors.write("a line in ")
        errors.writelines(["two pieces\nand ", "another\n"])
        errors.write("unfinished")
        errors.flush()
        return plain(environ, start_response)

    serve(app).ask()
    assert capsys.readouterr().err == "a line in two pieces\nand another\nunfinished"


# -- apps that cannot be loaded ----------------------------------------------------------------------------


def test_an_app_that_cannot_be_loaded_answers_503_and_says_so_once(serve):
    """Its mount answers 503, the log has one traceback for one failure, other mounts serve."""
    maker = serve({})
    error = ImportError("no module named nonesuch")

    def load():
        raise error

    broken = WSGIResource(load, "/broken", maker.executor, maker.table, buffer_max=1)
    gateway = serve({}, site=Site(Mounts([], [(b"", maker.resource(plain)), (b"/broken", broken)])))
    assert [gateway.ask("/broken").code for _ in range(3)] == [503] * 3
    assert gateway.ask().code == 200
    assert len(gateway.failures) == 1
