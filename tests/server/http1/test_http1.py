"""Requests and answers of the HTTP/1.1 channel: order, framing, expectations, limits."""

import io

import pytest
from http_channel import TEXT, Later, echo
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from zope.interface.verify import verifyObject

from skitai.interfaces import IConnection

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n"


def numbered(count):
    return b"".join(GET % b"/%d" % number for number in range(count))


def answer_with(status="200 OK", headers=TEXT, body=b"hello"):
    return lambda request: request.respond(status, headers, body)


# -- keep-alive and pipelining ------------------------------------------------------------------------------


def test_keeps_alive(memory_server):
    """One connection carries one request after another."""
    client = memory_server().connect()
    client.send(GET % b"/1")
    client.send(GET % b"/2")
    assert [answer.body for answer in client.answers()] == [b"GET /1", b"GET /2"]
    assert not client.closed


def test_close_on_request(memory_server):
    """A client that says "Connection: close" is told the same, and the connection is closed."""
    client = memory_server().connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert client.answers()[0].fields["connection"] == "close"
    assert client.closed


@pytest.mark.parametrize("connection", [b"Keep-Alive", b"keep-alive"])
def test_http_1_0_keep_alive(memory_server, connection):
    """An HTTP/1.0 client that asks for it keeps its connection and is told so; no answer is chunked."""
    client = memory_server().connect()
    client.send(b"GET / HTTP/1.0\r\nConnection: %b\r\n\r\n" % connection)
    answer = client.answers()[0]
    assert (answer.fields["connection"], answer.fields["content-length"]) == ("keep-alive", "5")
    assert not client.closed


def test_http_1_0_without_length(memory_server):
    """An answer of unknown length to HTTP/1.0 ends with the connection, even if it was to be kept alive."""

    def stream(request):
        request.start("200 OK", TEXT)
        request.send(b"hel")
        request.send(b"lo")
        request.end()

    client = memory_server(stream).connect()
    client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    answer = client.answers()[0]
    assert answer.body == b"hello"
    assert "transfer-encoding" not in answer.fields
    assert answer.fields["connection"] == "close"
    assert client.closed


def test_order_behind_a_slow_request(memory_server):
    """Pipelined requests reach the app one at a time, so none overtakes a slow one (CVE-2023-46137)."""
    app = Later()
    client = memory_server(app).connect()
    client.send(numbered(3))
    for number in range(3):
        assert [request.uri for request in app.waiting] == [b"/%d" % number]
        assert len(client.answers()) == number
        app.answer()
    assert [answer.body for answer in client.answers()] == [b"/0", b"/1", b"/2"]


def test_order_of_separate_reads(memory_server):
    """A request that is read while another is answered waits for its turn."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0")
    client.send(GET % b"/1")
    assert [request.uri for request in app.waiting] == [b"/0"]
    app.answer()
    app.answer()
    assert [answer.body for answer in client.answers()] == [b"/0", b"/1"]


def test_hundreds_at_once(memory_server):
    """As many requests as one read can hold are answered in order, without recursion."""
    client = memory_server().connect()
    client.send(numbered(1500))
    assert [answer.body for answer in client.answers()] == [b"GET /%d" % number for number in range(1500)]


def test_hundreds_at_once_behind_a_slow_one(memory_server):
    """The answers of many requests that waited for one come without recursion, too."""
    slow = Later()
    client = memory_server(lambda request: (slow if request.uri == b"/0" else echo)(request)).connect()
    client.send(numbered(1500))
    assert client.answers() == []
    slow.answer()
    assert client.codes == [200] * 1500


def test_hundreds_of_upgrades(memory_server):
    """Requests that ask for another protocol are answered in HTTP/1.1, however many come at once."""
    client = memory_server().connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n" * 1000)
    assert client.codes == [200] * 1000


def test_reading_stops_while_requests_wait(memory_server):
    """A client cannot make the server hold more than one read's worth of requests."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0")
    assert not client.transport.reading_paused
    client.send(GET % b"/1")
    assert client.transport.reading_paused
    client.send(GET % b"/2")
    for _ in range(3):
        app.answer()
        client.server.clock.advance(0)
    assert [answer.body for answer in client.answers()] == [b"/0", b"/1", b"/2"]
    assert not client.transport.reading_paused


