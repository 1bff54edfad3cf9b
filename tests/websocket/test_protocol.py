"""The server's and the client's end of a websocket over a transport in memory."""

import pytest
from endpoints import Endpoint, binary, close, frame, ping, pong, text
from twisted.internet.interfaces import IProtocol
from zope.interface.verify import verifyObject

from skitai.interfaces import ILastingProtocol
from skitai.websocket.protocol import ClientWire, ServerWire


def test_both_ends_are_protocols():
    """They can take over a connection, and the server's end is told when the server stops."""
    for kind in (ServerWire, ClientWire):
        verifyObject(IProtocol, Endpoint(kind).wire)
    verifyObject(ILastingProtocol, Endpoint().wire)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 65535, 65536, 70000])
def test_a_message_of_any_length_is_echoed(size):
    """All three forms of a length are read and written, for text and for binary."""
    endpoint = Endpoint(echo=True).feed(text("*" * size), binary(b"\xfe" * size))
    assert endpoint.sent() == [(0x81, b"*" * size), (0x82, b"\xfe" * size)]


def test_a_message_in_single_bytes_is_the_same():
    """It does not matter how a connection cuts what it carries."""
    data = text("héllo") + ping(b"p") + text("a", fin=False) + frame(0, "b" * 130) + pong()
    endpoint = Endpoint(echo=True).feed(*(bytes([byte]) for byte in data))
    assert endpoint.sent() == [(0x81, "héllo".encode()), (0x8A, b"p"), (0x81, b"a" + b"b" * 130)]


def test_a_client_masks_what_it_sends():
    """The mask is another one for each frame."""
    endpoint = Endpoint(ClientWire)
    endpoint.wire.send("hello")
    endpoint.wire.send("hello")
    assert endpoint.wire.waiting == 22
    data = endpoint.sent_bytes()
    assert data[:11] != data[11:]
    assert data[0:2] == b"\x81\x85"
    endpoint.wire.send(b"x" * 3000)
    assert endpoint.sent() == [(0x82, b"x" * 3000)]


def test_the_peer_closes():
    """Its code is repeated, and the server ends the connection."""
    endpoint = Endpoint().feed(close(4000, "bye"))
    assert endpoint.end == (4000, "bye")
    assert endpoint.sent() == [(0x88, b"\x0f\xa0")]
    assert endpoint.hung_up
    endpoint.lose()
