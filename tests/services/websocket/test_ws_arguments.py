"""What apps give to was.ws, and what is wrong with it."""

import copy
import pickle

import pytest
from ws_fakes import URL, Client

from skitai.services.websocket.messages import message_of
from skitai.services.websocket.opening import RefusedError
from skitai.services.websocket.result import WebSocketResult
from skitai.websocket.closing import WebSocketClosed


@pytest.mark.parametrize(
    ("message", "encoding", "sent"),
    [
        ("text \u00fc", None, "text \u00fc"),
        (b"\xff", None, b"\xff"),
        (bytearray(b"a"), None, b"a"),
        (memoryview(b"a"), None, b"a"),
        ("\u00fc", "binary", b"\xc3\xbc"),
        (b"\xc3\xbc", "text", "\u00fc"),
        (b"a", 1, "a"),
        ("a", 2, b"a"),
        ("", None, ""),
    ],
)
def test_messages(message, encoding, sent):
    """A str goes as text and bytes as binary, unless the encoding says otherwise."""
    found = message_of(message, encoding)
    assert found == sent
    assert type(found) is type(sent)


@pytest.mark.parametrize(
    ("message", "encoding", "words"),
    [
        (None, None, "message must be str or bytes, not NoneType"),
        ({"a": 1}, None, "message must be str or bytes, not dict: write was.tojson(...)"),
        (b"\xff", "text", "message is to be sent as text, but is not UTF-8"),
        ("\ud800", None, "message holds a lone surrogate"),
        ("\ud800", "binary", "message holds a lone surrogate"),
        ("a", "utf-8", "encoding must be 'text', 'binary' or an opcode, 1 or 2, not 'utf-8'"),
        ("a", 8, "encoding must be 'text', 'binary' or an opcode, 1 or 2, not 8"),
        ("a", ["text"], "encoding must be 'text', 'binary' or an opcode, 1 or 2, not ['text']"),
    ],
)
def test_wrong_messages(message, encoding, words):
    """The error names the argument."""
    with pytest.raises((TypeError, ValueError)) as caught:
        message_of(message, encoding)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("url", "label", "tls", "target"),
    [
        ("ws://search.test", "search.test:80", False, "/"),
        ("wss://search.test/a?b=c#d", "search.test:443", True, "/a?b=c"),
        ("WS://search.test:8080/a", "search.test:8080", False, "/a"),
        ("http://search.test/a", "search.test:80", False, "/a"),
        ("https://[::1]:1/\u00fc", "[::1]:1", True, "/%C3%BC"),
    ],
)
def test_urls(url, label, tls, target):
    """The schemes of websockets and of HTTP name the same hosts."""
    client = Client()
    client.ws(url, "a")
    (dialed,) = client.dialed
    assert (dialed.node.label, dialed.node.tls) == (label, tls)
    assert (dialed.opening.request.method, dialed.opening.request.target) == ("GET", target)


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, "was.ws() missing 2 required positional arguments: 'uri' and 'message'"),
        ((URL,), {}, "was.ws() missing 1 required positional argument: 'message'"),
        ((URL, "a"), {"form": 1}, "was.ws() got an unexpected keyword argument 'form'"),
        ((7, "a"), {}, "uri must be a str, not int"),
        (("search.test/a", "a"), {}, "uri has no scheme: write 'ws://host/path'"),
        (("ftp://search.test/a", "a"), {}, "'ftp' is not supported: only 'ws', 'wss', 'http' and 'https'"),
        (("ws://me:secret@search.test/", "a"), {}, "give auth=(user, password)"),
        (("ws:///a", "a"), {}, "has no host"),
        ((URL, "a", 7), {}, "auth must be"),
        ((URL, "a"), {"headers": {"Upgrade": "x"}}, "'Upgrade' is set by the client itself"),
        (
            (URL, "a"),
            {"headers": {"Sec-WebSocket-Protocol": "x"}},
            "'Sec-WebSocket-Protocol' is set by the client itself: write subprotocols=(...)",
        ),
        ((URL, "a"), {"headers": {"sec-websocket-key": "x"}}, "is set by the client itself: leave it out"),
        ((URL, "a"), {"subprotocols": "chat"}, "subprotocols must be a list of names, not 'chat'"),
        ((URL, "a"), {"subprotocols": ["a b"]}, "subprotocols: 'a b' is not a name that a header can hold"),
        ((URL, "a"), {"subprotocols": ["a", "A"]}, "subprotocols: a name stands twice in ('a', 'A')"),
        ((URL, "a"), {"follow": -1}, "follow must be a number of redirects"),
        ((URL, "a"), {"filter": 7}, "filter must be callable"),
    ],
)
def test_wrong_arguments(args, options, words):
    """The app is told at once, in the words that it wrote, and nobody is asked."""
    client = Client()
    with pytest.raises((TypeError, ValueError)) as caught:
        client.ws(*args, **options)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert client.dialed == []


def test_results():
    """A result has the reply as it came, and one header, as the original had it."""
    client = Client()
    wire = client.exchanged()
    for message, opcode in (("\u00fc", "1"), (b"\xff{}", "2")):
        call = client.ws(URL, "a")
        wire.come(message)
        result = call.getwait()
        assert (result.status, result.code, result.msg, result.data) == (3, 200, "OK", message)
        assert type(result.data) is type(message)
        assert (result.headers, result.get_header("opcode")) == ([("OPCODE", opcode)], opcode)
        assert (result.url, result.node.label) == (URL, "search.test:80")
    assert WebSocketResult('{"a": 1}').json() == WebSocketResult(b'{"a": 1}').json() == {"a": 1}
    assert WebSocketResult(b"\xff{}").text == "\ufffd{}"
    with pytest.raises(ValueError, match="nested too deep"):
        WebSocketResult("[" * 100_000).json()


@pytest.mark.parametrize(
    "error",
    [WebSocketClosed(1011, "boom"), RefusedError("no", code=403, headers=[("A", "b")], node="a:80")],
)
def test_errors(error):
    """A failure can be copied, as FakeWas and other processes do."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert (str(twin), vars(twin)) == (str(error), vars(error))


def test_the_cache_tells_messages_apart():
    """A kept result answers the same message with the same opening, and no other."""
    client = Client()
    make = client.service.operation
    same = [make(URL, "a"), make(URL, b"a", encoding="text")]
    others = [
        make(URL, "b"),
        make(URL, b"a"),
        make(URL + "?b", "a"),
        make(URL, "a", subprotocols=["chat"]),
        make(URL, "a", headers={"X-A": "b"}),
        make(URL, "a", ("me", "secret")),
    ]
    assert same[0].cache_key == same[1].cache_key
    assert len({one.cache_key for one in (*same, *others)}) == 1 + len(others)
    assert "secret" not in repr([one.cache_key for one in others])
    assert [make(URL, "a", idempotent=yes).idempotent for yes in (False, True)] == [False, True]
