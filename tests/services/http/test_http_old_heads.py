"""Replies whose heads are in forms of long ago: folded fields, and lines that end in LF alone.

RFC 9112, section 5.2: a user agent MUST replace each folding in a response by a space. Section 2.2: a
recipient MAY take a LF as the end of a line. curl, requests and browsers take both.
"""

import pytest
from http_servers import OK, HTTPTestCase, sending

from skitai.services.http import HTTPNode
from skitai.services.http.decoding import BadReplyError
from skitai.services.http.reply import HEAD_MAX, ReplyReader

NODE = HTTPNode("h", 80)
FOLDED = b"HTTP/1.1 200 OK\r\nX-A: one  \r\n  two\r\n\tthree\r\nX-B: b\r\nContent-Length: 6\r\n\r\n\n a\nbc"
BARE = b"HTTP/1.1 200 Fine\nX-A: one two three\nX-B: b\nContent-Length: 6\n\n\n a\nbc"


def read_in(pieces, **expected):
    reader = ReplyReader(100_000)
    reader.expect(head_only=False, **expected)
    whole = [reader.feed(piece) for piece in pieces]
    assert not any(whole[:-1])
    return (reader.result(NODE) if whole[-1] else None), reader


@pytest.mark.parametrize("data", [FOLDED, BARE])
@pytest.mark.parametrize(
    "interim", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\nLink: a\n b\n\n"]
)
def test_one_reply_however_it_is_cut(data, interim):
    """The fields are the same wherever the reads end, the body stays as it is, and the connection lasts."""
    data = interim + data
    for size in (len(data), 1, 2, 3, 7, 40):
        result, reader = read_in([data[start : start + size] for start in range(0, len(data), size)])
        assert [value for name, value in result.headers if name == "X-A"] == ["one two three"]
        assert (result.code, result.get_header("X-B"), result.data) == (200, "b", b"\n a\nbc")
        assert reader.in_step
        reader.expect(head_only=False)
        assert reader.feed(OK)
        assert reader.result(NODE).data == b"ok"


def test_a_folded_line_may_be_empty():
    """Nothing but space on the next line is a folding, too."""
    result, _ = read_in([b"HTTP/1.1 200 OK\r\nX-A: a\r\n \t\r\n b\r\nContent-Length: 0\r\n\r\n"])
    assert result.get_header("X-A").split() == ["a", "b"]


def test_interim_replies_are_passed_on_once():
    """Who is told of interim replies is not told again because a later head is read once more."""
    told = []
    reader = ReplyReader(100)
    reader.expect(head_only=False, interim=lambda: told.append(reader.head(NODE).headers))
    assert not reader.feed(b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n")
    assert told == [[("Link", "a")]]
    assert reader.feed(b"HTTP/1.1 103 Hints\nLink: b\n\n" + BARE)
    assert told == [[("Link", "a")], [("Link", "b")]]


def test_head_only():
    """A reply to HEAD ends with its head, in whatever form that is."""
    reader = ReplyReader(100)
    reader.expect(head_only=True)
    assert reader.feed(BARE.partition(b"\n\n")[0] + b"\n\n")
    assert reader.result(NODE).get_header("Content-Length") == "6"
    assert reader.in_step


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n folded: status\r\nContent-Length: 0\r\n\r\n",
        b"\n HTTP/1.1 200 OK\r\n\r\n",
        b"nonsense\n\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: a\0b\n\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n 2\n\nab",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 1\n\na",
        b"SSH-2.0-OpenSSH_9\n\n",
    ],
)
def test_what_is_wrong_stays_wrong(data):
    """Only the form of the lines is forgiven: the rewritten head is parsed as strictly as any other.

    Section 2.2: space before the first field must not be read as a part of anything.
    """
    with pytest.raises(BadReplyError):
        read_in([data])


def test_a_head_of_foldings_has_a_limit():
    """A head that never ends is refused at the limit of all heads, in a time that grows with its size."""
    reader = ReplyReader(100)
    reader.expect(head_only=False)
    assert not reader.feed(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n")
    for _ in range(HEAD_MAX // 4 - 20):
        assert not reader.feed(b" c\r\n")
    with pytest.raises(BadReplyError, match="that are not body"):
        reader.feed(b" c\r\n" * 20)


class OverSocketsTests(HTTPTestCase):
    async def test_the_connection_is_kept(self):
        """The next request goes over the same connection."""
        server = self.serve(sending(FOLDED))
        pool = self.pool()
        for _ in range(2):
            result = await self.ask(pool, server.url)
            assert (result.get_header("x-a"), result.data) == ("one two three", b"\n a\nbc")
        assert len(server.peers) == 1

    async def test_a_body_that_ends_with_the_connection(self):
        """As CGI programs write it: LF, and no length."""
        result = await self.fetch(
            sending(b"HTTP/1.0 200 OK\nContent-Type: text/plain\n\nhello\n", close=True)
        )
        assert (result.code, result.data) == (200, b"hello\n")
