"""What one connection may cost, and that streams which nobody reads hold up no other."""

import pytest
from http2_client import Client, frame, serve
from http_channel import TEXT, Later, MemoryServer
from twisted.logger import globalLogPublisher

CALM = 11


@pytest.fixture
def warnings():
    """Return what was logged as a warning."""
    found = []

    def note(event):
        if event["log_level"].name == "warn":
            found.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(note)
    yield found
    globalLogPublisher.removeObserver(note)


PLAIN = b"\x82\x86\x41\x01a\x84"  # GET http a /


@pytest.mark.parametrize(
    "flood",
    [
        frame(4, 0, 0),
        frame(4, 1, 0),
        frame(6, 0, 0, b"12345678"),
        frame(6, 1, 0, b"12345678"),
        frame(2, 0, 9, b"\0\0\0\1\0"),
        frame(8, 0, 0, b"\0\0\0\1"),
        frame(0x77, 0, 0, b"unknown"),
        frame(0, 0, 1, b""),
        frame(0, 8, 1, b"\0"),
    ],
    ids=["settings", "acks", "pings", "pongs", "priority", "windows", "unknown", "empty", "padding"],
)
def test_floods_of_frames_end_the_connection(flood, warnings):
    server, client = serve(Later())
    client.ask("/up", "POST", body=b"", ends=False)
    for _ in range(9):
        client.raw(flood * 100)
    assert not client.closed
    for _ in range(2):
        client.raw(flood * 100)
    assert client.goaways[-1][1] == CALM
    assert client.closed
    assert len(warnings) == 1
    assert "ENHANCE_YOUR_CALM" in warnings[0]
    assert server.factory.channels == set()


def test_many_settings_in_few_frames(warnings):
    """Each may change the windows of all streams: 320 KB of them would hold up the server for seconds."""
    _, client = serve(Later())
    for _ in range(50):
        client.ask("/up", "POST", body=b"", ends=False)
    assert not client.closed
    client.raw(frame(4, 0, 0, b"\0\4\0\0\0\1" * 600))
    assert not client.closed
    client.raw(frame(4, 0, 0, b"\0\4\0\0\0\1" * 600))
    assert client.goaways[-1][1] == CALM
    assert warnings[0].endswith("SETTINGS")


def test_heads_that_their_client_does_not_take():
    """They have no window, so the client is not heard until it has taken them: they could fill the disk."""

    def app(request):
        request.respond("204 No Content", [], b"")

    _, client = serve(app)
    transport = client.transport
    transport.stalled = True
    for number in range(1, 60_000, 2):
        transport.feed(frame(1, 5, number, PLAIN))
        client.server.clock.advance(0)
    assert transport.reading_paused
    assert len(transport.inbox) > 200_000
    assert client.channel.output.waiting < 1_000_000
    while transport.held:
        transport.take(100_000)
        client.server.clock.advance(0)
    assert not transport.reading_paused
    assert transport.inbox == b""
    assert client.channel.last_id == 59_999
    assert not client.closed


def test_heads_that_are_never_taken():
    """The connection ends as an idle one does."""

    def app(request):
        request.respond("204 No Content", [], b"")

    server, client = serve(app, keep_alive=5)
    client.transport.stalled = True
    client.transport.feed(b"".join(frame(1, 5, number, PLAIN) for number in range(1, 60_000, 2)))
    for _ in range(60):
        server.clock.advance(1)
    assert server.factory.channels == set()


def test_clients_that_open_windows_in_small_steps():
    """As Go's client does: a step is 4 KB."""

    def app(request):
        request.respond("200 OK", TEXT, b"x" * 10_000_000)

    client = Client(MemoryServer(app), taking=False)
    stream = client.ask()
    reply = client.replies[stream]
    while not reply.ended:
        before = len(reply.body)
        for _ in range(8):
            client.h2.increment_flow_control_window(4096)
            client.h2.increment_flow_control_window(4096, stream)
        client.run()
        assert len(reply.body) > before
        assert not client.closed


def test_floods_are_forgiven_with_time():
    server, client = serve()
    for _ in range(20):
        client.raw(frame(6, 0, 0, b"12345678") * 100)
        for _ in range(2):
            server.clock.advance(1)
        client.get()
    assert not client.closed


def test_rapid_reset(warnings):
    """CVE-2023-44487: requests that are reset at once."""
    app = Later()
    server, client = serve(app)
    number = 1
    while not client.closed and number < 5000:
        client.raw(frame(1, 5, number, PLAIN) + frame(3, 0, number, b"\0\0\0\x08"))
        number += 2
    assert client.goaways[-1][1] == CALM
    assert len(app.waiting) <= 250
    assert all(request.gone for request in app.waiting)
    assert len(server.observed) == len(app.waiting)
    assert len(warnings) == 1


def test_continuations_without_end(warnings):
    server, client = serve()
    client.raw(frame(1, 1, 1, PLAIN))
    for _ in range(100):
        client.raw(frame(9, 0, 1, b"\0" * 1000))
    assert client.goaways[-1][1] == CALM
    assert server.requests == []
    assert warnings == [
        "192.0.2.7 a connection of HTTP/2 was refused with ENHANCE_YOUR_CALM: "
        "a header block that does not end: header_max = 32 KB"
    ]