def test_refusal_waits_its_turn(memory_server):
    """A refusal comes after the answers to the requests before it, and then the connection is closed."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0" + GET % b"/1" + b"non(sense")
    assert client.received == b""
    app.answer()
    assert (client.codes, client.closed) == ([200], False)
    app.answer()
    assert (client.codes, client.closed) == ([200, 200, 501], True)


def test_nothing_after_an_answer_that_closes(memory_server):
    """Requests behind one whose answer says "Connection: close" do not reach the app."""
    server = memory_server(answer_with(headers=[("Connection", "close")]))
    client = server.connect()
    client.send(numbered(3))
    assert client.codes == [200]
    assert len(server.requests) == 1
    assert client.closed


# -- what reaches the app -----------------------------------------------------------------------------------


def test_fields(memory_server):
    """Fields reach the app in order, names in lower case, values without the blanks around them."""
    server = memory_server()
    server.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nX-B:  1 \r\nx-a:\t2\t\r\nX-B:3\r\n\r\n")
    assert server.requests[0].headers == [(b"host", b"a"), (b"x-b", b"1"), (b"x-a", b"2"), (b"x-b", b"3")]
    assert server.requests[0].field(b"x-b") == b"1, 3"


def test_underscores(memory_server):
    """A field whose name has an underscore reaches nobody: an app would take it for the one with a hyphen."""
    server = memory_server()
    server.connect().send(b"GET / HTTP/1.1\r\nHost: a\r\nX_User: root\r\n_: x\r\n\r\n")
    assert server.requests[0].headers == [(b"host", b"a")]


def test_trailers(memory_server):
    """Trailers are read and dropped: they must not pass for fields of the head."""
    server = memory_server()
    client = server.connect()
    client.send(POST % b"Transfer-Encoding: chunked" + b"1\r\nx\r\n0\r\nX-User: root\r\nHost: b\r\n\r\n")
    assert client.codes == [200]
    assert server.requests[0].headers == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        (b"http://b:81/p?q", b"b:81", b"/p", b"q"),
        (b"HTTP://b", b"b", b"/", b""),
        (b"https://b?q", b"b", b"/", b"q"),
        (b"/p?q?r", b"a", b"/p", b"q?r"),
        (b"//b/p", b"a", b"//b/p", b""),
    ],
)
def test_targets(memory_server, target, authority, path, query):
    """The authority of an absolute target replaces the Host field (RFC 9112, section 3.2.2)."""
    server = memory_server()
    server.connect().send(GET % target)
    request = server.requests[0]
    assert (request.uri, request.authority, request.path, request.query) == (target, authority, path, query)


def test_body_in_many_small_chunks(memory_server):
    """A body of very many tiny chunks arrives whole."""
    client = memory_server().connect()
    client.send(POST % b"Transfer-Encoding: chunked" + b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n" + GET % b"/next")
    assert [answer.body for answer in client.answers()] == [b"POST /p " + b"x" * 30_000, b"GET /next"]


def test_large_body(memory_server):
    """A body that does not fit into memory's share goes through a temporary file, unharmed."""
    body = bytes(range(256)) * 4096
    client = memory_server().connect()
    client.send(POST % (b"Content-Length: %d" % len(body)) + body)
    assert client.answers()[0].body == b"POST /p " + body


