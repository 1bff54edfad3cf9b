"""A websocket as an app holds it, over a wire without a network."""

import asyncio
from contextlib import nullcontext
from threading import Thread

import pytest
from twisted.internet.defer import Deferred
from wires import FakeWire

from skitai.errors import OperationTimeout
from skitai.websocket.closing import WebSocketClosed
from skitai.websocket.conversation import ConversationLimits, WebSocket
from skitai.websocket.frames import frame_of


@pytest.fixture
def wire():
    return FakeWire()


@pytest.fixture
def ws(world, wire):
    return WebSocket(
        world.bridge, wire, ConversationLimits(inbox_max=1000, outbox_max=1000, send_timeout=0.2)
    )


class TestReceiving:
    def test_messages_in_order(self, apps, ws):
        """What has come is taken in its order, text as str and binary as bytes."""
        ws.received("a")
        ws.received(b"b")
        assert apps.run(lambda: (ws.getwait(), ws.getwait())) == ("a", b"b")

    def test_waiting_for_one(self, world, apps, ws):
        """An app that waits goes on when a message comes, without a timer."""
        waiting = apps.start(ws.getwait)
        world.reactor.turn()
        assert not waiting.done()
        assert world.reactor.getDelayedCalls() == []
        ws.received("a")
        assert apps.finish(waiting) == "a"

    def test_no_message_in_time(self, world, apps, ws):
        """One message that does not come is a time-out; several are none."""
        with pytest.raises(OperationTimeout, match=r"no message came within 0\.01 s"):
            _finish_late(world, apps, apps.start(lambda: ws.getwait(0.01)))
        assert _finish_late(world, apps, apps.start(lambda: ws.getswait(0.01))) == []

    def test_all_that_wait(self, apps, ws):
        """``getswait`` returns everything that is there."""
        for message in ("a", "b", "c"):
            ws.received(message)
        assert apps.run(ws.getswait) == ["a", "b", "c"]

    @pytest.mark.parametrize("take", ["getwait", "getswait"])
    def test_the_end(self, apps, ws, take):
        """What came before the end is still taken; then there is None, again and again."""
        ws.received("a")
        ws.ended(1001, "bye")
        take = getattr(ws, take)
        assert apps.run(lambda: [take(), take(), take()]) in (["a", None, None], [["a"], None, None])
        assert (ws.closed, ws.code, ws.reason) == (True, 1001, "bye")

    def test_the_end_wakes(self, apps, ws):
        """Who waits when the websocket ends gets None."""
        waiting = apps.start(ws.getswait)
        ws.ended(1006, "")
        assert apps.finish(waiting) is None

    def test_iteration(self, apps, ws):
        """A loop has each message, and ends with the websocket."""
        ws.received("a")
        ws.received("b")
        ws.ended(1000, "")
        assert apps.run(lambda: list(ws)) == ["a", "b"]

    def test_nothing_after_an_own_close(self, apps, ws):
        """Who has closed the websocket hears no more, whatever had come."""
        ws.received("a")

        def close():
            ws.close()
            return ws.getswait(), ws.getwait(), list(ws)

        assert apps.run(close) == (None, None, [])

    def test_a_peer_that_sends_too_much(self, apps, ws, wire):
        """It is not read while too much waits for the app, and read again when half is taken."""
        for _ in range(3):
            ws.received("x" * 400)
        assert wire.reading == [False]
        apps.run(ws.getwait)
        assert wire.reading == [False]
        apps.run(ws.getwait)
        assert wire.reading == [False, True]


class TestTimeouts:
    """In a greenlet, one timer serves one wait after the other."""

    def wait(self, apps, ws, timeout):
        """Have a greenlet wait for a message, which comes."""
        waiting = apps.start(lambda: ws.getwait(timeout))
        ws.received("a")
        assert apps.finish(waiting) == "a"

    def test_one_timer(self, world, in_greenlets, ws):
        """It goes on from message to message, and ends a wait in time whenever that began."""
        for _ in range(3):
            self.wait(in_greenlets, ws, 10)
            world.reactor.advance(3)
        assert len(world.reactor.getDelayedCalls()) == 1
        waiting = in_greenlets.start(lambda: ws.getswait(10))
        world.reactor.advance(9)
        assert not waiting.done()
        world.reactor.advance(1)
        assert in_greenlets.finish(waiting) == []

    def test_a_shorter_wait(self, world, in_greenlets, ws):
        """The timer of a long wait does not make a short one longer."""
        self.wait(in_greenlets, ws, 10)
        waiting = in_greenlets.start(lambda: ws.getswait(1))
        world.reactor.advance(1)
        assert in_greenlets.finish(waiting) == []

    def test_a_wait_without_limit(self, world, in_greenlets, ws):
        """The timer of an earlier wait does not end it."""
        self.wait(in_greenlets, ws, 10)
        waiting = in_greenlets.start(ws.getwait)
        world.reactor.advance(11)
        assert not waiting.done()
        ws.received("b")
        assert in_greenlets.finish(waiting) == "b"
        assert world.reactor.getDelayedCalls() == []

    def test_nobody_waits(self, world, in_greenlets, ws):
        """The timer ends by itself, or with the websocket."""
        self.wait(in_greenlets, ws, 10)
        world.reactor.advance(11)
        assert world.reactor.getDelayedCalls() == []
        self.wait(in_greenlets, ws, 10)
        ws.ended(1000, "")
        assert world.reactor.getDelayedCalls() == []


