"""Malformed and odd requests as literal bytes, and what must become of each.

Whoever mends a defect of the HTTP/1.1 server adds its bytes here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """What a client sends, and what comes of it.

    ``codes`` are the statuses of all responses, ``reached`` the requests that the app saw, as "METHOD target
    body", ``closes`` whether the server then closes the connection.
    """

    name: str
    sent: bytes
    codes: tuple[int, ...]
    reached: tuple[str, ...] = ()
    closes: bool = False


def served(name, sent, *reached, closes=False):
    """A request that is odd but right."""
    return Case(name, sent, (200,) * len(reached), reached, closes)


def refused(code, name, sent, *reached):
    """A request that is refused, after those that ``reached`` the app; nothing after it may reach the app."""
    return Case(name, sent, (*(200 for _ in reached), code), reached, True)


def get(fields, line=b"GET / HTTP/1.1"):
    """A request whose header is ``fields`` and a Host."""
    return line + b"\r\nHost: a\r\n" + fields + b"\r\n\r\n"


def post(fields, body=b""):
    """A POST whose header is ``fields`` and a Host."""
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n" + body


def chunked(body):
    """A POST with that chunked body."""
    return post(b"Transfer-Encoding: chunked", body)


#: A request that must not run when it is hidden in another.
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

REQUEST_LINES = [
    served("a plain request", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
    served("line ends before a request", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
    served("line ends between requests", NEXT + b"\r\n" + NEXT, "GET /next", "GET /next"),
    served("backslash and quotes in a target", get(b"A: b", b'GET /\\"<> HTTP/1.1'), 'GET /\\"<>'),
    served("two slashes", get(b"A: b", b"GET //a//b HTTP/1.1"), "GET //a//b"),
    served("a method of WebDAV", get(b"A: b", b"PROPFIND /a HTTP/1.1"), "PROPFIND /a"),
    served("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n", "GET /", closes=True),
    served(
        "HTTP/1.0 keep-alive",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + NEXT,
        "GET /",
        "GET /next",
    ),
    served("nothing after close", get(b"Connection: close") + HIDDEN, "GET /", closes=True),
    served("nothing after HTTP/1.0", b"GET / HTTP/1.0\r\n\r\n" + HIDDEN, "GET /", closes=True),
    refused(505, "HTTP/0.9", b"GET /\r\n\r\n"),
    refused(505, "HTTP/0.9 by name", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(505, "HTTP/2.0 by name", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(400, "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
    refused(400, "HTTP/1.2", get(b"A: b", b"GET / HTTP/1.2") + HIDDEN),
    refused(400, "HTTP/1.10", get(b"A: b", b"GET / HTTP/1.10")),
    refused(400, "lower-case protocol", get(b"A: b", b"GET / http/1.1")),
    refused(400, "another protocol", get(b"A: b", b"GET / XTTP/1.1")),
    refused(400, "space after the version", get(b"A: b", b"GET / HTTP/1.1 ")),
    refused(400, "bare CR after the version", b"GET / HTTP/1.1\rHost: a\r\n\r\n"),
    refused(400, "bare LF as line end", b"GET / HTTP/1.1\nHost: a\n\n"),
    served("unknown method", get(b"A: b", b"BREW / HTTP/1.1") + NEXT, "BREW /", "GET /next"),
    served("lower-case method", get(b"A: b", b"get / HTTP/1.1"), "get /"),
    served(
        "unknown method with a body", get(b"Content-Length: 5", b"BREW / HTTP/1.1") + b"hello", "BREW / hello"
    ),
    served("empty lines before an unknown method", b"\r\n\r\n" + get(b"A: b", b"BREW / HTTP/1.1"), "BREW /"),
    served("a method of a method and more", get(b"A: b", b"GETTER / HTTP/1.1"), "GETTER /"),
    refused(501, "a method that is too long", get(b"A: b", b"X" * 65 + b" / HTTP/1.1") + HIDDEN),
    refused(400, "unknown method, wrong target", get(b"A: b", b"BREW x HTTP/1.1") + HIDDEN),
    refused(505, "unknown method, no version", b"BREW /\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(400, "unknown method, no host", b"BREW / HTTP/1.1\r\n\r\n" + HIDDEN),
    refused(501, "a method that is no token", get(b"A: b", b"B(REW / HTTP/1.1") + HIDDEN),
    refused(501, "TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    refused(501, "a tab after the method", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    refused(400, "CONNECT without a port", b"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(400, "CONNECT to nobody", b"CONNECT :443 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(400, "CONNECT with userinfo", b"CONNECT u@a:443 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN),
    refused(
        400,
        "CONNECT with a body",
        b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + HIDDEN,
    ),
    refused(405, "CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n" + HIDDEN),
    refused(400, "CONNECT with a path", b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN),
]

TARGETS = [
    served("absolute target", get(b"A: b", b"GET http://b/p?q HTTP/1.1"), "GET http://b/p?q"),
    served("absolute target without a path", get(b"A: b", b"GET http://b HTTP/1.1"), "GET http://b"),
    served("OPTIONS *", get(b"A: b", b"OPTIONS * HTTP/1.1"), "OPTIONS *"),
    refused(400, "userinfo in the target", get(b"A: b", b"GET http://u:p@b/ HTTP/1.1")),
    refused(400, "absolute target without a host", get(b"A: b", b"GET http:///p HTTP/1.1")),
    refused(400, "absolute target with only a port", get(b"A: b", b"GET http://:80/p HTTP/1.1")),
    refused(400, "absolute target of another scheme", get(b"A: b", b"GET ftp://b/p HTTP/1.1")),
    refused(400, "absolute target and two Hosts", get(b"Host: c", b"GET http://b/ HTTP/1.1")),
    refused(400, "absolute target and no Host", b"GET http://b/ HTTP/1.1\r\n\r\n"),
    refused(400, "absolute target and a wrong Host", b"GET http://b/ HTTP/1.1\r\nHost: b/c\r\n\r\n"),
    refused(400, "GET *", get(b"A: b", b"GET * HTTP/1.1")),
    refused(400, "authority as a target", get(b"A: b", b"GET a:80 HTTP/1.1")),
    refused(400, "fragment in the target", get(b"A: b", b"GET /p#f HTTP/1.1")),
    refused(400, "relative target", get(b"A: b", b"GET p HTTP/1.1")),
    refused(400, "space in the target", get(b"A: b", b"GET /p q HTTP/1.1")),
    refused(400, "NUL in the target", get(b"A: b", b"GET /\x00 HTTP/1.1")),
    refused(400, "byte above 127 in the target", get(b"A: b", b"GET /\xc3\xa4 HTTP/1.1")),
    refused(400, "DEL in the target", get(b"A: b", b"GET /\x7f HTTP/1.1")),
    refused(
        414, "target longer than the limit", get(b"A: b", b"GET /" + b"a" * 9000 + b" HTTP/1.1") + HIDDEN
    ),
    refused(414, "target without end", b"GET /" + b"a" * 9000),
]

HOSTS = [
    served("Host with a port", b"GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n", "GET /"),
    served("Host that is an IPv6 address", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "GET /"),
    served("empty Host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET /"),
    served("blanks around Host", b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET /"),
    refused(400, "no Host", b"GET / HTTP/1.1\r\n\r\n" + HIDDEN),
    refused(400, "two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + HIDDEN),
    refused(400, "the same Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
    refused(400, "two empty Hosts", b"GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n"),
    refused(400, "two Hosts in HTTP/1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    refused(400, "userinfo in Host", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    refused(400, "path in Host", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    refused(400, "list in Host", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    refused(400, "port that is no number", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    refused(400, "Host with only a port", b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
]

FIELDS = [
    served("empty value", get(b"X:"), "GET /"),
    served("bytes above 127 in a value", get(b"X: \xe4\xff"), "GET /"),
    refused(400, "space before the colon", get(b"Content-Length : 5") + HIDDEN),
    refused(400, "space before a name", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    refused(400, "space in a name", get(b"X Y: z")),
    refused(400, "no colon", get(b"X")),
    refused(400, "no name", get(b": y")),
    refused(400, "folded line", get(b"X: y\r\n z") + HIDDEN),
    refused(400, "NUL in a value", get(b"X: a\x00b")),
    refused(400, "NUL in a name", get(b"X\x00: b")),
    refused(400, "vertical tab in a value", get(b"X: a\x0bb")),
    refused(400, "bare CR in a value", get(b"X: a\rContent-Length: 5") + HIDDEN),
    refused(400, "bare LF in a value", get(b"X: a\nContent-Length: 5") + HIDDEN),
    refused(400, "byte above 127 in a name", get(b"X\xe4: b")),
    refused(400, "parenthesis in a name", get(b"X(: b")),
    refused(431, "header larger than the limit", get(b"X: " + b"a" * 33000) + HIDDEN),
    refused(431, "many fields", get(b"\r\n".join(b"X-%d: y" % number for number in range(4000))) + HIDDEN),
    refused(431, "value without end", b"GET / HTTP/1.1\r\nX: " + b"a" * 33000),
    refused(431, "name without end", b"GET / HTTP/1.1\r\n" + b"a" * 33000),
]

LENGTHS = [
    served("body", post(b"Content-Length: 5", b"hello") + NEXT, "POST / hello", "GET /next"),
    served("body of a GET", get(b"Content-Length: 5") + b"hello" + NEXT, "GET / hello", "GET /next"),
    served("length zero", post(b"Content-Length: 0") + NEXT, "POST /", "GET /next"),
    served("no length", post(b"A: b") + NEXT, "POST /", "GET /next"),
    served("leading zeros", post(b"Content-Length: 005", b"hello") + NEXT, "POST / hello", "GET /next"),
    served(
        "blanks around a length",
        post(b"Content-Length: \t5 \t", b"hello") + NEXT,
        "POST / hello",
        "GET /next",
    ),
    refused(
        400,
        "length and chunks",
        post(b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + HIDDEN),
    ),
    refused(
        400,
        "chunks and length",
        post(b"Transfer-Encoding: chunked\r\nContent-Length: 5", b"0\r\n\r\n" + HIDDEN),
    ),
    refused(400, "unequal lengths", post(b"Content-Length: 5\r\nContent-Length: 0", b"hello" + HIDDEN)),
    refused(400, "equal lengths", post(b"Content-Length: 5\r\nContent-Length: 5", b"hello" + HIDDEN)),
    refused(400, "list of lengths", post(b"Content-Length: 5, 5", b"hello" + HIDDEN)),
    refused(400, "plus sign in a length", post(b"Content-Length: +5", b"hello" + HIDDEN)),
    refused(400, "negative length", post(b"Content-Length: -5", b"hello" + HIDDEN)),
    refused(400, "hexadecimal length", post(b"Content-Length: 0x5", b"hello" + HIDDEN)),
    refused(400, "underscore in a length", post(b"Content-Length: 1_0", b"hellohello" + HIDDEN)),
    refused(400, "space in a length", post(b"Content-Length: 5 0", b"hello" + HIDDEN)),
    refused(400, "empty length", post(b"Content-Length:", HIDDEN)),
    refused(400, "length of more than 64 bits", post(b"Content-Length: 18446744073709551617", HIDDEN)),
    refused(413, "length of 64 bits", post(b"Content-Length: 18446744073709551615", HIDDEN)),
    refused(413, "length above the limit", post(b"Content-Length: 5242881", HIDDEN)),
    refused(
        413,
        "multipart above its limit",
        post(b"Content-Type: Multipart/Form-Data; boundary=x\r\nContent-Length: 104857601", HIDDEN),
    ),
]

CHUNKS = [
    served("chunks", chunked(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n") + NEXT, "POST / hello!", "GET /next"),
    served(
        "chunks in capitals",
        post(b"Transfer-Encoding: Chunked", b"A\r\nhellohello\r\n0\r\n\r\n") + NEXT,
        "POST / hellohello",
        "GET /next",
    ),
    served("no chunks", chunked(b"0\r\n\r\n") + NEXT, "POST /", "GET /next"),
    served(
        "chunk extension", chunked(b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n') + NEXT, "POST / hello", "GET /next"
    ),
    served("trailer", chunked(b"5\r\nhello\r\n0\r\nX-Late: y\r\n\r\n") + NEXT, "POST / hello", "GET /next"),
    served(
        "zeros before a size", chunked(b"0005\r\nhello\r\n000\r\n\r\n") + NEXT, "POST / hello", "GET /next"
    ),
    refused(400, "no size", chunked(b"\r\n" + HIDDEN)),
    refused(400, "negative size", chunked(b"-5\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "plus sign in a size", chunked(b"+5\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "0x in a size", chunked(b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "size that is no number", chunked(b"xyz\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "size of more than 64 bits", chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "space after a size", chunked(b"5 \r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "bare LF after a size", chunked(b"5\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "bare LF in an extension", chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "line end in a quoted extension", chunked(b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n' + HIDDEN)),
    refused(400, "chunk longer than its size", chunked(b"5\r\nhello!\r\n0\r\n\r\n" + HIDDEN)),
    refused(400, "chunk without its line end", chunked(b"5\r\nhello0\r\n\r\n" + HIDDEN)),
    refused(400, "bare LF after a chunk", chunked(b"5\r\nhello\n0\r\n\r\n" + HIDDEN)),
    refused(400, "length in a trailer", chunked(b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n" + HIDDEN)),
    refused(
        400, "coding in a trailer", chunked(b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n" + HIDDEN)
    ),
    refused(400, "extension without end", chunked(b"5;" + b"a" * 120_000)),
    refused(400, "trailer without end", chunked(b"0\r\n" + b"X: y\r\n" * 20_000)),
    refused(400, "extensions of many chunks", chunked((b"1;" + b"a" * 999 + b"\r\nx\r\n") * 120)),
    refused(400, "chunks in HTTP/1.0", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    refused(400, "coding that is not chunked", post(b"Transfer-Encoding: identity", HIDDEN)),
    refused(
        400, "chunked that is not last", post(b"Transfer-Encoding: chunked, gzip", b"0\r\n\r\n" + HIDDEN)
    ),
    refused(400, "chunked twice", post(b"Transfer-Encoding: chunked, chunked", b"0\r\n\r\n" + HIDDEN)),
    refused(
        400,
        "chunked in two fields",
        post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + HIDDEN),
    ),
    refused(400, "something like chunked", post(b"Transfer-Encoding: xchunked", b"0\r\n\r\n" + HIDDEN)),
    refused(400, "empty coding", post(b"Transfer-Encoding:", b"0\r\n\r\n" + HIDDEN)),
    refused(
        400, "empty coding and a length", post(b"Transfer-Encoding:\r\nContent-Length: 5", b"hello" + HIDDEN)
    ),
    refused(
        501, "coding that we do not know", post(b"Transfer-Encoding: gzip, chunked", b"0\r\n\r\n" + HIDDEN)
    ),
    refused(
        501,
        "coding in a field of its own",
        post(b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + HIDDEN),
    ),
]

UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk"
EXPECTATIONS_AND_UPGRADES = [
    Case(
        "expectation",
        post(b"Expect: 100-continue\r\nContent-Length: 5", b"hello"),
        (200,),
        ("POST / hello",),
    ),
    Case(
        "expectation with a blank",
        post(b"Expect: 100-Continue \r\nContent-Length: 5", b"hello"),
        (200,),
        ("POST / hello",),
    ),
    served("expectation without a body", get(b"Expect: 100-continue"), "GET /"),
    served(
        "expectation in HTTP/1.0",
        b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "POST / hello",
        closes=True,
    ),
    refused(
        417, "unknown expectation", post(b"Expect: the-unexpected\r\nContent-Length: 5", b"hello" + HIDDEN)
    ),
    refused(
        413,
        "expectation and a body above the limit",
        post(b"Expect: 100-continue\r\nContent-Length: 9999999", HIDDEN),
    ),
    served("upgrade", get(UPGRADE) + NEXT, "GET /", "GET /next"),
    served(
        "upgrade, and close", get(b"Connection: close, upgrade\r\nUpgrade: x") + HIDDEN, "GET /", closes=True
    ),
    served(
        "upgrade with a body",
        post(UPGRADE + b"\r\nContent-Length: %d" % len(HIDDEN), HIDDEN) + NEXT,
        "POST / " + HIDDEN.decode(),
        "GET /next",
    ),
    served(
        "upgrade with chunks",
        post(UPGRADE + b"\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n") + NEXT,
        "POST / hello",
        "GET /next",
    ),
    served(
        "upgrade with a body, and close",
        post(b"Connection: upgrade, close\r\nUpgrade: x\r\nContent-Length: 5", b"hello" + HIDDEN),
        "POST / hello",
        closes=True,
    ),
    served(
        "upgrade in HTTP/1.0 with a body",
        b"POST / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nhello" + HIDDEN,
        "POST / hello",
        closes=True,
    ),
    served("many upgrades", get(UPGRADE) * 3 + NEXT, "GET /", "GET /", "GET /", "GET /next"),
    refused(
        400,
        "wrong request after an upgrade",
        get(UPGRADE) + b"GET / HTTP/1.1\r\nX : y\r\n\r\n" + HIDDEN,
        "GET /",
    ),
    refused(
        505, "wrong version after an upgrade", get(UPGRADE) + b"GET / HTTP/2.0\r\n\r\n" + HIDDEN, "GET /"
    ),
    refused(
        400,
        "wrong chunk after an upgrade",
        post(UPGRADE + b"\r\nTransfer-Encoding: chunked", b"x\r\n" + HIDDEN),
    ),
]

PIPELINES = [
    served("three requests", NEXT * 3, "GET /next", "GET /next", "GET /next"),
    refused(400, "a wrong one after a right one", NEXT + b"GET / HTTP/1.1\r\n\r\n" + HIDDEN, "GET /next"),
    refused(400, "a wrong chunk after a right one", NEXT + chunked(b"z\r\n" + HIDDEN), "GET /next"),
    served(
        "an unknown method after a right one",
        NEXT + get(b"A: b", b"BREW / HTTP/1.1") + NEXT,
        "GET /next",
        "BREW /",
        "GET /next",
    ),
    refused(
        501, "a wrong method after a right one", NEXT + get(b"A: b", b"g(t / HTTP/1.1") + HIDDEN, "GET /next"
    ),
    refused(501, "more than a body", post(b"Content-Length: 5", b"hello:" + HIDDEN), "POST / hello"),
]

CASES = [
    *REQUEST_LINES,
    *TARGETS,
    *HOSTS,
    *FIELDS,
    *LENGTHS,
    *CHUNKS,
    *EXPECTATIONS_AND_UPGRADES,
    *PIPELINES,
]
