"""What is common is read without autobahn, which is not even imported before it is needed."""

import subprocess
import sys

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
