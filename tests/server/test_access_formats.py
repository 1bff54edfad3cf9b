"""The access log in the formats of others, and the ids of requests."""

import io
import json
import re
import time

import pytest

from skitai.http.requestids import is_sane, new_request_id
from skitai.server.accesslines import FORMATS, with_id
from skitai.server.accesslog import AccessLog, ConsoleAccessLog
from skitai.server.request.request import Request
from skitai.server.site import Place

MOMENT = 1_795_363_761.5


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Connection:
    def __init__(self, host="10.0.0.7", port="40122"):
        self.addresses = {"REMOTE_ADDR": host, "REMOTE_PORT": port}


def answered(uri=b"/p?q=1", *fields, **changes):
    """Return a request whose response was sent."""
    request = Request(changes.pop("connection", Connection()), b"GET", uri, "1.1", list(fields))
    request.authority = b"site.example"
    request.status_code, request.bytes_sent, request.head_bytes = 200, 122, 108
    request.arrived, request.answered, request.ended = 100.0, 100.05, 100.25
    request.request_id = "abc-1"
    vars(request).update(changes)
    return request


def line(form, request):
    return FORMATS[form](lambda: MOMENT)(request)


def skitai_line(request):
    return line("skitai", request)


BROWSER = ((b"referer", b"http://a.example/?x=1"), (b"user-agent", b"Mozilla/5.0 (X11)"))


class TestCombined:
    """access_format = combined."""

    def test_line(self):
        """The line is that of Apache and nginx; the bytes are those of the body."""
        assert line("combined", answered(b"/p?q=1", *BROWSER)) == (
            '10.0.0.7 - - [22/Nov/2026:16:09:21 +0000] "GET /p?q=1 HTTP/1.1" 200 14 '
            '"http://a.example/?x=1" "Mozilla/5.0 (X11)"'
        )

    def test_what_is_not_there(self):
        """A dash stands for each field that is not there."""
        request = answered(b"", method=b"", status_code=0, bytes_sent=0, connection=Connection("", ""))
        assert line("combined", request) == '- - - [22/Nov/2026:16:09:21 +0000] "-" - 0 "-" "-"'

    def test_zone(self, monkeypatch):
        """The difference to UTC is that of the place."""
        monkeypatch.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        assert "[22/Nov/2026:21:39:21 +0530]" in line("combined", answered())
        monkeypatch.setenv("TZ", "America/St_Johns")
        time.tzset()
        assert "[22/Nov/2026:12:39:21 -0330]" in line("combined", answered())

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (b'a" 200 1 "-" "x', r"a\x22 200 1 \x22-\x22 \x22x"),
            (b"a\\", r"a\x5C"),
            (b"\r\n\t\x00\x1b[2J\x7f", r"\x0D\x0A\x09\x00\x1B[2J\x7F"),
            ("caf\u00e9\u2028".encode(), r"caf\xC3\xA9\xE2\x80\xA8"),
        ],
    )
    @pytest.mark.parametrize("field", [b"referer", b"user-agent"])
    def test_no_client_leaves_its_quotes(self, field, text, expected):
        """Quotes, backslashes and control characters are escaped as in nginx."""
        written = line("combined", answered(b"/", (field, text)))
        assert f'"{expected}"' in written
        assert written.count('"') == 6

    def test_target(self):
        """The target cannot leave its quotes either."""
        written = line("combined", answered(b'/"\r\n'))
        assert '"GET /\\x22\\x0D\\x0A HTTP/1.1"' in written


class TestJSON:
    """access_format = json."""

    def test_line(self):
        """One object with all that is known, its time as RFC 3339 has it."""
        request = answered(b"/p?q=1", *BROWSER, place=Place("@", "/shop"))
        assert json.loads(line("json", request)) == {
            "time": "2026-11-22T16:09:21.500+00:00",
            "client": "10.0.0.7",
            "method": "GET",
            "target": "/p?q=1",
            "protocol": "HTTP/1.1",
            "status": 200,
            "bytes": 122,
            "milliseconds": 250.0,
            "referrer": "http://a.example/?x=1",
            "user_agent": "Mozilla/5.0 (X11)",
            "host": "site.example",
            "request_id": "abc-1",
            "mount": "/shop",
        }

    def test_what_is_not_there(self):
        """What is not known is null; a request without an id gets one."""
        request = answered(
            b"",
            method=b"",
            status_code=0,
            arrived=0.0,
            authority=b"",
            request_id="",
            connection=Connection("", ""),
        )
        found = json.loads(line("json", request))
        nulls = ("client", "method", "target", "status", "referrer", "user_agent", "host", "mount")
        assert [found[key] for key in nulls] == [None] * len(nulls)
        assert is_sane(found["request_id"])

    def test_no_client_forges_a_line(self):
        """Whatever bytes come, the line is printable ASCII, and says what came."""
        text = bytes(range(256))
        written = line("json", answered(b'/\r\n\x7f"\\', (b"user-agent", text), authority=b"\x1b"))
        assert re.fullmatch(r"[ -~]+", written)
        found = json.loads(written)
        assert (found["target"], found["host"]) == ('/\r\n\x7f"\\', "\x1b")

    def test_zone(self, monkeypatch):
        """The offset has a colon, and the milliseconds are cut off, not rounded up."""
        monkeypatch.setenv("TZ", "America/St_Johns")
        time.tzset()
        written = FORMATS["json"](lambda: MOMENT + 0.4999)(answered())
        assert json.loads(written)["time"] == "2026-11-22T12:39:21.999-03:30"


