"""Apps that answer what they were given, as JSON."""

import json


def _answer(start_response, value):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [json.dumps(value).encode()]


def environ(environ, start_response):
    """Answer the environ; what is not a string by its repr()."""
    values = {key: value if isinstance(value, str) else repr(value) for key, value in environ.items()}
    return _answer(start_response, values)


def _every_other_way(stream):
    return [stream.readline(), stream.read(2), next(iter(stream), b""), b"".join(stream.readlines())]


#: Ways to read the body: each gives a list of pieces.
READERS = {
    "read": lambda stream: [stream.read()],
    "read-minus": lambda stream: [stream.read(-1)],
    "read-n": lambda stream: list(iter(lambda: stream.read(7), b"")),
    "read-0": lambda stream: [stream.read(0), stream.read()],
    "read-more": lambda stream: [stream.read(1 << 20)],
    "readline": lambda stream: list(iter(stream.readline, b"")),
    "readline-n": lambda stream: list(iter(lambda: stream.readline(4), b"")),
    "iterate": list,
    "readlines": lambda stream: stream.readlines(),
    "readlines-hint": lambda stream: sum(iter(lambda: stream.readlines(5), []), []),
    "mixed": _every_other_way,
    "beyond": lambda stream: [stream.read(), stream.read(), stream.read(5), stream.readline()],
}


def body(environ, start_response):
    """Answer CONTENT_LENGTH and the pieces of the body, read in the way that the query names."""
    pieces = READERS[environ["QUERY_STRING"]](environ["wsgi.input"])
    length = environ.get("CONTENT_LENGTH")
    return _answer(start_response, {"length": length, "pieces": [piece.decode() for piece in pieces]})


def unread(environ, start_response):
    """Answer without looking at the body."""
    return _answer(start_response, "unread")
