"""Which websocket a message gets, when one is sent again, and what time-outs and closing leave behind."""

import socket

import pytest
from ws_fakes import URL, Client, FakeWire

from skitai.errors import OperationError, UnsentError
from skitai.services.websocket.opening import RefusedError
from skitai.websocket.closing import WebSocketClosed

OTHER = "ws://search.test/other"


def test_one_websocket_for_one_message_after_the_other():
    """A websocket carries the next message, also one that is sent in a callback."""
    client = Client()
    wire = client.exchanged()
    first = client.ws(URL, "second")
    second = first.deferred().addCallback(lambda _: client.ws(URL, "third").deferred())
    wire.come("a")
    wire.come("b")
    assert second.result.data == "b"
    assert (len(client.dialed), wire.sent) == (1, ["first", "second", "third"])
    assert client.pool.reused == 2


def test_one_message_at_a_time():
    """Messages at the same time have websockets of their own, so that each gets its own reply."""
    client = Client()
    calls = [client.ws(URL, text) for text in "ab"]
    wires = [dialed.open() for dialed in client.dialed]
    wires[1].come("B")
    wires[0].come("A")
    assert [call.getwait().data for call in calls] == ["A", "B"]
    assert client.counts() == {"open": 2, "idle": 2, "in_use": 0, "waiting": 0}


def test_different_openings():
    """Path, headers, login and subprotocols belong to a websocket."""
    client = Client()
    client.exchanged()
    for url, options in [
        (OTHER, {}),
        (URL, {"headers": {"X-A": "b"}}),
        (URL, {"auth": ("me", "secret")}),
        (URL, {"subprotocols": ["chat"]}),
    ]:
        client.exchanged(url, **options)
    assert len(client.dialed) == 5
    client.ws(URL, "again", headers=[("X-A", "b")])
    assert len(client.dialed) == 5


def test_a_message_that_nobody_asked_for():
    """It closes the idle websocket, and is no reply to the next message."""
    client = Client()
    wire = client.exchanged()
    wire.come("news")
    assert wire.closed == 1000
    wire.come("more news")
    call = client.ws(URL, "second")
    new = client.dialed[1].open()
    new.come("reply")
    assert call.getwait().data == "reply"
    assert client.pool.open == 1
    wire.end(1000)
    assert client.pool.open == 1


def test_a_reply_too_many():
    """What comes in one read with the reply answers no other message, not even one that waits already."""
    client = Client(connections=1)
    call, waiting = client.ws(URL, "a"), client.ws(URL, "b")
    wire = client.dialed[0].open()
    wire.come("A", "more")
    assert (call.getwait().data, wire.sent, wire.closed) == ("A", ["a"], 1000)
    client.dialed[1].open().come("B")
    assert waiting.getwait().data == "B"
    assert client.pool.open == 1


def test_a_close_behind_the_reply():
    """The reply counts, and the websocket is not used again."""
    client = Client()
    call = client.ws(URL, "a")
    wire = client.dialed[0].open()
    wire.listener.received("A")
    wire.end(1001)
    assert call.getwait().data == "A"
    assert client.counts()["open"] == 0
    client.ws(URL, "b")
    assert len(client.dialed) == 2


@pytest.mark.parametrize("early", [lambda wire: wire.come("hello"), lambda wire: wire.end(1013, "full")])
def test_a_server_that_speaks_first(early):
    """What comes behind the handshake is no reply either."""
    client = Client()
    call = client.ws(URL, "first")
    wire = client.dialed[0].open(early=early)
    result = call.getwait()
    assert (result.status, result.code) == (2, 708)
    assert result.msg == "search.test:80 does not wait for a message: use was.ws.connect()"
    assert isinstance(result.error, UnsentError)
    assert wire.sent == []
    assert client.pool.open == 0


@pytest.mark.parametrize("kind", ["closed", "a message"])
def test_something_to_read(kind):
    """A websocket whose socket has something to read is not used: it could be the close."""
    client = Client()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        call = client.ws(URL, "first")
        wire = client.dialed[0].open(FakeWire(ours))
        wire.come("reply")
        assert call.getwait().data == "reply"
        if kind == "closed":
            theirs.close()
        else:
            theirs.send(b"\x81\x01a")
        client.ws(URL, "second")
    assert (len(client.dialed), wire.sent, wire.closed) == (2, ["first"], 1000)