def test_the_log_is_not_flooded_either(warnings):
    """Each connection that is cut off costs its client one frame, and the log no line of its own."""
    server, _ = serve()
    for _ in range(5):
        client = Client(server)
        client.raw(frame(1, 1, 1, PLAIN) + frame(9, 0, 1, b"\0" * 16384) * 5)
        assert client.closed
    assert len(warnings) == 1


@pytest.mark.parametrize("piece", [b"", b"\0"], ids=["empty", "tiny"])
def test_many_continuations(piece, warnings):
    _, client = serve()
    client.raw(frame(1, 1, 1, PLAIN))
    for _ in range(12):
        client.raw(frame(9, 0, 1, piece) * 100)
    assert client.goaways[-1][1] == CALM
    assert len(warnings) == 1


def test_a_block_in_continuations():
    server, client = serve(Later())
    client.raw(frame(1, 1, 1, PLAIN[:2]) + frame(9, 0, 1, PLAIN[2:4]) + frame(9, 4, 1, PLAIN[4:]))
    assert server.requests[0].path == b"/"


def test_hpack_bomb(warnings):
    """One large field in the table, and a block that names it again and again."""
    server, client = serve()
    large = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
    client.raw(frame(1, 5, 1, PLAIN + large + b"\xbe" * 10_000))
    assert client.goaways[-1][1] == CALM
    assert server.requests == []
    assert len(warnings) == 1


def test_streams_above_the_limit_are_refused():
    app = Later()
    _, client = serve(app, http2_streams=2)
    first, _ = client.ask("/1"), client.ask("/2")
    client.raw(frame(1, 5, 5, PLAIN))
    assert client.resets == {5: 7}
    app.answer()
    client.run()
    assert client.replies[first].body == b"/1"
    client.raw(frame(1, 5, 7, PLAIN))
    assert [request.uri for request in app.waiting] == [b"/2", b"/"]


def test_streams_above_the_limit_again_and_again(warnings):
    _, client = serve(Later(), http2_streams=1)
    client.ask("/1")
    for number in range(3, 4000, 2):
        if client.closed:
            break
        client.raw(frame(1, 5, number, PLAIN))
    assert client.goaways[-1][1] == CALM
    assert len(warnings) == 1


def test_uploads_that_nobody_reads_hold_no_more_than_their_windows_and_no_neighbour():
    held = []

    def judge(request):
        if request.path != b"/held":
            return False
        held.append(request)
        return True

    server, client = serve(None, judge)
    stalled = [client.ask("/held", "POST", body=b"", ends=False) for _ in range(20)]
    for stream in stalled:
        window = client.h2.local_flow_control_window(stream)
        client.send(stream, b"x" * min(window, 128 * 1024), ends=False)
        assert client.h2.streams[stream].outbound_flow_control_window == 0
    assert server.factory.storage.in_memory == 20 * 128 * 1024
    body = b"y" * 300_000
    stream = client.ask("/read", "POST", body=b"", ends=False)
    for start in range(0, len(body), 50_000):
        client.send(stream, body[start : start + 50_000], ends=False)
    client.send(stream, b"")
    assert client.replies[stream].body == b"POST /read " + body
    assert [request.spool.received for request in held] == [128 * 1024] * 20


def test_a_response_that_its_client_does_not_take_holds_up_no_other():
    def app(request):
        request.respond("200 OK", TEXT, b"x" * (200_000 if request.path == b"/large" else 10))

    server = MemoryServer(app)
    client = Client(server, taking=False)
    client.h2.increment_flow_control_window(1 << 20)
    large = [client.ask("/large") for _ in range(5)]
    assert [len(client.replies[stream].body) for stream in large] == [65_535] * 5
    small = client.ask("/small")
    assert client.replies[small].ended
    assert server.factory.statistics()["busy"] == 5


def test_streams_take_turns():
    def app(request):
        request.respond("200 OK", TEXT, b"x" * 1_000_000)

    server = MemoryServer(app)
    client = Client(server, taking=False)
    client.transport.stalled = True
    streams = [client.ask("/") for _ in range(3)]
    for stream in streams:
        client.h2.increment_flow_control_window(1 << 20, stream)
    client.h2.increment_flow_control_window(1 << 22)
    client.run()
    shares = []
    for _ in range(100):
        client.transport.take(1 << 16)
        client.run()
        shares.append(
            [len(client.replies[stream].body) if stream in client.replies else 0 for stream in streams]
        )
    middle = next(share for share in shares if sum(share) > 1_000_000)
    assert max(middle) - min(middle) < 300_000
    for _ in range(100):
        client.transport.take(1 << 16)
        client.run()
    assert [len(client.replies[stream].body) for stream in streams] == [1_000_000] * 3


def test_a_small_table_of_the_client():
    """SETTINGS_HEADER_TABLE_SIZE = 0 needs no change: no response uses the table."""
    server = MemoryServer()
    client = Client(server, settings={1: 0})
    assert client.get("/a").code == client.get("/b").code == 200
