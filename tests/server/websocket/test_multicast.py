"""WEBSOCKET_MULTICAST: a view for each room, as long as somebody is in it."""

import threading

import pytest
from twisted.internet.defer import fail
from websocket_server import WebSocketServer, frame, shared
from websockets.exceptions import ConnectionClosed

from instances import Hooks
from serving import eventually
from skitai.errors import OperationError
from skitai.messaging.local import LocalBus
from wire import PATIENCE

APP = """
import skitai.errors
from skitai.saddle import Saddle
from websocket_server import shared

app = Saddle(__name__)

def view(path, name="roomid"):
    def decorate(function):
        @app.route(path)
        def answer(was, **arguments):
            if "websocket_init" in was.env:
                was.env["websocket_init"] = (skitai.WEBSOCKET_MULTICAST, 60, name)
                return ""
            return function(was.env["websocket"])
        return function
    return decorate

@view("/chat")
def chat(ws):
    shared.runs.append("begun")
    for client_id, message in ws:
        if message == "members":
            ws.sendto(client_id, repr(sorted(ws.members)))
        elif message == "whisper":
            ws.sendto(client_id, b"whispered")
        elif message.startswith("to "):
            ws.sendto(int(message[3:]), message)
        elif message == "return":
            return
        elif message == "raise":
            raise RuntimeError("in the room")
        elif message == "close":
            ws.close()
        elif message == "id":
            ws.sendto(client_id, str(client_id))
        else:
            ws.sendall(message)
    shared.runs.append("over")

@view("/alone", None)
def alone(ws):
    chat(ws)

@view("/changes")
def changes(ws):
    names = {ws.JOINED: "joined", ws.LEFT: "left"}
    while (items := ws.getswait(10, changes=True)) is not None:
        for client_id, what in items:
            shared.runs.append((client_id, names.get(what, what)))

@view("/polls")
def polls(ws):
    while (items := ws.getswait(0.01)) is not None:
        shared.runs.append(items)

@view("/slow")
def slow(ws):
    while "slow" in shared.gates:
        skitai.was.sleep(0.005)
    for client_id, message in ws:
        shared.runs.append(client_id)

@view("/flood")
def flood(ws):
    ws.getwait()
    while not ws.closed and "flood" in shared.gates:
        ws.sendall(b"x" * 10000)
        skitai.was.sleep(0.001)

@view("/patient")
def patient(ws):
    try:
        ws.getwait(0.01)
    except skitai.errors.OperationTimeout as error:
        shared.runs.append(str(error))
    shared.runs.append(ws.getwait(10)[1])
    shared.runs.append(ws.getwait(10))

@view("/wrong")
def wrong(ws):
    for call in (lambda: ws.send("m"), lambda: ws.sendall(7), lambda: ws.sendto("1", "m")):
        try:
            call()
        except Exception as error:
            shared.runs.append(str(error))
    ws.sendto(10 ** 30, "nobody")
    ws.sendto(-1, "nobody")
    ws.getwait()
"""


@pytest.fixture
def server(serve_app):
    return serve_app(APP)


def ended(client):
    """Return the close code of a client that the server closes."""
    with pytest.raises(ConnectionClosed):
        client.recv(PATIENCE)
    return client.close_code


def ask(client, message):
    client.send(message)
    return client.recv(PATIENCE)


def test_a_room(server):
    """One view for all; it begins with the first and is over with the last."""
    first = server.connect("/chat?roomid=a")
    assert ask(first, "hi") == "hi"
    second = server.connect("/chat?roomid=a&other=1")
    assert ask(second, "ho") == first.recv(PATIENCE) == "ho"
    assert shared.runs == ["begun"]
    first.close()
    assert ask(second, "still") == "still"
    second.close()
    server.idle()
    assert shared.runs == ["begun", "over"]
    assert ask(server.connect("/chat?roomid=a"), "again") == "again"
    assert shared.runs == ["begun", "over", "begun"]


