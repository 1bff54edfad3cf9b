"""A request over a connection that speaks no HTTP/1.1: it reaches into nothing but ``IConnection``."""

import ast
from pathlib import Path

import pytest
from http_channel import TEXT
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.interfaces import ISSLTransport, ITransport
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

import skitai.server.request
from skitai.interfaces import IConnection
from skitai.server.request.connection import Connection
from skitai.server.request.request import Request
from skitai.server.site import Mounts, Site
from skitai.server.wsgi.environ import base_environ, make_environ

CLIENT = IPv4Address("TCP", "192.0.2.7", 40122)
SERVER = IPv4Address("TCP", "192.0.2.1", 443)


class Transport:
    """As much of a transport as a connection looks at."""

    def __init__(self, interface=ITransport, client=CLIENT, server=SERVER):
        self.getPeer = lambda: client
        self.getHost = lambda: server
        directlyProvides(self, interface)


@implementer(IConnection)
class Frames(Connection):
    """A connection that sends frames: ``frames`` are what the client got."""

    waiting = 0
    blocked = False

    def __init__(self, transport):
        self.reactor = Clock()
        self.frames = []
        self.connected(transport)

    def inform(self, status, headers):
        self.frames.append(("INTERIM", status, dict(headers)))

    def start(self, request, status, headers, length):
        self._request = request
        self.frames.append(("HEADERS", status, dict(headers)))
        return None if request.bodyless else length

    def send(self, data):
        if data:
            self.frames.append(("DATA", data))

    def flush(self):
        pass

    def end(self, trailers=()):
        self.frames.append(("END", *trailers))
        self._request.written = True
        self._request.completed()

    def abort(self):
        self.frames.append(("RESET",))

    holds_body = True

    def stream_body(self):
        """Not used: see the tests of the channel."""

    def body_wanted(self, wanted):
        """Not used either."""

    def take_over(self, request, protocol, status, headers):
        """Not used either."""


@pytest.fixture
def connection():
    """A connection of frames, over TLS."""
    return Frames(Transport(ISSLTransport))


@pytest.fixture
def request_for(connection):
    """Return ``request_for(method, uri)``: a complete request on the connection."""

    def make(method=b"GET", uri=b"/p?q=1"):
        request = Request(connection, method, uri, "2", [(b"accept", b"*/*")])
        request.authority = b"a.example"
        request.path, _, request.query = uri.partition(b"?")
        request.received()
        return request

    return make


def test_fake_is_a_connection(connection):
    """The fake has all that the contract names."""
    assert verifyObject(IConnection, connection)


def test_gateway_answers(connection, request_for):
    """An answer goes to the connection as status, fields and pieces: the framing is its affair."""
    request_for().respond("200 OK", TEXT, b"hello")
    assert connection.frames == [("HEADERS", "200 OK", dict(TEXT)), ("DATA", b"hello"), ("END",)]


def test_interim_and_trailers(connection, request_for):
    """Interim responses come before the head, and trailers at the end."""
    request = request_for()
    request.inform("103 Early Hints", [("Link", "</a>")])
    request.start("200 OK", TEXT)
    request.inform("103 Early Hints")  # too late
    request.send(b"hello")
    request.end([("X-T", "1")])
    assert connection.frames == [
        ("INTERIM", "103 Early Hints", {"Link": "</a>"}),
        ("HEADERS", "200 OK", dict(TEXT)),
        ("DATA", b"hello"),
        ("END", ("X-T", "1")),
    ]


def test_no_interim_for_an_old_client(connection, request_for):
    """A client of HTTP/1.0 gets no interim response."""
    request = request_for()
    request.version = "1.0"
    request.inform("103 Early Hints")
    assert connection.frames == []


def test_head_has_no_body(connection, request_for):
    """The answer to HEAD has no body on any connection."""
    request_for(b"HEAD").respond("200 OK", TEXT, b"hello")
    assert connection.frames == [("HEADERS", "200 OK", dict(TEXT)), ("END",)]


def test_length_is_kept_to(connection, request_for, log_text):
    """More than the announced length is cut off on any connection."""
    request = request_for()
    request.start("200 OK", TEXT, 3)
    request.send(b"hello")
    request.end()
    assert connection.frames[1:] == [("DATA", b"hel"), ("END",)]
    assert "longer than its Content-Length" in log_text()


def test_failure_after_the_head(connection, request_for):
    """A request that fails when its answer has begun is cut off."""
    request = request_for()
    request.start("200 OK", TEXT)
    request.fail(500)
    assert connection.frames[1:] == [("RESET",)]


def test_twisted_resource(connection, request_for):
    """A Twisted resource answers, with a producer, and learns when its answer is out."""
    ended = []

    class Page(Resource):
        isLeaf = True

        def render_GET(self, request):
            request.notifyFinish().addCallback(ended.append)
            pieces = iter([b"a", b"b"])

            def produce():
                piece = next(pieces, None)
                if piece is None:
                    request.unregisterProducer()
                    request.finish()
                else:
                    request.write(piece)

            self.resumeProducing = produce
            assert request.getClientAddress() == CLIENT
            assert request.getHost() == SERVER
            assert request.isSecure()
            request.registerProducer(self, False)
            return NOT_DONE_YET

    Site(Mounts([], [(b"", Page())])).handle(request_for())
    assert connection.frames[1:] == [("DATA", b"a"), ("DATA", b"b"), ("END",)]
    assert ended == [None]


def test_environ(connection, request_for):
    """An app finds the addresses and the scheme of the connection in its environ."""
    environ = make_environ(base_environ(False, False, ""), request_for())
    assert {key: environ[key] for key in connection.addresses} == {
        "wsgi.url_scheme": "https",
        "SERVER_NAME": "192.0.2.1",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "40122",
    }


def test_facts_of_a_connection():
    """Whether a connection is encrypted is its own fact; a Unix socket has no addresses to show."""
    plain = Frames(Transport(client=UNIXAddress(""), server=UNIXAddress("/run/x.sock")))
    assert not plain.secure
    assert plain.addresses == {
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "REMOTE_ADDR": "",
        "REMOTE_PORT": "",
        "wsgi.url_scheme": "http",
    }


def test_addresses_from_a_proxy(connection):
    """A proxy in front of the server can tell who its client is."""
    connection.set_addresses(IPv4Address("TCP", "198.51.100.3", 5), SERVER)
    assert connection.addresses["REMOTE_ADDR"] == "198.51.100.3"
    assert connection.client.host == "198.51.100.3"


def test_requests_know_nothing_of_http_1():
    """No module of the request's room imports the one of HTTP/1.1."""
    folder = Path(skitai.server.request.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert "http1" not in (node.module or ""), path.name