def test_disk_full_at_the_last_bytes(memory_server, monkeypatch, tmp_path):
    """Bytes that the file held back are found to have no room before the request is answered."""

    class SmallDisk(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 999_999:
                raise OSError(28, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(
        "skitai.server.request.body.tempfile.TemporaryFile",
        lambda **_: io.BufferedRandom(SmallDisk(tmp_path / "spool", "w+b"), 4096),
    )
    client = memory_server().connect()
    client.send(POST % b"Content-Length: 1000000" + b"x" * 600_000)
    for _ in range(400):
        client.send(b"x" * 1000)
    assert client.codes == [503]
    assert client.closed


def test_disk_full(memory_server, monkeypatch, log_text):
    """A body for which there is no room is answered 503; the log says who sent it, why, and what mends it."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skitai.server.request.body.tempfile.TemporaryFile", full)
    client = memory_server().connect()
    client.send(POST % b"Content-Length: 1000000" + b"x" * 1_000_000)
    assert client.codes == [503]
    assert client.closed
    assert "POST /p was refused with 503: its body cannot be kept: No space left on device in " in log_text()
    assert "TMPDIR" in log_text()


# -- expectations -------------------------------------------------------------------------------------------

EXPECTING = POST % b"Content-Length: 5\r\nExpect: 100-continue"


def test_continue_before_the_body(memory_server):
    """A client that waits for "100 Continue" gets it when its head is there, and once only."""
    client = memory_server().connect()
    client.send(EXPECTING)
    assert client.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"he")
    client.send(b"llo")
    assert client.codes == [100, 200]


def test_continue_behind_a_slow_request(memory_server):
    """The "100 Continue" of a pipelined request comes after the answer to the one before it."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0" + EXPECTING)
    assert client.received == b""
    app.answer()
    assert client.codes == [200, 100]
    client.send(b"hello")
    app.answer()
    assert client.codes == [200, 100, 200]


def test_no_continue_once_the_body_came(memory_server):
    """A client that did not wait for its turn needs no "100 Continue" any more."""
    app = Later()
    client = memory_server(app).connect()
    client.send(GET % b"/0" + EXPECTING + b"hel")
    app.answer()
    client.send(b"lo")
    app.answer()
    assert client.codes == [200, 200]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (b"Content-Length: 6000000\r\nExpect: 100-continue", 413),
        (b"Content-Length: 5\r\nExpect: 200-ok", 417),
        (b"Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue", 417),
    ],
)
def test_no_continue_for_what_is_refused(memory_server, fields, code):
    """A request that is refused is refused at once, without "100 Continue"."""
    client = memory_server().connect()
    client.send(POST % fields)
    assert (client.codes, client.closed) == ([code], True)


# -- limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 1001])
@pytest.mark.parametrize("chunked", [False, True])
def test_body_max(memory_server, size, chunked):
    """A body of just the limit is taken, a longer one refused."""
    server = memory_server(body_max=1000)
    client = server.connect()
    if chunked:
        client.send(POST % b"Transfer-Encoding: chunked" + b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size))
    else:
        client.send(POST % (b"Content-Length: %d" % size) + b"x" * size)
    assert client.codes == [200 if size == 1000 else 413]
    assert len(server.requests) == (size == 1000)


def test_multipart_max(memory_server):
    """A multipart body has a limit of its own."""
    client = memory_server(body_max=10, multipart_max=20).connect()
    client.send(POST % b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 20" + b"x" * 20)
    client.send(POST % b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 21")
    assert client.codes == [200, 413]


@pytest.mark.parametrize(("length", "codes"), [(100, [200]), (101, [414])])
def test_uri_max(memory_server, length, codes):
    """A target of just the limit is taken, a longer one refused."""
    client = memory_server(uri_max=100).connect()
    client.send(GET % (b"/" + b"a" * (length - 1)))
    assert client.codes == codes


@pytest.mark.parametrize(("length", "codes"), [(0, [200]), (1, [431])])
def test_header_max(memory_server, length, codes):
    """A head of just the limit is taken, a longer one refused."""
    client = memory_server(header_max=1000).connect()
    head_size = len(b"/" + b"Host: a\r\n" + b"X: \r\n")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * (1000 - head_size + length)))
    assert client.codes == codes


def test_limits_hold_for_each_message(memory_server):
    """What was read for one request does not count against the next."""
    client = memory_server(header_max=1000).connect()
    request = (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\nX: " + b"a" * 800 + b"\r\n\r\n" + b"b" * 900
    )
    client.send(request * 5, piece=700)
    assert client.codes == [200] * 5


# -- the rest ----------------------------------------------------------------------


def test_failing_observer(memory_server, log):
    """An observer that fails, such as a log on a full disk, is logged; the connection goes on."""
    server = memory_server()

    def fail(_):
        raise OSError("No space left on device")

    server.factory.observers = (fail, server.observed.append)
    client = server.connect()
    client.send(numbered(2))
    assert client.codes == [200, 200]
    assert server.observed == server.requests
    assert [event["log_failure"].type for event in log] == [OSError, OSError]


def test_interfaces(memory_server):
    """A channel has all that its transport and a request ask of it."""
    channel = memory_server().connect().channel
    for interface in (IProtocol, IHalfCloseableProtocol, IConnection):
        assert verifyObject(interface, channel)


def test_channels_are_small(memory_server):
    """Ten thousand idle connections are cheap only as long as a channel has no __dict__."""
    assert not hasattr(memory_server().connect().channel, "__dict__")