def test_rooms_are_apart(server):
    """By path and by the variable; without a variable there is one room for each path."""
    urls = ["/chat?roomid=a", "/chat?roomid=b", "/chat?roomid=", "/alone?x=1", "/alone?x=2"]
    clients = [server.connect(url) for url in urls]
    members = [ask(client, "members") for client in clients]
    assert [text.count(",") + 1 for text in members] == [1, 1, 1, 2, 2]


def test_rooms_whose_path_and_variable_look_alike(serve_app):
    """A space may be in both: what is said in one of the rooms stays there."""
    server = serve_app(APP.replace('"/chat"', '"/chat/<path:of>"'))
    one, other = server.connect("/chat/a%20b?roomid=c"), server.connect("/chat/a?roomid=b%20c")
    assert ask(one, "hi") == "hi"
    assert ask(other, "members").count(",") == 0
    assert ask(other, "there") == "there"


def test_one_member(server):
    """A message to one reaches nobody else; to one who is gone, nobody."""
    one, other = server.connect("/chat?roomid=a"), server.connect("/chat?roomid=a")
    assert ask(one, "whisper") == b"whispered"
    number = int(ask(other, "id"))
    one.send(f"to {number}")
    assert other.recv(PATIENCE) == f"to {number}"
    other.close()
    eventually(lambda: server.statistics["open"] == 1)
    one.send(f"to {number}")
    assert ask(one, "members") == f"[{int(ask(one, 'id'))}]"


def test_changes_on_request(server):
    """Joining and leaving are told to a view that asks, in the order in which they happen."""
    first = server.connect("/changes?roomid=a")
    eventually(lambda: len(shared.runs) == 1)
    second = server.connect("/changes?roomid=a")
    second.send("m")
    eventually(lambda: len(shared.runs) == 3)
    second.close()
    eventually(lambda: len(shared.runs) == 4)
    (one, _), (two, _), *_ = shared.runs
    assert shared.runs == [(one, "joined"), (two, "joined"), (two, "m"), (two, "left")]
    assert {type(one), type(two)} == {int}
    first.close()
    server.idle()
    assert shared.runs[4:] == [(one, "left")]


def test_no_changes_unasked(server):
    """Else there are messages only, and empty lists where none came in time."""
    clients = [server.connect("/polls?roomid=a") for _ in range(3)]
    clients[0].send("m")
    for client in clients:
        client.close()
    server.idle()
    eventually(lambda: [items for items in shared.runs if items])
    assert [[message for _, message in items] for items in shared.runs if items] == [["m"]]


def test_one_message_at_a_time(server):
    """A wait with a limit ends with an exception, and with None where the room is over."""
    client = server.connect("/patient?roomid=a")
    eventually(lambda: shared.runs)
    client.send("m")
    client.close()
    server.idle()
    assert shared.runs == ["[702] no message came within 0.01 s (status: 1)", "m", None]


def test_the_last_words_of_a_room(server):
    """What somebody has said before leaving is still given to the view."""
    shared.gates.add("slow")
    clients = [server.connect("/slow?roomid=a") for _ in range(2)]
    for client in clients:
        client.send("bye")
        client.close()
    eventually(lambda: server.statistics["open"] == 0)
    shared.gates.clear()
    server.idle()
    assert len(set(shared.runs)) == 2


@pytest.mark.parametrize(("word", "code"), [("return", 1000), ("raise", 1011), ("close", 1000)])
def test_the_view_ends(server, word, code):
    """All members are closed, and who comes next gets another view."""
    clients = [server.connect("/chat?roomid=a") for _ in range(3)]
    assert ask(clients[2], "whisper") == b"whispered"
    clients[0].send(word)
    assert [ended(client) for client in clients] == [code] * 3
    server.idle()
    assert ask(server.connect("/chat?roomid=a"), "again") == "again"
    assert shared.runs.count("begun") == 2


def test_an_abrupt_end(server):
    """Who is cut off has left."""
    client, _ = server.handshake("/changes?roomid=a")
    eventually(lambda: shared.runs)
    client.close()
    server.idle()
    assert [what for _, what in shared.runs] == ["joined", "left"]