def test_closed_while_idle():
    """A websocket that ended in the pool is not used."""
    client = Client()
    client.exchanged().end(1001, "bye")
    client.ws(URL, "second")
    assert len(client.dialed) == 2
    assert client.counts()["open"] == 1


def test_a_stale_websocket():
    """If a reused one ends before the reply, what may be repeated is sent once more over a new one."""
    client = Client()
    wire = client.exchanged()
    call = client.ws(URL, "second", idempotent=True)
    wire.end(1001, "idle")
    new = client.dialed[1].open()
    assert new.sent == ["second"]
    new.come("reply")
    assert call.getwait().data == "reply"
    assert (client.pool.repeated, client.pool.errors) == (1, 0)
    call = client.ws(URL, "third", idempotent=True)
    new.end()
    client.dialed[2].open().end()
    assert call.getwait().code == 700
    assert len(client.dialed) == 3


def test_what_may_not_be_repeated():
    """The server may have read the message: nobody but the app knows whether that matters."""
    client = Client()
    wire = client.exchanged()
    call = client.ws(URL, "second")
    wire.end(1001, "idle")
    assert (call.getwait().code, len(client.dialed)) == (700, 1)


@pytest.mark.parametrize(("code", "reason"), [(1011, "boom"), (1006, ""), (4000, "bad")])
def test_closed_instead_of_a_reply(code, reason):
    """A close in the place of the reply is a failed result, with the close code in its text."""
    client = Client()
    call = client.ws(URL, "first")
    client.dialed[0].open().end(code, reason)
    result = call.getwait()
    assert (result.status, result.code, result.data) == (2, 700, b"")
    assert result.msg == f"the websocket is closed ({code}{': ' if reason else ''}{reason})"
    assert (result.error.close_code, result.error.reason) == (code, reason)
    assert result.node.label == "search.test:80"
    with pytest.raises(WebSocketClosed):
        result.reraise()
    assert client.counts()["open"] == 0


def test_a_deadline():
    """A websocket whose reply came too late would give it to another message: it is dropped."""
    client = Client()
    wire = client.exchanged()
    call = client.ws(URL, "second")
    assert (call.getwait(2).code, wire.aborted) == (702, True)
    wire.come("late")
    wire.end()
    assert client.counts() == {"open": 0, "idle": 0, "in_use": 0, "waiting": 0}
    call = client.ws(URL, "third")
    assert (call.getwait(2).code, client.dialed[1].cancelled) == (702, True)
    assert client.counts()["open"] == 0


def test_limits_of_a_host():
    """Beyond the limits messages wait in order, and the next one fails at once."""
    client = Client(connections=1, waiting=2)
    wire = client.exchanged()
    calls = [client.ws(URL, text) for text in "abc"]
    refused = client.ws(URL, "d").getwait(0)
    assert (refused.code, refused.msg) == (
        701,
        "2 messages wait for a websocket to search.test:80 already",
    )
    assert client.counts() == {"open": 1, "idle": 0, "in_use": 1, "waiting": 2}
    assert calls[1].getwait(0).code == 702
    wire.come("A")
    wire.come("C")
    assert [call.getwait().data for call in (calls[0], calls[2])] == ["A", "C"]
    assert (len(client.dialed), wire.sent) == (1, ["first", "a", "c"])


def test_a_place_for_another_opening():
    """An idle websocket makes way for one that is needed; one that is used, when it is its turn."""
    client = Client(connections=1)
    idle = client.exchanged()
    other = client.ws(OTHER, "a")
    assert idle.closed == 1000
    wire = client.dialed[1].open()
    again = client.ws(URL, "b")
    later = client.ws(OTHER, "c")
    wire.come("A")
    assert (other.getwait().data, wire.closed) == ("A", 1000)
    client.dialed[2].open().come("B")
    assert again.getwait().data == "B"
    client.dialed[3].open().come("C")
    assert later.getwait().data == "C"
    assert client.pool.open == 1


def test_limit_of_all_hosts():
    """Where all places are taken, an idle websocket of any host makes way, or the next one waits."""
    client = Client(total=1)
    idle = client.exchanged()
    call = client.ws("ws://other.test/", "a")
    assert idle.closed == 1000
    waiting = client.ws(URL, "b")
    assert len(client.dialed) == 2
    wire = client.dialed[1].open()
    wire.come("A")
    assert (call.getwait().data, wire.closed) == ("A", 1000)
    client.dialed[2].open().come("B")
    assert waiting.getwait().data == "B"
    assert client.pool.open == 1


