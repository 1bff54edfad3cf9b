"""Time-outs, with a fake clock: pings, idle websockets, and ends that do not come."""

import pytest
from endpoints import Endpoint, binary, close, frame, ping, pong, text

from skitai.config.websocket import WEBSOCKET_KEYS
from skitai.websocket.protocol import ClientWire
from skitai.websocket.settings import WebSocketSettings

PING = (0x89, b"")
TIMES = {"ping_interval": 20.0, "ping_timeout": 10.0}


def pass_time(endpoint, seconds):
    """Let time pass in steps, as in a reactor that is not blocked."""
    end = endpoint.clock.seconds() + seconds
    while endpoint.clock.seconds() < end:
        endpoint.clock.advance(min(0.25, end - endpoint.clock.seconds()))


class TestPings:
    def test_a_peer_that_answers_lives(self):
        """It is pinged every interval."""
        endpoint = Endpoint(**TIMES)
        for _ in range(5):
            pass_time(endpoint, 19)
            assert endpoint.sent() == []
            pass_time(endpoint, 1)
            assert endpoint.sent() == [PING]
            endpoint.feed(pong())
        assert endpoint.end is None

    def test_a_peer_that_is_silent_is_cut_off(self):
        """Within the time-out after the ping, and the listener learns why."""
        endpoint = Endpoint(**TIMES)
        pass_time(endpoint, 29.5)
        assert endpoint.end is None
        pass_time(endpoint, 1)
        assert endpoint.end == (1006, "the peer sent nothing for 10 s after a ping")
        assert endpoint.transport.aborted
        endpoint.lose()
        assert endpoint.clock.getDelayedCalls() == []

    def test_anything_is_as_good_as_a_pong(self):
        """Such as a part of a long message."""
        endpoint = Endpoint(**TIMES)
        data = binary(b"x" * 100_000)
        for at in range(0, 1000, 100):
            endpoint.feed(data[at : at + 100])
            pass_time(endpoint, 9)
        assert endpoint.end is None

    def test_a_time_out_longer_than_the_interval(self):
        """The next ping comes when the last one is settled."""
        endpoint = Endpoint(ping_interval=5.0, ping_timeout=20.0)
        for _ in range(3):
            pass_time(endpoint, 20)
            endpoint.feed(pong())
        assert endpoint.end is None
        pass_time(endpoint, 50)
        assert endpoint.end is not None

    def test_no_pings(self):
        """With an interval of 0 there is no timer at all."""
        endpoint = Endpoint(ping_interval=0.0)
        endpoint.clock.advance(0)
        assert endpoint.clock.getDelayedCalls() == []

    def test_pings_that_need_no_answer(self):
        """They keep a proxy from cutting the connection."""
        endpoint = Endpoint(ping_interval=10.0, ping_timeout=0.0)
        pass_time(endpoint, 100)
        assert endpoint.sent() == [PING] * 10
        assert endpoint.end is None

    def test_a_client_pings_too(self):
        """With a mask."""
        endpoint = Endpoint(ClientWire, **TIMES)
        pass_time(endpoint, 20)
        data = endpoint.sent_bytes()
        assert data[:2] == b"\x89\x80"
        assert len(data) == 6

    def test_a_peer_that_we_do_not_read_may_be_silent(self):
        """What it has sent waits in the kernel; it has time again when reading goes on."""
        endpoint = Endpoint(**TIMES)
        pass_time(endpoint, 19)
        endpoint.wire.read_on(False)
        pass_time(endpoint, 100)
        assert endpoint.end is None
        endpoint.wire.read_on(True)
        pass_time(endpoint, 9)
        assert endpoint.end is None
        pass_time(endpoint, 31)
        assert endpoint.end is not None

    def test_a_reactor_that_was_blocked(self):
        """What the peer has sent meanwhile is read before it is judged."""
        endpoint = Endpoint(**TIMES)
        pass_time(endpoint, 21)
        endpoint.clock.advance(60)
        assert endpoint.end is None
        endpoint.feed(pong())
        pass_time(endpoint, 5)
        assert endpoint.end is None