def test_mistakes(server):
    """What cannot be sent is refused where it is sent."""
    server.connect("/wrong?roomid=a")
    eventually(lambda: len(shared.runs) == 3)
    assert shared.runs == [
        "a room has many clients: use ws.sendall(message) or ws.sendto(client_id, message)",
        "a message is a str or bytes, not 7",
        "a client is an int, not '1'",
    ]
    assert server.failures == []


def test_too_much_for_the_view(serve_app):
    """Clients are not read while too much waits for the view, and read again when it has caught up."""
    server = serve_app(APP, inbox_max="10 KB")
    shared.gates.add("slow")
    clients = [server.handshake("/slow?roomid=a")[0] for _ in range(2)]
    for client in clients:
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            client.send(frame("x" * 1000) * 50_000)
    shared.gates.clear()
    eventually(lambda: len(set(shared.runs)) == 2 and len(shared.runs) > 200)


def test_a_member_that_reads_nothing(serve_app):
    """It is cut off, and holds up nobody else."""
    server = serve_app(APP, outbox_max="50 KB")
    shared.gates.add("flood")
    server.handshake("/flood?roomid=a")
    reader = server.connect("/flood?roomid=a")
    reader.send("begin")
    received = 0
    while server.statistics["open"] == 2:
        received += len(reader.recv(PATIENCE))
    shared.gates.clear()
    assert received > 50_000


def test_too_many_threads(serve_app):
    """A room needs one thread, however many are in it; beyond the limit no further room begins."""
    server = serve_app(APP, threads=4, threads_max=1)
    clients = [server.connect("/chat?roomid=a") for _ in range(3)]
    assert server.handshake("/chat?roomid=b")[1].code == 503
    assert ask(clients[0], "members").count(",") == 2
    assert server.statistics["threads"] == 1


def test_the_server_stops(server):
    """Members are told 1001, and the view ends."""
    clients = [server.connect("/chat?roomid=a") for _ in range(3)]
    assert ask(clients[2], "whisper") == b"whispered"
    server.stop()
    assert [ended(client) for client in clients] == [1001] * 3
    assert shared.runs == ["begun", "over"]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("skitai-websocket")]


# -- several workers ----------------------------------------------------------------------------------------


class SharedBus(LocalBus):
    """A bus that reaches other servers: here, another one in this process. ``broken``: it has failed."""

    shared = True
    broken = False

    def members(self, channel):
        if self.broken:
            return fail(OperationError("the bus is lost"))
        return super().members(channel)


@pytest.fixture
def two_servers(reactor_thread, serve_app, tmp_path, opened):
    """Return two servers with one config and one bus, and the bus."""
    bus = SharedBus(reactor_thread.reactor.seconds)
    serve_app(APP).stop()
    path = tmp_path / "tested.conf"
    path.write_text(path.read_text().replace("port = 0", "port = 0\nbus = shared"))
    hooks = Hooks(skitai_buses=lambda: {"shared": bus})
    servers = [WebSocketServer(reactor_thread, path, opened, shared=hooks) for _ in range(2)]
    yield *servers, bus
    opened.close()
    for server in servers:
        server.stop()


def test_a_room_on_two_servers(two_servers):
    """Each has a view of its own; what they send reaches all members."""
    here, there, bus = two_servers
    one, other, elsewhere = (
        server.connect(f"/chat?roomid={room}") for server, room in ((here, "a"), (there, "a"), (there, "b"))
    )
    assert ask(other, "whisper") == b"whispered"
    assert ask(one, "hi") == other.recv(PATIENCE) == "hi"
    number = int(ask(other, "id"))
    one.send(f"to {number}")
    assert other.recv(PATIENCE) == f"to {number}"
    members = ask(one, "members")
    assert members == ask(other, "members") == repr(sorted([number, int(ask(one, "id"))]))
    assert ask(elsewhere, "members") == f"[{int(ask(elsewhere, 'id'))}]"
    other.close()
    eventually(lambda: there.statistics["open"] == 1)
    assert ask(one, "members") == f"[{int(ask(one, 'id'))}]"
    bus.broken = True
    assert ask(one, "members") == f"[{int(ask(one, 'id'))}]"
