"""Replies from honest and hostile servers, over real sockets where the socket matters."""

import gzip
import itertools
import zlib

import brotli
import pytest
import zstandard
from http_servers import OK, HTTPTestCase, Server, sending
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import deferLater
from zope.interface import implementer

from skitai.errors import OperationError, UnsentError
from skitai.services.http import HTTPNode
from skitai.services.http.decoding import BadReplyError
from skitai.services.http.reply import HEAD_MAX, ReplyReader

NODE = HTTPNode("h", 80)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def gzipped(body):
    """Return a body in gzip, the same at any time: tests are named by it, on every worker of the run."""
    return gzip.compress(body, mtime=0)


def brotlied(body):
    """Return a body in brotli, soon enough for a test."""
    return brotli.compress(body, quality=1)


def read(data, *, head_only=False, response_max=1000, reader=None):
    """Return the result of a reply that is complete, or None, and the reader."""
    reader = reader or ReplyReader(response_max)
    reader.expect(head_only=head_only)
    return (reader.result(NODE) if reader.feed(data) else None), reader


def encoded(coding, body):
    """Return a reply whose body is in a content coding."""
    return b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        coding,
        len(body),
        body,
    )


def test_result():
    """A reply has its status, words, version, headers in any case, node and bytes."""
    result, reader = read(b"HTTP/1.1 404 Not  Here\r\nX-A:  1 \t\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nabc")
    assert (result.status, result.code, result.msg, result.data) == (3, 404, "Not  Here", b"abc")
    assert (result.version, result.node) == ("1.1", NODE)
    assert result.headers == [("X-A", "1"), ("x-a", "2"), ("Content-Length", "3")]
    assert result.header == ["X-A: 1", "x-a: 2", "Content-Length: 3"]
    assert (result.get_header("X-a"), result.get_header("none")) == ("1", None)
    assert reader.in_step


@pytest.mark.parametrize(
    ("data", "body", "in_step"),
    [
        (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n", b"abcde", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, b"ok", True),
        (OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1), b"ok", False),
        (OK.replace(b"1.1", b"1.0"), b"ok", False),
        (OK.replace(b"1.1 200 OK\r\n", b"1.0 200 OK\r\nConnection: keep-alive\r\n"), b"ok", True),
        (OK + b"X", b"ok", False),
        (OK + OK, b"ok", False),
        (OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"X", b"ok", False),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"", True),
    ],
)
def test_framing(data, body, in_step):
    """Every way to frame a reply gives its body, and says whether the connection is still of use."""
    result, reader = read(data)
    assert (result.data, reader.in_step) == (body, in_step)
    assert "Trailer" not in dict(result.headers)
    assert "Link" not in dict(result.headers)