def test_idle_websockets():
    """They are kept up to a number, and for a time."""
    client = Client(idle=1, idle_seconds=10)
    calls = [client.ws(URL, text) for text in "ab"]
    wires = [dialed.open() for dialed in client.dialed]
    for wire in wires:
        wire.come("reply")
    assert [call.getwait().data for call in calls] == ["reply"] * 2
    assert [wire.closed for wire in wires] == [None, 1000]
    client.reactor.pump([1] * 9)
    assert client.counts()["idle"] == 1
    client.reactor.pump([1] * 2)
    assert (client.counts()["open"], wires[0].closed) == (0, 1000)
    wires[0].end(1000)
    client.reactor.pump([1] * 2)
    assert client.reactor.getDelayedCalls() == []


def test_failures_of_the_handshake():
    """What prevented the websocket is the failure; the next message tries again."""
    client = Client()
    call = client.ws(URL, "a")
    client.dialed[0].fail(UnsentError("refused", code=701))
    assert (call.getwait().code, client.pool.open, client.pool.errors) == (701, 0, 1)
    call = client.ws(URL, "a")
    headers = [("WWW-Authenticate", "Basic")]
    client.dialed[1].fail(RefusedError("no websocket", code=401, headers=headers))
    result = call.getwait()
    assert (result.status, result.code, result.headers) == (2, 401, headers)
    with pytest.raises(OperationError) as caught:
        result.reraise()
    assert (caught.value.code, caught.value.url) == (401, URL)


def test_the_stop():
    """Everything fails with 705, peers are told 1001, and the Deferred waits for the sockets."""
    client = Client(connections=2)
    idle = client.exchanged()
    calls = [client.ws(URL, text) for text in "ab"]
    waiting = client.ws(URL, "c")
    done = client.pool.close()
    assert [call.getwait(0).code for call in (*calls, waiting)] == [705] * 3
    assert client.dialed[1].cancelled
    assert idle.closed == 1001
    assert not done.called
    idle.end(1001)
    assert done.called
    assert client.ws(URL, "d").getwait(0).code == 705
    assert client.reactor.getDelayedCalls() == []


def test_a_peer_that_does_not_answer_the_close():
    """The stop does not wait for it for long."""
    client = Client()
    wire = client.exchanged()
    done = client.pool.close()
    client.reactor.advance(1)
    assert wire.aborted
    wire.end()
    assert done.called
    assert client.pool.close().called


CLUSTER = {"search": ["a.test", "b.test"]}


def test_clusters():
    """``lb`` takes turns, ``map`` asks all."""
    client = Client(CLUSTER)
    calls = [client.ws.lb("@search/find", "q") for _ in range(2)]
    for dialed in client.dialed:
        assert dialed.opening.request.target == "/find"
        dialed.open().come(dialed.node.host)
    assert {call.getwait().data for call in calls} == {"a.test", "b.test"}
    group = client.ws.map("@search/find", "q")
    assert len(client.dialed) == 2
    assert {dialed.node.host for dialed in client.dialed} == {"a.test", "b.test"}
    assert len(group.calls) == 2


@pytest.mark.parametrize(("code", "asked"), [(503, 2), (502, 2), (403, 1), (404, 1), (500, 1)])
def test_a_member_that_refuses(code, asked):
    """If it cannot serve now, another member is asked: nothing was sent. A no of the app is an answer."""
    client = Client(CLUSTER)
    client.ws.lb("@search/find", "q")
    client.dialed[0].fail(RefusedError("no websocket", code=code))
    assert len(client.dialed) == asked
    states = [member.failures for member in client.harness.clusters["search"].members]
    assert sorted(states) == [0, asked - 1]


@pytest.mark.parametrize(
    ("code", "failures", "repeats"), [(1006, 1, True), (1001, 1, True), (1011, 0, False), (4000, 0, False)]
)
def test_a_member_that_closes(code, failures, repeats):
    """One that is lost or goes away rests; what it had read is not sent to another, unless it may be."""
    for idempotent in (False, True):
        client = Client(CLUSTER)
        client.ws.lb("@search/find", "q", idempotent=idempotent)
        client.dialed[0].open().end(code)
        assert len(client.dialed) == 1 + (idempotent and repeats)
        states = [member.failures for member in client.harness.clusters["search"].members]
        assert sorted(states) == [0, failures]
