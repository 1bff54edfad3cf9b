"""What is common is read without autobahn, which is not even imported before it is needed."""

import subprocess
import sys
from itertools import pairwise

import pytest
from endpoints import Endpoint, binary, close, frame, ping, pong, text

from skitai.websocket.protocol import ClientWire, ServerWire


@pytest.mark.parametrize("kind", [ServerWire, ClientWire])
def test_whole_messages_and_control_frames(kind, monkeypatch):
    """Autobahn's reader takes fifteen times as long, and more where much was read at once."""
    monkeypatch.setattr(kind, "_new_core", lambda self: pytest.fail("autobahn was asked"))
    mask = b"mask" if kind is ServerWire else None
    frames = [
        make(payload, mask=mask)
        for payload in ("", "0123456789", "x" * 125, "y" * 126, "é" * 30_000)
        for make in (text, binary)
    ]
    control = [ping(mask=mask), ping("p" * 125, mask=mask), pong("q", mask=mask)]
    endpoint = Endpoint(kind).feed(b"".join(frames + control) * 3 + close(1000, "bye", mask=mask))
    assert len(endpoint.messages) == 30
    assert endpoint.end == (1000, "bye")


def test_a_header_in_two_parts(monkeypatch):
    """The rest of it is awaited."""
    monkeypatch.setattr(ServerWire, "_new_core", lambda self: pytest.fail("autobahn was asked"))
    data = text("x" * 1000)
    for cut in range(8):
        assert Endpoint().feed(data[:cut], data[cut:]).messages == ["x" * 1000]


def test_after_a_fragmented_message():
    """The short way is taken again, though autobahn's reader is still there."""
    endpoint = Endpoint().feed(text("a", fin=False) + frame(0, "b"))
    core = endpoint.wire._core
    core.take = lambda data: pytest.fail("autobahn was asked")
    endpoint.feed(text("c") + ping())
    assert endpoint.messages == ["ab", "c"]


def test_autobahn_is_imported_late():
    """It takes 40 ms and 5 MB, which servers without websockets save."""
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import skitai.websocket.handshake\n"
        "from endpoints import Endpoint, text, close\n"
        "assert Endpoint(echo=True).feed(text('hi'), close(1000)).messages == ['hi']\n"
        "assert not {'autobahn', 'cffi', 'txaio'} & set(sys.modules)\n"
        "Endpoint().feed(text('hi', fin=False))\n"
        "assert 'autobahn' in sys.modules and 'twisted.internet.reactor' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, *sys.path], check=True, timeout=60)


@pytest.mark.parametrize(
    "many", [text("x"), ping(), text("x", fin=False) + frame(0, "y", fin=False) * 9 + frame(0)]
)
def test_a_flood_of_tiny_frames_leaves_others_their_turn(many):
    """A read of 64 KB can hold ten thousand of them: in each turn of the reactor some are read."""
    endpoint = Endpoint()
    turns = []
    endpoint.wire.dataReceived(many * 1000 + binary("end"))
    while endpoint.messages[-1:] != [b"end"]:
        turns.append(len(endpoint.messages))
        assert endpoint.transport.producerState == "paused", "the kernel keeps what is not read in time"
        assert len(turns) < 1000
        _next_turn(endpoint)
    assert len(turns) > 2
    assert max(later - sooner for sooner, later in pairwise([0, *turns])) < 500
    assert len(endpoint.messages) == (1 if many == ping() else 1001)
    assert endpoint.transport.producerState == "producing"


def test_the_app_may_pause_and_close_between_two_turns():
    """Nothing is read while it has paused, and a close waits for the turn."""
    endpoint = Endpoint()
    endpoint.wire.dataReceived(text("x") * 600)
    count = len(endpoint.messages)
    endpoint.wire.read_on(False)
    endpoint.clock.advance(0)
    assert (len(endpoint.messages), endpoint.transport.producerState) == (count, "paused")
    endpoint.wire.read_on(True)
    assert len(endpoint.messages) == 2 * count
    endpoint.wire.read_on(False)
    endpoint.wire.read_on(True)
    endpoint.wire.dataReceived(close(1000))  # as TLS does, which has unpacked it
    assert len(endpoint.messages) == 2 * count
    endpoint.wire.close(1000)
    endpoint.clock.advance(0)
    assert (len(endpoint.messages), endpoint.end) == (2 * count, (1000, ""))


def test_a_connection_that_is_lost_between_two_turns():
    """The rest is dropped."""
    endpoint = Endpoint()
    endpoint.wire.dataReceived(text("x") * 600)
    count = len(endpoint.messages)
    endpoint.lose()
    endpoint.clock.advance(0)
    assert (len(endpoint.messages), endpoint.end[0]) == (count, 1006)


def _next_turn(endpoint):
    """Call what is due now, but not what that puts off to the turn after."""
    due = [call for call in endpoint.clock.getDelayedCalls() if call.getTime() <= endpoint.clock.seconds()]
    for call in due:
        endpoint.clock.calls.remove(call)
        call.called = 1
        call.func(*call.args, **call.kw)
