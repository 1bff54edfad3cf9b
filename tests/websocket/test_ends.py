"""How websockets end, and that nothing is told twice or after that."""

import gc
import weakref

import pytest
from endpoints import Endpoint, binary, close, frame, ping, text

from skitai.websocket.protocol import ClientWire


class TestOurClose:
    def test_what_was_sent_leaves_before_it(self):
        """In order, in one go."""
        endpoint = Endpoint()
        endpoint.wire.send("one")
        endpoint.wire.close(4001, "done")
        endpoint.wire.send("dropped")
        endpoint.wire.send_frame(b"\x81\x00")
        endpoint.wire.close(1000, "again")
        assert endpoint.sent() == [(0x81, b"one"), (0x88, b"\x0f\xa1done")]
        endpoint.feed(close(4001))
        assert endpoint.end == (4001, "done")
        assert endpoint.hung_up

    @pytest.mark.parametrize(
        ("answer", "end"),
        [
            (close(4001, "done"), (4001, "done")),
            (close(3000, "other"), (3000, "other")),
            (close(), (1005, "")),
            (close(1005), (1002, "a close frame cannot have the code 1005")),
        ],
    )
    def test_the_peer_answers(self, answer, end):
        """Its code counts, ours where it repeats it."""
        endpoint = Endpoint()
        endpoint.wire.close(4001, "done")
        endpoint.feed(answer)
        assert endpoint.end == end
        assert len(endpoint.sent()) == 1

    @pytest.mark.parametrize("kind", [Endpoint, lambda: Endpoint(ClientWire)])
    def test_what_comes_meanwhile_is_dropped(self, kind):
        """Whole messages, fragments, pings and broken frames."""
        mask = None if isinstance(kind().wire, ClientWire) else b"mask"
        endpoint = kind()
        endpoint.wire.close()
        data = text("x", mask=mask) + text("y", fin=False, mask=mask) + ping(mask=mask)
        data += frame(5, rsv=7, mask=mask) + close(1000, mask=mask)
        endpoint.feed(*(bytes([byte]) for byte in data))
        assert endpoint.messages == []
        assert endpoint.end == (1000, "")
        assert len(endpoint.sent()) == 1

    def test_within_a_fragmented_message(self):
        """The rest of a frame that has begun is skipped."""
        endpoint = Endpoint().feed(binary("x", fin=False), frame(0, b"\x88\x80" * 50)[:20])
        endpoint.wire.close()
        endpoint.feed(frame(0, b"\x88\x80" * 50)[20:], close(1000))
        assert endpoint.end == (1000, "")

    def test_while_reading_is_paused(self):
        """The answer is read; what waited before it is dropped."""
        endpoint = Endpoint()
        endpoint.wire.read_on(False)
        endpoint.feed(text("x") + text("y")[:3])
        endpoint.wire.close()
        assert endpoint.transport.producerState == "producing"
        endpoint.wire.read_on(False)
        assert endpoint.transport.producerState == "producing"
        endpoint.feed(text("y")[3:] + close(1000))
        assert endpoint.messages == []
        assert endpoint.end == (1000, "")

    def test_a_long_reason_is_cut(self):
        """Between characters, so that the frame is valid."""
        endpoint = Endpoint()
        endpoint.wire.close(1000, "ß" * 100)
        ((_, payload),) = endpoint.sent()
        assert payload[2:].decode() == "ß" * 61

    def test_the_server_stops(self):
        """The peer is told that we go away."""
        endpoint = Endpoint()
        endpoint.wire.stop()
        assert endpoint.sent() == [(0x88, b"\x03\xe9")]


