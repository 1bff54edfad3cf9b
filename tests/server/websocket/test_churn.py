"""Many websockets that come and go, half of them abruptly, leave nothing behind."""

import gc
import socket
import struct
import threading
from collections import Counter

import greenlet
import pytest
from test_readme import SADDLE
from websocket_server import frame

from serving import eventually
from skitai.context import Was
from skitai.server.websocket.dedicate import Dedicated
from skitai.server.websocket.multicast import LocalHall, Member
from skitai.server.websocket.reqdata import MessageRuns
from skitai.websocket.conversation import WebSocket
from skitai.websocket.protocol import ServerWire

ROUNDS = 200
KINDS = (Dedicated, LocalHall, Member, MessageRuns, ServerWire, Was, WebSocket)
#: Close with a reset, not in order.
ABRUPTLY = struct.pack("ii", 1, 0)

COROUTINE = """
@app.websocket("/coroutine")
async def coroutine(was, ws):
    async for message in ws:
        await ws.send(message)
"""


@pytest.fixture
def server(serve_app):
    return serve_app(SADDLE + COROUTINE)


def left_over(server):
    """Return what there is of each kind: objects, timers of the reactor, threads and greenlets."""
    gc.collect()
    everything = gc.get_objects()  # there may be a million: they are gone through once, and without Python
    types = Counter(map(type, everything))
    counts = {kind.__name__: types[kind] for kind in KINDS}
    kinds = {kind for kind in types if issubclass(kind, greenlet.greenlet)}
    counts["greenlets"] = sum(type(each) in kinds and not each.dead for each in everything) if kinds else 0
    # Those of the factory and of what it counts stay.
    counts["timers"] = len(server.loop.call(lambda: server.loop.reactor.getDelayedCalls()))
    counts["threads"] = threading.active_count()
    return counts


def grown(before, after):
    """Return what there is more of than by chance."""
    return {name: count for name, count in after.items() if count > before[name] + 1}


def visit(server, path, *, abruptly):
    client, response = server.handshake(path)
    assert response.code == 101
    client.send(frame("hello"))
    if not abruptly:
        assert client.read(2)[0] == 0x81
        client.send(frame(b"\x03\xe8", first=0x88))
        client.read()
    else:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABRUPTLY)
    client.close()


@pytest.mark.parametrize(
    "path", ["/websocket/echo", "/websocket/talk?name=M", "/websocket/chat?roomid=1", "/coroutine"]
)
def test_coming_and_going(server, path):
    """In all designs, and in both executors."""

    def rounds(count):
        for number in range(count):
            visit(server, path, abruptly=number % 2 == 1)
        server.idle()

    rounds(20)
    before = left_over(server)
    rounds(ROUNDS)
    # What the turns of the reactor need comes and goes.
    eventually(lambda: not grown(before, left_over(server)), "the end of all that was begun")
    after = left_over(server)  # other tests of the process may have left some
    assert all(after[kind.__name__] <= before[kind.__name__] for kind in KINDS[:-3])
    assert server.failures == []
