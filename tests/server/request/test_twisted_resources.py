"""Any Twisted resource can be mounted: our request is an IRequest, and behaves as one."""

import os
import warnings

import pytest
from http_channel import Later
from resources import GET, Page, ask, render
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.web.iweb import IRequest
from twisted.web.pages import notFound
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

with warnings.catch_warnings():  # Twisted's own module makes use of what Twisted deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    from twisted.web.static import Data, File

pytestmark = pytest.mark.filterwarnings("ignore:twisted.web.resource._Unsafe:DeprecationWarning")


class Deferring(Resource):
    """A leaf whose handler may return a Deferred, as Klein's does."""

    isLeaf = True

    def __init__(self, handler):
        super().__init__()
        self._handler = handler

    def render(self, request):
        def write(body):
            request.write(body)
            request.finish()

        gone = []
        request.notifyFinish().addErrback(gone.append)
        deferred = self._handler(request)
        deferred.addCallback(lambda body: None if gone else write(body))
        deferred.addErrback(lambda failure: None if gone else request.processingFailed(failure))
        return NOT_DONE_YET


def test_interface(memory_server):
    """The request provides IRequest."""
    app = Later()
    memory_server(app).connect().send(GET % (b"/", b""))
    request = app.waiting[0]
    request.prepath, request.postpath = [], [b""]
    assert verifyObject(IRequest, request)


# -- what a resource answers --------------------------------------------------------------------------------


def test_tree(mounted):
    """Children are found below a mount point, and what is not there is 404."""
    root, branch = Resource(), Resource()
    root.putChild(b"branch", branch)
    branch.putChild(b"", Data(b"index", "text/plain"))
    branch.putChild(b"a b", Data(b"leaf", "text/plain"))
    root.putChild(b"none", notFound())
    server = mounted(root, b"/tree")
    answers = [ask(server, target) for target in (b"/tree/branch/", b"/tree/branch/a%20b", b"/tree/x", b"/x")]
    assert [(answer.code, answer.body) for answer in answers[:2]] == [(200, b"index"), (200, b"leaf")]
    assert [answer.code for answer in answers[2:]] == [404, 404]


def test_answer(mounted):
    """Status, fields and cookies are sent as the resource set them."""

    def answer(request):
        request.setResponseCode(201, b"Made")
        request.setHeader(b"X-A", b"1")
        request.responseHeaders.addRawHeader("X-B", "2")
        request.addCookie("k", "v", path="/", httpOnly=True)
        return b"hello"

    client = mounted(Page(answer)).connect()
    client.send(GET % (b"/", b""))
    assert client.received.startswith(b"HTTP/1.1 201 Made\r\n")
    fields = client.answers()[0].fields
    assert (fields["x-a"], fields["x-b"]) == ("1", "2")
    assert fields["set-cookie"] == "k=v; Path=/; HttpOnly"
    assert fields["content-type"] == "text/html"


def test_two_cookies(mounted):
    """Each cookie has a field of its own."""

    def answer(request):
        request.addCookie(b"a", b"1")
        request.addCookie(b"b", b"2\r\nX: y")
        return b""

    client = mounted(Page(answer)).connect()
    client.send(GET % (b"/", b""))
    assert b"\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2 X: y\r\n" in client.received


def test_redirect(mounted):
    """A redirect names its target."""

    def redirect(request):
        request.redirect(b"/elsewhere")
        return b""

    answer = render(mounted, redirect)
    assert (answer.code, answer.fields["location"], answer.body) == (302, "/elsewhere", b"")


@pytest.mark.parametrize(
    ("method", "tag", "code"),
    [(b"GET", b'"x"', 304), (b"HEAD", b'"x"', 304), (b"POST", b'"x"', 412), (b"GET", b'"y"', 200)],
)
def test_etag(mounted, method, tag, code):
    """A resource that has not changed is answered 304, or 412 where it was to be changed, without a body."""

    def tagged(request):
        return b"" if request.setETag(b'"x"') else b"hello"

    answer = render(mounted, tagged, b"/", b"If-None-Match: %b\r\n" % tag, method)
    assert (answer.code, answer.fields["etag"]) == (code, '"x"')
    assert answer.body == (b"hello" if code == 200 else b"")
    if code == 304:
        assert "content-length" not in answer.fields