class TestListener:
    def test_it_closes_in_the_middle(self):
        """What follows in the same read is dropped."""
        endpoint = Endpoint()
        endpoint.listener.received = lambda message: endpoint.wire.close(3000, message)
        endpoint.feed(text("a") + text("b") + close(3000))
        assert endpoint.end == (3000, "a")

    def test_it_aborts_in_the_middle(self):
        """It is told of 1006 at once, and of nothing more."""
        endpoint = Endpoint()
        endpoint.listener.received = lambda message: endpoint.wire.abort()
        endpoint.feed(text("a") + text("b") + text("c", fin=False), frame(0) + close(1000))
        assert endpoint.end == (1006, "the connection was cut")
        assert endpoint.transport.aborted
        endpoint.lose()
        endpoint.wire.abort()

    @pytest.mark.parametrize("data", [text("a"), text("a", fin=False) + frame(0)])
    def test_it_raises(self, data):
        """Its websocket ends with 1011, and the closing handshake goes on."""
        endpoint = Endpoint()
        endpoint.listener.received = lambda message: 1 / 0
        endpoint.feed(data + text("b"), close(1011))
        assert endpoint.end == (1011, "")
        assert endpoint.sent() == [(0x88, b"\x03\xf3")]
        assert endpoint.hung_up

    def test_it_pauses_in_the_middle(self):
        """It gets nothing more until it wants it, and then all, in order."""
        endpoint = Endpoint()
        taken = []

        def take(message):
            taken.append(message)
            endpoint.wire.read_on(False)

        endpoint.listener.received = take
        endpoint.feed(text("a") + text("b", fin=False) + frame(0, "c") + ping(b"p") + binary(b"d")[:5])
        assert taken == ["a"]
        assert endpoint.transport.producerState == "paused"
        endpoint.wire.read_on(True)
        assert taken == ["a", "bc"]
        assert endpoint.sent() == []
        endpoint.wire.read_on(True)
        assert endpoint.sent() == [(0x8A, b"p")]
        assert endpoint.transport.producerState == "producing"
        endpoint.feed(binary(b"d")[5:])
        assert taken == ["a", "bc", b"d"]

    def test_it_pauses_and_resumes_at_once(self):
        """As a conversation does when its app is fast."""
        endpoint = Endpoint()
        taken = []

        def take(message):
            endpoint.wire.read_on(False)
            endpoint.wire.read_on(True)
            taken.append(message)

        endpoint.listener.received = take
        endpoint.feed(text("a") + text("b") + text("c"))
        assert taken == ["a", "b", "c"]


class TestLoss:
    def test_a_lost_connection(self):
        """It is told as 1006, with the reason; the watch forgets it."""
        endpoint = Endpoint(keep_alive=10).feed(text("x", fin=False))
        endpoint.wire.send("unsent")
        endpoint.lose()
        assert endpoint.end == (1006, "the connection was lost: Connection was closed cleanly.")
        assert endpoint.wire.waiting == 0
        endpoint.clock.pump([0.25] * 80)
        endpoint.wire.send("x")
        endpoint.wire.close()
        endpoint.wire.read_on(False)
        endpoint.wire.read_on(True)
        assert endpoint.clock.getDelayedCalls() == []

    def test_after_the_end_there_is_nothing_to_tell(self):
        """The connection ends after the closing handshake."""
        endpoint = Endpoint().feed(close(1000))
        endpoint.lose()
        assert endpoint.end == (1000, "")

    def test_during_our_close(self):
        """Without an answer it is no proper end."""
        endpoint = Endpoint()
        endpoint.wire.close()
        endpoint.lose()
        assert endpoint.end[0] == 1006

    def test_nothing_holds_a_websocket_that_is_over(self):
        """Wire and listener are freed by counting references, without the collector."""
        gc.disable()
        try:
            endpoint = Endpoint()
            endpoint.feed(text("x", fin=False))
            gone = weakref.ref(endpoint.listener)
            endpoint.lose()
            del endpoint.listener
            assert gone() is None
        finally:
            gc.enable()


class TestFloods:
    def test_pings_of_a_peer_that_reads_nothing(self):
        """Only the last of them is answered, so nothing piles up."""
        endpoint = Endpoint()
        endpoint.wire._out.pauseProducing()
        for number in range(10_000):
            endpoint.feed(ping(b"%d" % number))
        assert endpoint.wire.waiting < 100
        endpoint.wire._out.resumeProducing()
        assert endpoint.sent()[-1] == (0x8A, b"9999")
        assert len(endpoint.sent()) == 0

    def test_many_empty_fragments(self):
        """They are not kept."""
        endpoint = Endpoint(message_max=1000).feed(text("a", fin=False))
        endpoint.feed(frame(0, fin=False) * 50_000)
        assert len(endpoint.wire._core._message) == 1
        endpoint.feed(frame(0, "b"))
        assert endpoint.messages == ["ab"]

    def test_autobahn_is_let_go_of(self):
        """Its reader takes more memory than all the rest, so an idle websocket has none."""
        endpoint = Endpoint(ping_interval=20.0, ping_timeout=0.0).feed(text("x", fin=False))
        endpoint.clock.pump([0.25] * 90)
        assert endpoint.wire._core is not None
        endpoint.feed(frame(0))
        endpoint.clock.pump([0.25] * 90)
        assert endpoint.wire._core is None
        endpoint.feed(text("y", fin=False) + frame(0))
        assert endpoint.messages == ["x", "y"]
