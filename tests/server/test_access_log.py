"""One line for each answer."""

import io
import re
import time
from contextlib import suppress

import pytest
from twisted.logger import capturedLogs, formatEvent

from serving import eventually
from skitai.server.accesslines import FORMATS
from skitai.server.accesslog import AccessLog

LINE = re.compile(
    r"(\d{4}\.\d\d\.\d\d \d\d:\d\d:\d\d) \[info\] 127\.0\.0\.1:(\d+) "
    r"(\S+) (\S+) HTTP/(\S+) (\d+|-) (\d+) (\d+)ms (\d+)ms"
)


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def test_a_line_tells_what_was_asked_and_answered(serve):
    """Time, client, request, status, bytes sent with the head, and two durations."""
    gateway = serve(app)
    before = int(time.time())
    with gateway.client() as client:
        port = client.socket.getsockname()[1]
        client.ask("/p?q=1", "POST", body=b"body")
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        sent = client.read()
    first, second = map(LINE.fullmatch, gateway.access_lines(2))
    logged = time.mktime(time.strptime(first[1], "%Y.%m.%d %H:%M:%S"))
    assert before <= logged <= time.time()
    assert first.group(2, 3, 4, 5, 6) == (str(port), "POST", "/p?q=1", "1.1", "200")
    assert second.group(3, 4, 5, 6) == ("GET", "/", "1.0", "200")
    assert int(second[7]) == len(sent)


def test_refusals_and_error_pages_are_logged_too(serve):
    """Whatever status a client got has its line."""
    gateway = serve({"/app": app})
    gateway.ask("/nowhere")
    with gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        client.response()
    codes = [LINE.fullmatch(line)[6] for line in gateway.access_lines(2)]
    assert codes == ["404", "400"]


def test_a_client_that_leaves_before_the_end_has_a_line(serve):
    """A request whose client went away is logged once."""

    def endless(environ, start_response):
        start_response("200 OK", [])
        while True:
            yield b"x" * 10_000

    gateway = serve(endless)
    with gateway.client(receive_buffer=64 * 1024) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
    assert LINE.fullmatch(gateway.access_lines(1)[0])[6] == "200"
    eventually(lambda: not gateway.factory.channels)
    assert len(gateway.access_lines(1)) == 1


class Channel:
    """As much of a connection as the log looks at."""

    def __init__(self, address="10.0.0.7", port="40122"):
        self.addresses = {"REMOTE_ADDR": address, "REMOTE_PORT": port}


class Answered:
    """As much of a request as the log looks at."""

    def __init__(self, uri=b"/p", channel=None, **changes):
        self.connection = channel or Channel()
        self.method, self.uri, self.version = b"GET", uri, "1.1"
        self.status_code, self.bytes_sent = 200, 122
        self.arrived, self.answered, self.ended = 100.0, 100.05, 100.25
        vars(self).update(changes)


def line_of(request):
    stream = io.StringIO()
    log = AccessLog(stream, lambda flush: None, FORMATS["skitai"](lambda: 1_795_363_761.5))
    log(request)
    log.flush()
    return stream.getvalue()


def test_the_format_is_the_documented_one(monkeypatch):
    """The README's format, to the letter."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    try:
        expected = "2026.11.22 16:09:21 [info] 10.0.0.7:40122 GET /p HTTP/1.1 200 122 50ms 200ms\n"
        assert line_of(Answered()) == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (b"/a\r\n2026.11.22 16:09:21 [info] forged", r"/a\x0d\x0a2026.11.22\x2016:09:21\x20[info]\x20forged"),
        (b"/\x1b[2J\x00\x7f", r"/\x1b[2J\x00\x7f"),
        ("/caf\u00e9".encode(), r"/caf\xc3\xa9"),
        (b"/\\x0a", r"/\x5cx0a"),
        (b"/%0a?\"'[]~!", "/%0a?\"'[]~!"),
        (b"", "-"),
    ],
)
def test_no_byte_of_a_client_forges_a_line(uri, expected):
    """Line breaks, control characters, spaces and what is not ASCII are escaped, each in one way."""
    line = line_of(Answered(uri))
    assert line.split("GET ")[1] == f"{expected} HTTP/1.1 200 122 50ms 200ms\n"
    assert line.count("\n") == 1


def test_what_never_came_about_is_a_dash():
    """A request that got no answer has no status; its time counts as waiting."""
    line = line_of(Answered(method=b"", status_code=0, bytes_sent=0, answered=0.0))
    assert line.split("40122 ")[1] == "- /p HTTP/1.1 - 0 250ms 0ms\n"


@pytest.mark.parametrize(
    ("channel", "expected"),
    [(Channel("::1", "5"), "[::1]:5"), (Channel("", ""), "unix:-")],
)
def test_a_client_has_one_address_field(channel, expected):
    """IPv6 addresses are set off from the port; a Unix socket has neither."""
    assert line_of(Answered(channel=channel)).split()[3] == expected


def test_lines_that_wait_are_written_together():
    """The first line asks for a flush, for all that wait until then."""
    stream, due = io.StringIO(), []
    log = AccessLog(stream, due.append, FORMATS["skitai"](time.time))
    for _ in range(3):
        log(Answered())
    assert (stream.getvalue(), len(due)) == ("", 1)
    due.pop()()
    assert stream.getvalue().count("\n") == 3
    log(Answered())
    assert due == [log.flush]


def test_lines_that_cannot_be_written_are_named_in_the_log():
    """A full disk loses lines, and the server's log says how many; what comes later is written again."""
    stream, due = open("/dev/full", "w"), []
    log = AccessLog(stream, due.append, FORMATS["skitai"](time.time))
    with capturedLogs() as logged:
        log(Answered())
        due.pop()()
    assert formatEvent(logged[0]) == (
        "cannot write the access log ([Errno 28] No space left on device); lines lost: 1"
    )
    with suppress(OSError):
        stream.close()
    log(Answered())
    assert due == [log.flush]