def test_last_modified(mounted):
    """A resource may say when it changed last."""

    def dated(request):
        return b"" if request.setLastModified(784111777) else b"hello"

    since = b"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    answers = [render(mounted, dated), render(mounted, dated, b"/", since)]
    assert [answer.code for answer in answers] == [200, 304]
    assert {answer.fields["last-modified"] for answer in answers} == {"Sun, 06 Nov 1994 08:49:37 GMT"}


def test_head(mounted):
    """HEAD is answered as GET is, without the body."""
    answer = render(mounted, lambda request: b"hello", method=b"HEAD")
    assert (answer.code, answer.body) == (200, b"")


def test_empty_answer(mounted):
    """A resource that finishes without a word has an empty body, of a known length and no type."""

    def silent(request):
        request.finish()
        return NOT_DONE_YET

    answer = render(mounted, silent)
    assert (answer.code, answer.body, answer.fields["content-length"]) == (200, b"", "0")
    assert "content-type" not in answer.fields


def test_render(memory_server):
    """A resource may hand the request on to another with request.render(), as Klein does."""
    client = memory_server(lambda request: request.render(Data(b"hello", "text/plain"))).connect()
    client.send(GET % (b"/", b"") + (GET % (b"/", b"")).replace(b"GET", b"HEAD"))
    get, head = client.answers("GET", "HEAD")
    assert get.body == b"hello"
    assert (get.fields["content-length"], head.fields["content-length"]) == ("5", "5")


def test_compression(mounted):
    """Text is compressed for clients that accept gzip."""

    def text(request):
        request.setHeader(b"content-type", b"text/plain")
        return b"hello " * 1000

    answer = render(mounted, text, b"/", b"Accept-Encoding: gzip\r\n")
    assert answer.fields["content-encoding"] == "gzip"
    assert len(answer.body) < 200


# -- later, and in pieces -----------------------------------------------------------------------------------


def test_later(mounted):
    """A resource may answer when it is ready, in pieces, and hears of the end."""
    app, ends = [], []

    def later(request):
        app.append(request)
        request.notifyFinish().addCallback(ends.append)
        return NOT_DONE_YET

    client = mounted(Page(later)).connect()
    client.send(GET % (b"/", b""))
    app[0].write(b"hel")
    app[0].write(b"lo")
    assert ends == []
    app[0].finish()
    assert ends == [None]
    assert client.answers()[0].body == b"hello"
    with pytest.raises(RuntimeError, match="twice"):
        app[0].finish()
    with pytest.raises(RuntimeError, match="after"):
        app[0].write(b"more")


def test_end_is_told_when_the_answer_was_sent(mounted):
    """An answer is not at its end while the client has yet to take it."""
    ends = []

    def large(request):
        request.notifyFinish().addCallback(ends.append)
        return b"x" * 300_000

    client = mounted(Page(large)).connect()
    client.transport.stalled = True
    client.send(GET % (b"/", b""))
    assert ends == []
    while client.transport.held:
        client.transport.take(1 << 20)
    assert ends == [None]


@pytest.mark.parametrize("begun", [False, True])
def test_client_that_goes(mounted, begun):
    """Who waits for the end of an answer learns that the client is gone, and writes in vain."""
    app, reasons = [], []

    def later(request):
        app.append(request)
        request.notifyFinish().addErrback(reasons.append)
        return NOT_DONE_YET

    client = mounted(Page(later)).connect()
    client.send(GET % (b"/", b""))
    if begun:
        app[0].write(b"hello")
    client.disconnect()
    assert [reason.type for reason in reasons] == [ConnectionLost]
    app[0].write(b"more")
    with pytest.raises(RuntimeError, match="lost"):
        app[0].finish()


def test_deferred(mounted):
    """A resource that answers with a Deferred, as Klein's do, answers when it fires."""
    deferred = Deferred()
    client = mounted(Deferring(lambda request: deferred)).connect()
    client.send(GET % (b"/", b""))
    assert client.received == b""
    deferred.callback(b"hello")
    assert client.answers()[0].body == b"hello"