@pytest.mark.parametrize(
    ("data", "in_step"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (CHUNKED, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
    ],
)
def test_reply_to_head(data, in_step):
    """A reply to HEAD ends with its header, whatever body it describes, and the next one is read."""
    result, reader = read(data, head_only=True)
    assert (result.code, result.data, reader.in_step) == (200, b"", in_step)
    if in_step:
        assert read(OK, reader=reader)[0].data == b"ok"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"<html>",
        b"\0\0\0\0",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
        CHUNKED + b"1\r\nabc\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 199 Odd\r\nContent-Length: 4\r\n\r\nabcd" + OK,
    ],
)
def test_garbage(data):
    """What is no proper reply is refused."""
    with pytest.raises(BadReplyError):
        read(data)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 1000),
        (b"HTTP/1.1 200 ", b"a" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\n", b"a" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (b"", b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n" * 40),
        (b"", b"\r\n" * 500),
        (CHUNKED + b"1;", b"x" * 1000),
        (CHUNKED + b"0\r\n", b"T: x\r\n" * 100),
        (CHUNKED + b"0\r\nT: ", b"x" * 1000),
    ],
)
def test_endless_overhead(start, more):
    """Whatever goes on for ever without being body is cut off near the limit."""
    reader = ReplyReader(1000)
    reader.expect(head_only=False)
    reader.feed(start)

    def go_on():
        for _ in range(HEAD_MAX // len(more) + 2):
            reader.feed(more)

    with pytest.raises(BadReplyError, match=str(HEAD_MAX)):
        go_on()


def test_a_long_body_in_tiny_chunks_is_no_overhead():
    """The framing of a body may outweigh it many times."""
    body = b"1\r\nx\r\n" * 30_000
    reader = ReplyReader(30_000)
    reader.expect(head_only=False)
    reader.feed(CHUNKED)
    for start in range(0, len(body), 60_000):
        assert not reader.feed(body[start : start + 60_000])
    assert reader.feed(b"0\r\n\r\n")
    assert reader.result(NODE).data == b"x" * 30_000


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
        CHUNKED + b"3e9\r\n" + b"x" * 1001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001,
        encoded(b"gzip", gzipped(b"x" * 1001)),
        encoded(b"deflate", zlib.compress(bytes(50_000_000), 9)),
        encoded(b"gzip", gzipped(b"x" * 600) * 2),
    ],
)
def test_body_beyond_the_limit(data):
    """A body larger than allowed, as declared, sent or unpacked, is refused."""
    with pytest.raises(BadReplyError, match="larger than 1000 bytes"):
        read(data, response_max=1000)


TEXT = b"once upon a time " * 20
RAW = zlib.compressobj(wbits=-15)
RAW = RAW.compress(TEXT) + RAW.flush()


def test_several_content_codings():
    """What would have to be undone twice is refused: handed over packed, it would look like the body."""
    reader = ReplyReader(1000)
    reader.expect(head_only=False)
    with pytest.raises(BadReplyError, match="several codings"):
        reader.feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 1\r\n\r\n\x1f")


def test_a_part_of_coded_data():
    """A 206 is handed over as it came: a range is one of the coded bytes (RFC 9110, section 14.2)."""
    part = gzipped(TEXT)[5:15]
    result, reader = read(encoded(b"gzip", part).replace(b"200 OK", b"206 Partial"))
    assert (result.code, result.data, result.get_header("Content-Encoding")) == (206, part, "gzip")
    assert reader.in_step


@pytest.mark.parametrize("status", [b"700", b"999"])
def test_a_status_that_is_none(status):
    """The client's own codes cannot come from outside."""
    reader = ReplyReader(1000)
    reader.expect(head_only=False)
    with pytest.raises(BadReplyError, match="which answers nothing"):
        reader.feed(b"HTTP/1.1 " + status + b" X\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("coding", "body", "plain"),
    [
        (b"gzip", gzipped(TEXT), TEXT),
        (b" X-GZIP ", gzipped(TEXT), TEXT),
        (b"gzip", gzipped(b"one ") + gzipped(b"two"), b"one two"),
        (b"gzip", gzipped(TEXT) + bytes(10), TEXT),
        (b"deflate", zlib.compress(TEXT), TEXT),
        (b"deflate", RAW, TEXT),
        (b"gzip", b"", b""),
        (b"identity", TEXT, TEXT),
        (b"compress", b"\x01\x02", b"\x01\x02"),
        (b"gzip", gzipped(b"x" * 1000), b"x" * 1000),
        (b"gzip, identity", gzipped(TEXT), TEXT),
        (b"identity, gzip", gzipped(TEXT), TEXT),
        (b", GZIP ,\t,", gzipped(TEXT), TEXT),
        (b"identity\r\nContent-Encoding: gzip\r\nContent-Encoding:", gzipped(TEXT), TEXT),
        (b",", TEXT, TEXT),
        (b"identity, identity", TEXT, TEXT),
        (b"identity, compress", b"\x01\x02", b"\x01\x02"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_content_coding(coding, body, plain, step):
    """gzip and deflate are undone however they arrive; other codings stay as they are.

    The field is a list in one line or several (RFC 9110, sections 5.3 and 8.4). Empty members are ignored
    (section 5.6.1.2); ``identity`` means no coding (section 12.5.3).
    """
    reader = ReplyReader(1000)
    reader.expect(head_only=False)
    data = encoded(coding, body)
    complete = [reader.feed(data[start : start + step]) for start in range(0, len(data), step)]
    assert complete[-1]
    assert reader.result(NODE).data == plain


@pytest.mark.parametrize(
    ("body", "words"),
    [(gzipped(TEXT)[:-9], "ends in the middle"), (b"not gzip", "not the gzip"), (b"\x1f", "ends")],
)
def test_broken_content_coding(body, words):
    """A body that is not what its coding claims is refused, not handed over in part."""
    with pytest.raises(BadReplyError, match=words):
        read(encoded(b"gzip", body))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 200), max_size=12))