def _finish_late(world, apps, future):
    """Finish what waits for a time-out: in greenlets the fake clock moves."""
    if apps.kind == "greenlet":
        world.reactor.advance(0.02)
    return apps.finish(future)


class TestSending:
    def test_messages(self, apps, ws, wire):
        """Text and bytes leave as they are; what is like bytes, as bytes."""
        apps.run(lambda: [ws.send(message) for message in ("a", b"b", bytearray(b"c"), memoryview(b"d"))])
        assert wire.sent == ["a", b"b", b"c", b"d"]
        assert [type(message) for message in wire.sent] == [str, bytes, bytes, bytes]

    @pytest.mark.parametrize("message", [7, None, ["a"], {"a": 1}])
    def test_what_is_no_message(self, ws, message):
        """Anything else is refused."""
        with pytest.raises(TypeError, match="a message is a str or bytes, not "):
            ws.send(message)

    def test_text_that_is_no_unicode(self, ws, wire):
        """Half of a surrogate pair has no UTF-8: the app is told at once."""
        with pytest.raises(UnicodeEncodeError):
            ws.send("\ud800")
        assert wire.sent == []

    def test_a_slow_peer(self, world, apps, ws, wire):
        """Sending waits while too much waits for the peer, and goes on when that has read all."""
        wire.waiting = 2000
        sending = apps.start(lambda: ws.send("a"))
        world.reactor.turn()
        assert not sending.done()
        wire.waiting = 0
        ws.drained()
        apps.finish(sending)
        assert not wire.aborted

    def test_a_peer_that_reads_nothing(self, world, apps, ws, wire):
        """After the time-out the connection is cut, and the app is told."""
        wire.waiting = 2000
        sending = apps.start(lambda: ws.send("a"))
        if apps.kind == "greenlet":
            world.reactor.advance(0.3)
        with pytest.raises(WebSocketClosed, match=r"the peer read nothing for 0\.2 s"):
            apps.finish(sending)
        assert wire.aborted == 1

    def test_a_peer_that_leaves_meanwhile(self, world, apps, ws, wire):
        """Who waits for a peer that leaves is told at once."""
        wire.waiting = 2000
        sending = apps.start(lambda: ws.send("a"))
        world.reactor.turn()
        ws.ended(1006, "gone")
        with pytest.raises(WebSocketClosed, match=r"closed \(1006: gone\)"):
            apps.finish(sending)

    @pytest.mark.parametrize("act", ["send", "close"])
    def test_a_thread_comes_first(self, world, ws, wire, act):
        """What a thread has sent before the reactor's own thread sends or closes leaves before that."""
        thread = Thread(target=lambda: (ws.send("a"), ws.send(b"b")))
        thread.start()
        thread.join()
        ws.send("c") if act == "send" else ws.close(4000)
        assert wire.sent == ["a", b"b", "c"][: 3 if act == "send" else 2]
        assert wire.closes == ([] if act == "send" else [(4000, "")])
        world.reactor.turn()
        assert len(wire.sent) == (3 if act == "send" else 2)

    def test_the_first_close_counts(self, world, ws, wire):
        """Also where it comes from a thread, and the reactor's own closes before it is told of that."""
        thread = Thread(target=ws.close, args=(4000, "done"))
        thread.start()
        thread.join()
        ws.close()
        world.reactor.turn()
        assert wire.closes[:1] == [(4000, "done")]

    def test_a_thread_that_sends_faster_than_the_reactor_runs(self, world, in_threads, ws):
        """What the reactor has not yet taken counts, too."""
        sending = in_threads.start(lambda: [ws.send("x" * 600) for _ in range(4)])
        while not world.reactor.posted:
            pass
        assert ws._outgoing() <= 1200
        assert len(in_threads.finish(sending)) == 4

    def test_after_the_end(self, ws):
        """Nothing can be sent on a closed websocket."""
        ws.ended(1001, "")
        with pytest.raises(WebSocketClosed) as caught:
            ws.send("a")
        assert caught.value.close_code == 1001