@pytest.mark.parametrize("form", ["skitai", "combined"])
def test_ids_at_the_end(form):
    """access_id = yes: the line is as without it, and the id."""
    request = answered()
    plain = FORMATS[form](lambda: MOMENT)
    assert with_id(plain)(request) == f"{plain(request)} abc-1"


class Terminal(io.StringIO):
    """A stream that counts its pieces."""

    def __init__(self, is_terminal):
        super().__init__()
        self._is_terminal = is_terminal
        self.pieces = []

    def isatty(self):
        return self._is_terminal

    def write(self, text):
        self.pieces.append(text)
        return super().write(text)


@pytest.mark.parametrize("form", list(FORMATS))
def test_colours(form, monkeypatch):
    """On a terminal, lines of failed requests are in colours, if nobody has said NO_COLOR."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    log = ConsoleAccessLog(Terminal(True), lambda _: None, FORMATS[form](lambda: MOMENT))

    def lines():
        log._stream.truncate(0)
        log._stream.seek(0)
        for status in (200, 404, 500):
            log(answered(status_code=status))
        log.flush()
        return log._stream.getvalue().splitlines()

    good, missing, failed = lines()
    assert "\x1b" not in good
    assert missing.startswith("\x1b[33m")
    assert failed.startswith("\x1b[31m")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "".join(lines())


def test_no_colours_elsewhere():
    """What is no terminal gets plain lines."""
    stream = Terminal(False)
    log = ConsoleAccessLog(stream, lambda _: None, skitai_line)
    log(answered(status_code=500))
    log.flush()
    assert "\x1b" not in stream.getvalue()


def test_pieces_for_a_pipe():
    """What goes to a standard stream is written in pieces that a pipe keeps together, each of whole lines."""
    stream = Terminal(False)
    log = ConsoleAccessLog(stream, lambda _: None, skitai_line)
    for _ in range(1000):
        log(answered(b"/" + b"x" * 90))
    log(answered(b"/" + b"x" * 8000))
    log.flush()
    assert all(
        piece.endswith("\n") and (len(piece) <= 4096 or piece.count("\n") == 1) for piece in stream.pieces
    )
    assert stream.getvalue().count("\n") == 1001
    assert len(stream.pieces) < 60


def test_a_file_gets_all_at_once():
    """A file takes all lines in one write, so that those of other workers do not come between."""
    stream = Terminal(False)
    log = AccessLog(stream, lambda _: None, skitai_line)
    for _ in range(1000):
        log(answered())
    log.flush()
    assert len(stream.pieces) == 1


# -- ids -------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_not_guessable():
    """An id has a prefix of the process and a number."""
    one, other = new_request_id(), new_request_id()
    assert one != other
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", one)
    assert one.partition("-")[0] == other.partition("-")[0]
    assert is_sane(one)


@pytest.mark.parametrize(
    ("text", "sane"),
    [
        ("7b0f3c7e-0d3c-4a0b-9d5e-0a1b2c3d4e5f", True),
        ("Root=1-67891233-abcdef", True),
        ("a" * 128, True),
        ("a" * 129, False),
        ("", False),
        ("a b", False),
        ("a, b", False),
        ('a"b', False),
        ("a\\b", False),
        ("a\n", False),
        ("\u00e9", False),
    ],
)
def test_what_a_client_may_send(text, sane):
    """An id of others is short, printable and without what quotes or separates."""
    assert is_sane(text) is sane


def test_the_id_of_a_request():
    """A sane one is taken; otherwise one is made, once."""
    given = answered(b"/", (b"x-request-id", b"mine-1"), request_id="")
    assert given.identified() == "mine-1"
    for value in (b"a b", b"\xff", b"x" * 500):
        made = answered(b"/", (b"x-request-id", value), request_id="")
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", made.identified())
        assert made.identified() == made.identified()