def test_deferred_that_fails(mounted, log):
    """A Deferred that fails is that request's 500, with its traceback logged; the connection goes on."""
    client = mounted(Deferring(lambda request: Deferred())).connect()
    deferred = Deferred()
    client = mounted(Deferring(lambda request: deferred)).connect()
    client.send(GET % (b"/", b""))
    deferred.errback(KeyError("defect"))
    assert (client.codes, client.closed) == ([500], False)
    assert [event["log_failure"].type for event in log] == [KeyError]


def test_deferred_of_a_client_that_is_gone(mounted, log):
    """A Deferred that fires too late hurts nobody."""
    deferred = Deferred()
    client = mounted(Deferring(lambda request: deferred)).connect()
    client.send(GET % (b"/", b""))
    client.disconnect()
    deferred.callback(b"hello")
    assert log == []


# -- defects ------------------------------------------------------------------------------------------------


def test_resource_that_raises(mounted, log):
    """An exception is that request's 500; nobody else notices."""

    def fail(request):
        raise KeyError("defect")

    client = mounted(Page(fail)).connect()
    client.send(GET % (b"/1", b"") + GET % (b"/2", b""))
    assert client.codes == [500, 500]
    assert [event["log_failure"].type for event in log] == [KeyError, KeyError]


@pytest.mark.parametrize("ended", [False, True])
def test_resource_that_raises_late(mounted, log, ended):
    """After the first byte only a cut can say that something is wrong; after the last, nothing need."""

    def fail(request):
        request.write(b"hello")
        if ended:
            request.finish()
        raise KeyError("defect")

    client = mounted(Page(fail)).connect()
    client.send(GET % (b"/", b""))
    assert client.aborted != ended
    assert [event["log_failure"].type for event in log] == [KeyError]


def test_status_that_would_forge_a_field(mounted, log_text):
    """Line ends in a status are this answer's 500, even if nobody would see the exception."""
    deferred = Deferred()

    def forging(request):
        request.setResponseCode(200, b"OK\r\nSet-Cookie: a=b")
        return deferred

    client = mounted(Deferring(forging)).connect()
    client.send(GET % (b"/", b""))
    deferred.callback(b"hello")
    assert client.codes == [500]
    assert b"Set-Cookie" not in client.received
    assert "control character" in log_text()


def test_fields_that_would_forge_another(mounted):
    """Line ends in a field are blanks."""

    def forging(request):
        request.setHeader(b"X", b"a\r\nSet-Cookie: b\n c")
        return b""

    assert render(mounted, forging).fields["x"].split() == ["a", "Set-Cookie:", "b", "c"]


def test_lose_connection(mounted):
    """A resource may cut the connection."""

    def cut(request):
        request.loseConnection()
        return NOT_DONE_YET

    client = mounted(Page(cut)).connect()
    client.send(GET % (b"/", b""))
    assert (client.aborted, client.received) == (True, b"")


# -- twisted.web.static.File --------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """A directory with a large file."""
    (tmp_path / "large.bin").write_bytes(os.urandom(300_000))
    return tmp_path


def test_file(mounted, files):
    """Twisted's own file resource serves a file, parts of it, and nothing where nothing has changed."""
    content = (files / "large.bin").read_bytes()
    server = mounted(File(str(files)), b"/files")
    whole = ask(server, b"/files/large.bin")
    assert (whole.code, whole.body) == (200, content)
    assert whole.fields["content-length"] == "300000"
    part = ask(server, b"/files/large.bin", b"Range: bytes=10-19\r\n")
    assert (part.code, part.body) == (206, content[10:20])
    since = b"If-Modified-Since: %b\r\n" % whole.fields["last-modified"].encode()
    assert ask(server, b"/files/large.bin", since).code == 304
    head = ask(server, b"/files/large.bin", method=b"HEAD")
    assert (head.body, head.fields["content-length"]) == (b"", "300000")
    assert ask(server, b"/files/missing").code == 404


def test_file_of_a_slow_reader(mounted, files):
    """A file is read as fast as its client takes it, and closed when the client goes."""
    server = mounted(File(str(files)))
    client = server.connect()
    client.transport.stalled = True
    client.send(GET % (b"/large.bin", b""))
    server.clock.pump([0] * 10)
    assert len(client.transport.held) + client.channel.output.waiting < 200_000
    producer = server.requests[0].production._producer
    client.disconnect()
    assert producer.fileObject is None or producer.fileObject.closed