class TestClosing:
    def test_code_and_reason(self, apps, ws, wire):
        """They go to the peer; from then on nothing can be sent."""
        apps.run(lambda: ws.close(4000, "enough"))
        assert wire.closes == [(4000, "enough")]
        with pytest.raises(WebSocketClosed):
            ws.send("a")

    @pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000])
    def test_codes_that_are_not_sent(self, ws, code):
        """RFC 6455, section 7.4, says which codes a close frame may have."""
        with pytest.raises(ValueError, match=f"cannot have the code {code}"):
            ws.close(code)

    def test_a_long_reason(self, ws):
        """A control frame has room for 123 bytes of it."""
        ws.close(1000, "é" * 61)
        with pytest.raises(ValueError, match="at most 123 bytes"):
            ws.close(1000, "é" * 62)

    @pytest.mark.parametrize(("error", "code"), [(None, 1000), (KeyError, 1001)])
    def test_with(self, ws, wire, error, code):
        """The end of a block closes the websocket."""

        def block():
            with ws:
                if error:
                    raise error

        with pytest.raises(error) if error else nullcontext():
            block()
        assert wire.closes == [(code, "")]

    def test_who_wants_to_know(self, world, ws):
        """Functions are called once, at the end or soon after it, and only the last of each owner."""
        called = []
        ws.at_close("a", lambda: called.append(1))
        ws.at_close("a", lambda: called.append(2))
        ws.at_close("b", lambda: called.append(3))
        ws.not_at_close("b")
        ws.ended(1000, "")
        assert called == [2]
        ws.at_close("c", lambda: called.append(4))
        world.reactor.turn()
        assert called == [2, 4]


class TestDelivering:
    def test_a_frame_for_many(self, ws, wire):
        """It is sent as it is."""
        frame = frame_of("a")
        ws.deliver(frame)
        assert wire.sent[0] is frame

    def test_a_slow_member(self, ws, wire):
        """Who does not read is cut off, and nobody waits."""
        wire.waiting = 1001
        ws.deliver(b"")
        assert (wire.sent, wire.aborted) == ([], 1)

    def test_a_member_that_has_left(self, ws, wire):
        """Nothing is sent to it."""
        ws.ended(1000, "")
        ws.deliver(b"")
        assert wire.sent == []


@pytest.mark.parametrize(
    ("message", "head"),
    [
        ("", b"\x81\x00"),
        (b"", b"\x82\x00"),
        ("é", b"\x81\x02"),
        (b"x" * 125, b"\x82\x7d"),
        (b"x" * 126, b"\x82\x7e\x00\x7e"),
        (b"x" * 65535, b"\x82\x7e\xff\xff"),
        (b"x" * 65536, b"\x82\x7f" + (65536).to_bytes(8, "big")),
    ],
)
def test_frames(message, head):
    """RFC 6455, section 5.2: the shortest of three lengths, no mask from a server."""
    payload = message.encode() if isinstance(message, str) else message
    assert frame_of(message) == head + payload


class TestCoroutines:
    """A coroutine of the reactor: nothing in it may wait but by ``await``."""

    def test_messages(self, world, ws, wire):
        """``async for`` has each message."""

        async def echo():
            async for message in ws:
                await ws.send(f"<{message}>")
            return "over"

        running = Deferred.fromCoroutine(echo())
        ws.received("a")
        world.reactor.turn()
        ws.received("b")
        world.reactor.turn()
        assert wire.sent == ["<a>", "<b>"]
        ws.ended(1000, "")
        world.reactor.turn()
        assert running.result == "over"
        assert world.reactor.getDelayedCalls() == []

    def test_no_message_in_time(self, world, ws):
        """``receive`` has a time-out."""
        running = Deferred.fromCoroutine(ws.receive(2))
        world.reactor.advance(2)
        running.addErrback(lambda failure: failure.trap(OperationTimeout))
        assert running.result is OperationTimeout

    def test_a_slow_peer(self, world, ws, wire):
        """``await`` waits for the peer."""
        wire.waiting = 2000

        async def send():
            await ws.send("a")

        running = Deferred.fromCoroutine(send())
        assert not running.called
        wire.waiting = 0
        ws.drained()
        world.reactor.turn()
        assert running.called

    def test_in_asyncio(self, world, in_threads, ws, wire):
        """A coroutine that an app's asyncio loop runs in a thread does the same."""

        async def echo():
            async with ws:
                async for message in ws:
                    await ws.send(message)

        running = in_threads.start(lambda: asyncio.run(echo()))
        ws.received("a")
        while not wire.sent:
            world.reactor.turn()
        ws.ended(1000, "")
        in_threads.finish(running)
        assert wire.sent == ["a"]