class TestKeepAlive:
    def test_an_idle_websocket_is_closed(self):
        """Pings and pongs are no messages."""
        endpoint = Endpoint(keep_alive=30, **TIMES)
        for _ in range(3):
            pass_time(endpoint, 9.5)
            endpoint.feed(ping())
        assert endpoint.end is None
        endpoint.sent()
        pass_time(endpoint, 2)
        assert endpoint.sent() == [(0x88, b"\x03\xe8idle")]
        endpoint.feed(close(1000))
        assert endpoint.end == (1000, "idle")

    def test_messages_keep_it_open(self):
        """In either direction, whole or in fragments."""
        endpoint = Endpoint(keep_alive=30, ping_interval=0.0)
        for _ in range(3):
            pass_time(endpoint, 29)
            endpoint.feed(text("x"))
            pass_time(endpoint, 29)
            endpoint.feed(text("x", fin=False) + frame(0))
            pass_time(endpoint, 29)
            endpoint.wire.send("x")
        assert endpoint.sent() == [(0x81, b"x")] * 3
        pass_time(endpoint, 30.5)
        assert endpoint.sent() == [(0x88, b"\x03\xe8idle")]


class TestEnds:
    def test_a_close_that_is_not_answered(self):
        """The connection is cut; that is no proper end."""
        endpoint = Endpoint(close_timeout=5.0)
        endpoint.wire.close(4000, "done")
        pass_time(endpoint, 4.5)
        assert endpoint.end is None
        pass_time(endpoint, 1)
        assert endpoint.end == (1006, "the peer did not close within 5 s")
        assert endpoint.transport.aborted

    def test_a_server_that_does_not_hang_up(self):
        """The client has told its listener, and cuts the connection."""
        endpoint = Endpoint(ClientWire, close_timeout=5.0).feed(close(1000, mask=None))
        assert endpoint.end == (1000, "")
        assert not endpoint.transport.disconnecting
        pass_time(endpoint, 6)
        assert endpoint.transport.aborted

    def test_a_peer_that_broke_a_rule_and_goes_on(self):
        """It has the time of a close."""
        endpoint = Endpoint(close_timeout=5.0).feed(text(b"\xff"))
        for _ in range(12):
            endpoint.feed(text("more") * 10)
            pass_time(endpoint, 0.5)
        assert endpoint.transport.aborted


class TestWatch:
    def test_many_websockets_have_one_timer(self):
        """It is cancelled when the watch is stopped."""
        endpoint = Endpoint(**TIMES)
        watch, clock = endpoint.watch, endpoint.clock
        wires = []
        for number in range(100):
            clock.advance(0.01)
            other = Endpoint(**TIMES)
            other.wire._watch = watch
            other.wire._start_timing()
            wires.append(other.wire)
            assert len(clock.getDelayedCalls()) == 1, number
        watch.stop()
        assert clock.getDelayedCalls() == []
        watch.stop()

    def test_one_that_fails_does_not_stop_the_others(self):
        """Its error is logged."""

        class Failing:
            slot = 0

            def check(self, now):
                raise ZeroDivisionError

        endpoint = Endpoint(**TIMES)
        endpoint.watch.call(Failing(), 20.0)
        pass_time(endpoint, 21)
        assert endpoint.sent() == [PING]

    def test_the_last_word_counts(self):
        """Who asks again is called at the new time only."""
        calls = []

        class Asking:
            slot = 0

            def check(self, now):
                calls.append(now)

        endpoint = Endpoint(ping_interval=0.0)
        asking = Asking()
        for when in (5, 3, 9):
            endpoint.watch.call(asking, when)
        pass_time(endpoint, 20)
        assert calls == [pytest.approx(9, abs=0.3)]
        endpoint.watch.call(asking, 30)
        endpoint.watch.forget(asking)
        endpoint.watch.forget(asking)
        pass_time(endpoint, 20)
        assert len(calls) == 1
        assert endpoint.clock.getDelayedCalls() == []


def test_settings_come_from_the_config():
    """The keys of [websocket] are those of the settings, with the same defaults."""
    values = {name: key.default for name, key in WEBSOCKET_KEYS.items()}
    assert WebSocketSettings.of(values) == WebSocketSettings()
    assert WebSocketSettings(message_max=10, frame_max=20).largest_frame == 10