def test_any_split_gives_the_same(cuts):
    """It makes no difference how the bytes of a reply arrive."""
    data = b"HTTP/1.1 100 Continue\r\n\r\n" + encoded(b"gzip", gzipped(b"body"))
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = ReplyReader(1000)
    reader.expect(head_only=False)
    done = [reader.feed(data[a:b]) for a, b in itertools.pairwise(edges)]
    result = reader.result(NODE)
    assert (done.count(True), result.msg, result.data, len(result.headers)) == (1, "OK", b"body", 2)


@implementer(IHostnameResolver)
class Resolver:
    """Knows one name."""

    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        if hostName == "known.test":
            receiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        receiver.resolutionComplete()


class RepliesTests(HTTPTestCase):
    async def test_connection_close_ends_the_body(self):
        """A body without a length ends when the server closes the connection."""
        result = await self.fetch(sending(b"HTTP/1.0 200 OK\r\n\r\nall of it", close=True))
        assert (result.data, result.version) == (b"all of it", "1.0")

    async def test_reset_does_not_end_a_body(self):
        """A body without a length is not complete when the connection is reset."""

        def handler(peer):
            peer.write(b"HTTP/1.0 200 OK\r\n\r\npart of it")
            reactor.callLater(0.05, peer.reset)

        code, text = await self.fetch_error(handler)
        assert code == 706
        assert "in the middle of the reply" in text

    async def test_short_bodies(self):
        """A connection that closes before the promised end of the body is a failure with code 700."""
        for data in (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", CHUNKED + b"5\r\nabc"):
            code, text = await self.fetch_error(sending(data, close=True))
            assert code == 700
            assert "in the middle of the reply" in text

    async def test_no_reply(self):
        """A connection that closes instead of replying is a failure with code 700."""
        code, text = await self.fetch_error(lambda peer: peer.close())
        assert code == 700
        assert "before the reply" in text

    async def turns_until(self, deferred):
        """Return what fires, and how many turns the reactor had meanwhile."""
        turns = 0
        while not deferred.called:
            await deferLater(reactor, 0)
            turns += 1
        return await deferred, turns

    async def test_large_bodies_are_unpacked_in_steps(self):
        """However much a few bytes unpack to, others have their turn between the steps."""
        plain = bytes(32 << 20)
        for coding, pack in (("gzip", gzipped), ("br", brotlied), ("zstd", zstandard.compress)):
            server = self.serve(sending(encoded(coding.encode(), pack(plain))))
            result, turns = await self.turns_until(self.ask(self.pool(), server.url))
            assert result.data == plain
            assert turns > 12

    async def test_the_connection_is_free_while_a_body_is_unpacked(self):
        """A later request uses the connection, and is answered first."""
        bomb = encoded(b"br", brotlied(bytes(32 << 20)))
        server = self.serve(lambda peer: peer.write(bomb if peer.requests == 1 else OK))
        pool = self.pool()
        slow = self.ask(pool, server.url)
        while not pool.statistics()["idle"]:
            await deferLater(reactor, 0)
        assert (await self.ask(pool, server.url)).data == b"ok"
        assert not slow.called
        assert len(server.peers) == 1
        assert len((await slow).data) == 32 << 20

    async def test_ending_what_is_being_unpacked(self):
        """Cancelling or closing the pool ends the unpacking, and so does a mistake in what is left."""
        packed = brotlied(bytes(32 << 20))
        for body, end, kind, code in (
            (packed, lambda pool, asked: asked.cancel(), CancelledError, None),
            (packed, lambda pool, asked: pool.close(), UnsentError, 705),
            (packed[:-3], lambda pool, asked: None, OperationError, 708),
        ):
            server = self.serve(sending(encoded(b"br", body)))
            pool = self.pool()
            asked = self.ask(pool, server.url)
            while not pool.statistics()["idle"]:
                await deferLater(reactor, 0)
            assert not asked.called
            end(pool, asked)
            error = await self.error_of(asked, kind)
            assert getattr(error, "code", None) == code

    async def test_truncated_coding_at_the_end_of_the_connection(self):
        """A compressed body that the end of the connection cuts is a failure."""
        data = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzipped(TEXT)[:-9]
        code, text = await self.fetch_error(sending(data, close=True))
        assert code == 708
        assert "ends in the middle" in text

    async def test_bad_replies_close_the_connection(self):
        """Garbage and floods are failures with code 708, and the server's end is closed."""
        flood = b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 100_000 + b"\r\n"
        for data in (b"garbage", flood, b"HTTP/1.1 101 X\r\n\r\n"):
            server = self.serve(sending(data))
            error = await self.error_of(self.ask(self.pool(), server.url), OperationError)
            assert error.code == 708
            assert f"bad reply from 127.0.0.1:{server.port}" in error.message
            await server.peers[0].lost

    async def test_response_limit(self):
        """A gzip bomb fails without being unpacked, and the server's end is closed."""
        server = self.serve(sending(encoded(b"gzip", gzipped(bytes(10_000_000)))))
        error = await self.error_of(self.ask(self.pool(response_max=1000), server.url), OperationError)
        assert error.code == 708
        await server.peers[0].lost

    async def test_large_bodies_both_ways(self):
        """A body beyond what the kernel takes at once leaves whole, and comes back whole."""
        body = bytes(range(256)) * 40_000
        server = self.serve(lambda peer: setattr(peer, "in_body", True))
        asked = self.ask(self.pool(), server.url, body, method="POST")
        while len(server.everything) < len(body) or not server.everything.endswith(body):
            await deferLater(reactor, 0.01)
        server.peers[0].write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert (await asked).data == body

    async def test_refused(self):
        """A refused connection is an UnsentError with code 701: nothing was sent."""
        port = reactor.listenTCP(0, Server(None), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        error = await self.error_of(self.ask(self.pool(), f"http://127.0.0.1:{number}/"), UnsentError)
        assert (error.code, error.status) == (701, 2)
        assert error.message == f"127.0.0.1:{number} refused the connection"

    async def test_names(self):
        """A name is resolved; one that does not exist is an UnsentError with code 704."""
        before = reactor.installNameResolver(Resolver())
        self.addCleanup(reactor.installNameResolver, before)
        server = self.serve(sending(OK))
        result = await self.ask(self.pool(), f"http://known.test:{server.port}/")
        assert result.data == b"ok"
        assert b"Host: known.test:%d" % server.port in server.heads[0]
        error = await self.error_of(self.ask(self.pool(), "http://unknown.test/"), UnsentError)
        assert (error.code, error.message) == (704, "host 'unknown.test' was not found")

    async def test_ipv6(self):
        """An IPv6 address in brackets is connected to."""
        server = self.serve(sending(OK), host="::1")
        assert (await self.ask(self.pool(), server.url)).data == b"ok"
