"""Apps that use start_response in odd and in forbidden ways."""

import array
import sys

PLAIN = [("Content-Type", "text/plain")]


def starts_twice(environ, start_response):
    start_response("200 OK", PLAIN)
    start_response("200 OK", PLAIN)
    return [b"never"]


def never_starts(environ, start_response):
    return [b"never"]


def never_starts_nor_sends(environ, start_response):
    return []


def never_starts_generator(environ, start_response):
    yield b"never"


def writes_text(environ, start_response):
    start_response("200 OK", PLAIN)
    return [1, 2]


def returns_an_array(environ, start_response):
    start_response("200 OK", PLAIN)
    return [b"one", array.array("i", [1, 2])]


def yields_an_array(environ, start_response):
    start_response("200 OK", PLAIN)
    yield array.array("i", [1, 2])


def returns_none(environ, start_response):
    start_response("200 OK", PLAIN)


def changes_its_mind(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/html"), ("X-Old", "1")])
    try:
        raise ValueError("found out in time")
    except ValueError:
        start_response("503 Busy", [("Content-Type", "text/plain"), ("X-New", "1")], sys.exc_info())
    return [b"sorry"]


def changes_its_mind_between_empty_pieces(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b""
    try:
        raise ValueError("found out in time")
    except ValueError:
        start_response("503 Busy", PLAIN, sys.exc_info())
    yield b"sorry"


def changes_its_mind_too_late(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"half of it"
    try:
        raise ValueError("found out too late")
    except ValueError:
        start_response("503 Busy", PLAIN, sys.exc_info())
    yield b"never"


def changes_headers_afterwards(environ, start_response):
    headers = [("Content-Type", "text/plain")]
    start_response("200 OK", headers)
    headers.append(("X-Late", "1"))
    return [b"ok"]


def hop_by_hop(environ, start_response):
    names = ("Connection", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade")
    start_response("200 OK", [(name, "chunked") for name in names])
    return [b"ok"]


def closing(environ, start_response):
    start_response("200 OK", [("Connection", "close")])
    return [b"ok"]


def repeated_fields(environ, start_response):
    start_response("200 OK", [("Set-Cookie", "a=1"), ("X-One", "\xe9"), ("Set-Cookie", "b=2")])
    return [b"ok"]


def own_date_and_server(environ, start_response):
    start_response("200 OK", [("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), ("Server", "mine")])
    return [b"ok"]


class TextWithManners(str):
    """Templating libraries mark text as safe with a subclass of str."""


def text_of_a_subclass(environ, start_response):
    start_response(TextWithManners("200 OK"), [(TextWithManners("X-Name"), TextWithManners("value"))])
    return [b"ok"]


def _starting_with(status, headers):
    def app(environ, start_response):
        start_response(status, headers)
        return [b"never"]

    return app


#: Each must be refused: name -> app.
REFUSED = {
    "status with a line break": _starting_with("200 OK\r\nX-Injected: 1", []),
    "status without a reason": _starting_with("200", []),
    "status of four digits": _starting_with("2000 OK", []),
    "status 101": _starting_with("101 Switching Protocols", []),
    "status as a number": _starting_with(200, []),
    "status as bytes": _starting_with(b"200 OK", []),
    "status beyond latin-1": _starting_with("200 \u20ac", []),
    "value with CRLF": _starting_with("200 OK", [("X-A", "a\r\nX-Injected: 1")]),
    "value with LF": _starting_with("200 OK", [("X-A", "a\nX-Injected: 1")]),
    "value with CR": _starting_with("200 OK", [("X-A", "a\rX-Injected: 1")]),
    "value with NUL": _starting_with("200 OK", [("X-A", "a\0b")]),
    "value with another control character": _starting_with("200 OK", [("X-A", "a\x1bb")]),
    "value beyond latin-1": _starting_with("200 OK", [("X-A", "\u20ac")]),
    "value as a number": _starting_with("200 OK", [("Content-Length", 5)]),
    "value as bytes": _starting_with("200 OK", [("X-A", b"a")]),
    "value None": _starting_with("200 OK", [("X-A", None)]),
    "name with CRLF": _starting_with("200 OK", [("X-A: a\r\nX-Injected", "1")]),
    "name with a space": _starting_with("200 OK", [("X A", "1")]),
    "name with a colon": _starting_with("200 OK", [("X-A:", "1")]),
    "empty name": _starting_with("200 OK", [("", "1")]),
    "name as bytes": _starting_with("200 OK", [(b"X-A", "1")]),
    "field as a list": _starting_with("200 OK", [["X-A", "1"]]),
    "field of three": _starting_with("200 OK", [("X-A", "1", "2")]),
    "headers as a tuple": _starting_with("200 OK", (("X-A", "1"),)),
    "headers as a dict": _starting_with("200 OK", {"X-A": "1"}),
    "headers None": _starting_with("200 OK", None),
    "length that is no number": _starting_with("200 OK", [("Content-Length", "five")]),
    "negative length": _starting_with("200 OK", [("Content-Length", "-5")]),
    "length with a sign": _starting_with("200 OK", [("Content-Length", "+5")]),
}
