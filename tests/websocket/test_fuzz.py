"""The short way reads what autobahn's own protocol reads, whatever comes and however it is cut."""

from autobahn.websocket.protocol import WebSocketProtocol, WebSocketServerFactory, WebSocketServerProtocol
from endpoints import Endpoint, close, frame, frames_in
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.websocket.protocol import ClientWire

LIMITS = {"message_max": 300, "frame_max": 200}


class Stock(WebSocketProtocol):
    """Autobahn's protocol after its handshake, without its adapter for Twisted, which needs a reactor."""

    CONFIG_ATTRS = WebSocketServerProtocol.CONFIG_ATTRS
    websocket_version = 13

    class log:
        debug = warn = staticmethod(lambda *_, **__: None)

    def __init__(self):
        self.messages, self.sent, self.closed_with = [], [], None
        self.factory = WebSocketServerFactory.__new__(WebSocketServerFactory)  # without its timers
        self.factory.logOctets = self.factory.logFrames = self.factory.trackTimings = False
        self.factory.resetProtocolOptions()
        self.factory.setProtocolOptions(
            maxMessagePayloadSize=LIMITS["message_max"],
            maxFramePayloadSize=LIMITS["frame_max"],
            failByDrop=False,
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
        )
        self._connectionMade()
        self.state = self.STATE_OPEN
        self.inside_message, self.current_frame = False, None

    def sendData(self, data, sync=False, chopsize=None):
        self.sent.append(data)

    def dropConnection(self, abort=False):
        self.state = self.STATE_CLOSED

    def onMessageEnd(self):
        if not self.failedByMe:
            payload = b"".join(self.message_data)
            self.messages.append(payload if self.message_is_binary else payload.decode())

    _onMessageBegin = WebSocketProtocol.onMessageBegin
    _onMessageFrameBegin = WebSocketProtocol.onMessageFrameBegin
    _onMessageFrameData = WebSocketProtocol.onMessageFrameData
    _onMessageFrameEnd = WebSocketProtocol.onMessageFrameEnd
    _onMessageFrame = WebSocketProtocol.onMessageFrame
    _onMessageEnd = onMessageEnd
    _onPing = WebSocketProtocol.onPing

    def _onPong(self, payload):
        pass


def outcome(messages, sent):
    """What came, what pings were answered, and how the websocket was closed: 1000 for any good code."""
    frames = frames_in(b"".join(sent))
    pongs = [payload for first, payload in frames if first == 0x8A]
    closes = [int.from_bytes(payload[:2]) for first, payload in frames if first == 0x88]
    failed = [code for code in closes[:1] if code in (1002, 1007, 1009)]
    return messages, pongs, failed or [1000] * len(closes[:1])


payloads = (
    st.binary(max_size=20) | st.binary(min_size=100, max_size=320) | st.text(max_size=60).map(str.encode)
)
masks = st.binary(min_size=4, max_size=4)
good = st.builds(
    frame, st.sampled_from([1, 2, 9, 10]), payloads.filter(lambda data: len(data) < 126), mask=masks
)
fragments = st.builds(frame, st.sampled_from([1, 2, 0, 0, 0]), payloads, fin=st.booleans(), mask=masks)
closes = st.builds(close, st.sampled_from([1000, 1001, 3000, 4999]), st.text(max_size=20), mask=masks)
anything = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 0, 1, 4]),
    mask=st.none() | masks,
)
streams = st.lists(good | good | fragments | anything | closes | st.binary(max_size=12), max_size=12).map(
    b"".join
)


@st.composite
def cut_streams(draw):
    stream = draw(streams) + bytes(20)  # the header of a frame that has begun is whole
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    return [stream[one:other] for one, other in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@settings(max_examples=400, deadline=None)
@given(cut_streams())
def test_a_server_reads_what_autobahn_reads(chunks):
    """Messages, pongs and close codes are the same."""
    stock = Stock()
    for chunk in chunks:
        stock._dataReceived(chunk)
    endpoint = Endpoint(**LIMITS)
    sent = []
    for chunk in chunks:
        if not endpoint.hung_up:
            endpoint.feed(chunk)
            sent.append(endpoint.sent_bytes())
    assert outcome(endpoint.messages, sent) == outcome(stock.messages, stock.sent)


@settings(max_examples=200, deadline=None)
@given(cut_streams(), st.data())
def test_cuts_and_pauses_do_not_matter(chunks, data):
    """All in one piece gives the same, and so does a listener that pauses."""
    for kind in (Endpoint, lambda **options: Endpoint(ClientWire, **options)):
        whole, cut = kind(**LIMITS), kind(**LIMITS)
        whole.feed(b"".join(chunks))
        for chunk in chunks:
            pause = data.draw(st.booleans())
            if pause:
                cut.wire.read_on(False)
            cut.feed(chunk)
            if pause:
                cut.wire.read_on(True)
        assert whole.messages == cut.messages
        assert (whole.end or (0,))[0] == (cut.end or (0,))[0]
        assert outcome([], [whole.sent_bytes()]) == outcome([], [cut.sent_bytes()])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=400) | st.text(max_size=200), max_size=10), st.data())
def test_what_one_end_sends_the_other_reads(messages, data):
    """However a network cuts it."""
    client, server = Endpoint(ClientWire), Endpoint(echo=True)
    for message in messages:
        client.wire.send(message)
    stream = client.sent_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    server.feed(*(stream[one:other] for one, other in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
    client.feed(server.sent_bytes())
    assert client.messages == server.messages == messages
