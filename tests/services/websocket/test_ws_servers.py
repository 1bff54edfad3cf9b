"""was.ws against the server of the ``websockets`` package, in apps on both executors."""

import asyncio
import contextlib
import json
import socket
import threading

import pytest
from twisted.internet.defer import Deferred
from ws_runner import Runner
from ws_servers import WebSocketServer, secured

from instances import RunningInstance, make_instance
from serving import eventually
from skitai import was
from skitai.errors import OperationError
from skitai.services.websocket import plugin as ws_plugin
from skitai.websocket.closing import WebSocketClosed


def test_readme(run, url):
    """The example of the README."""

    def query():
        s = was.ws(f"{url}/websocket/echo", was.tojson({"keyword": "snowboard binding"}))
        rs = s.getwait()
        return was.fromjson(rs.data), rs.code, rs.headers

    assert run(query) == ({"keyword": "snowboard binding"}, 200, [("OPCODE", "1")])


@pytest.mark.parametrize("message", ["", "\u00fc" * 100, b"", bytes(range(256)) * 400, "x" * 70_000])
def test_messages(run, url, message):
    """Text and bytes of any length come back as what they were, over one websocket."""
    result = run(lambda: was.ws(f"{url}/echo", message).getwait())
    assert (result.status, result.data, type(result.data)) == (3, message, type(message))
    assert result.url == f"{url}/echo"


def test_reuse(run, servers):
    """One handshake serves many messages."""
    server = servers[0]
    run(lambda: was.ws(f"{server.url}/echo?reuse", "a").getwait())
    count = len(server.requests)
    found = run(lambda: [was.ws(f"{server.url}/echo?reuse", str(n)).getwait().data for n in range(5)])
    assert (found, len(server.requests)) == (list("01234"), count)


def test_the_handshake(run, servers):
    """The server sees what the app gives, and the Host."""
    run(lambda: was.ws(f"{servers[0].url}/echo?h", "a", headers={"X-A": "b", "Origin": "http://x"}).getwait())
    headers = servers[0].requests[-1].headers
    assert (headers["X-A"], headers["Origin"]) == ("b", "http://x")
    assert headers["Host"] == f"127.0.0.1:{servers[0].port}"


def test_request_early_use_late(run, url):
    """Many messages are under way at the same time."""

    def many():
        calls = [was.ws(f"{url}/echo", str(number)) for number in range(50)]
        return [result.data for result in was.gather(*calls, timeout=20)]

    assert run(many) == [str(number) for number in range(50)]


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("/status?401", 401, "answered 401 Unauthorized"),
        ("/status?403", 403, "answered 403 Forbidden"),
        ("/status?404", 404, "answered 404 Not Found"),
        ("/status?500", 500, "answered 500 Internal Server Error"),
        ("/status?200", 708, "answered 200 OK"),
        ("/away?/echo", 302, "answered 302 Found to /echo; follow=1 follows one redirect"),
    ],
)
def test_refused(run, url, path, code, words):
    """A refused handshake is a failed result with the status of the reply."""
    result = run(lambda: was.ws(url + path, "a").getwait())
    assert (result.status, result.code, result.data) == (2, code, b"")
    assert result.msg == f"no websocket: {url.removeprefix('ws://')} {words}"
    assert result.get_header("content-length") is not None
    with pytest.raises(OperationError):
        result.reraise()


def test_login(run, url, servers):
    """Credentials answer a challenge, once for the websockets that follow."""
    given = {"auth": ("me", "secret")}
    first = run(lambda: was.ws(f"{url}/login", "a", **given).getwait())
    assert (first.status, first.data) == (3, "a")
    count = len(servers[0].requests)
    with_header = {"headers": {"X-A": "b"}, **given}
    assert run(lambda: was.ws(f"{url}/login", "a", **with_header).getwait()).data == "a"
    assert len(servers[0].requests) == count + 1
    assert run(lambda: was.ws(f"{url}/login", "a", ("me", "wrong")).getwait()).code == 401


def test_redirects(run, servers):
    """They are followed as those of was.get, to ws:// and http:// alike."""
    for scheme in ("ws", "http"):
        there = f"{scheme}://127.0.0.1:{servers[1].port}/name"
        result = run(lambda there=there: was.ws(f"{servers[0].url}/away?{there}", "a", follow=1).getwait())
        assert (result.status, result.data) == (3, "two")
    result = run(lambda: was.ws(f"{servers[0].url}/away?/name", "a", follow=1).getwait())
    assert result.data == "one"
    result = run(lambda: was.ws(f"{servers[0].url}/away?ftp://x/", "a", follow=1).getwait())
    assert (result.status, result.code) == (2, 701)
    assert "a redirect that leads nowhere" in result.msg


def test_public_addresses_only(run, servers):
    """As with was.get: a URL that a stranger has chosen leads to no address of one's own network.

    That holds for one message and for a websocket that stays open, and for where a redirect leads to.
    """
    url = f"{servers[0].url}/name"
    result = run(lambda: was.ws(url, "a", public=True).getwait())
    assert (result.status, result.code) == (2, 706)
    assert "is at no public address" in result.msg

    def stay():
        with was.ws.connect(url, public=True):
            return "open"

    with pytest.raises(OperationError, match="is at no public address"):
        run(stay)
    assert run(lambda: was.ws(url, "a").getwait()).data == "one"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/close?code=1011&reason=boom", "the websocket is closed (1011: boom)"),
        ("/close?code=4000", "the websocket is closed (4000)"),
    ],
)
def test_closed(run, url, path, words):
    """A close in the place of a reply has its code in the text."""
    result = run(lambda: was.ws(url + path, "a").getwait())
    assert (result.status, result.code, result.msg) == (2, 700, words)
    assert isinstance(result.error, WebSocketClosed)


def test_a_lost_connection(run, url):
    """So has a connection that is lost."""
    result = run(lambda: was.ws(f"{url}/cut", "a").getwait())
    assert (result.status, result.code, result.error.close_code) == (2, 700, 1006)


def test_a_server_that_closes_after_each_message(run, url):
    """A websocket that is closed while it is idle is replaced by a new one."""
    found = run(lambda: [was.ws(f"{url}/once", str(n), idempotent=True).getwait().data for n in range(5)])
    assert found == list("01234")


def test_a_time_out(run, servers):
    """A message without a reply costs its websocket."""
    result = run(lambda: was.ws(f"{servers[0].url}/silent?late", "a").getwait(0.2))
    assert (result.status, result.code) == (1, 702)
    eventually(lambda: not of_request(servers[0], "?late"), "the websocket is closed")


def test_not_a_server(run):
    """Nobody listens: a failed result, as that of was.get."""
    result = run(lambda: was.ws("ws://127.0.0.1:1/", "a").getwait())
    assert (result.status, result.code) == (2, 701)


def test_balancing(run):
    """``lb`` asks the members by turns, ``map`` all of them, in clusters of both types."""
    for name in ("search", "talk"):
        found = run(lambda name=name: [was.ws.lb(f"@{name}/name", "q").getwait().data for _ in range(4)])
        assert sorted(found) == ["one", "one", "two", "two"]
        results = run(lambda name=name: was.ws.map(f"@{name}/name", "q").getswait())
        assert (results.status, results.data) == ([3, 3], ["one", "two"])


def test_members_that_refuse(start, servers):
    """A dead member is passed over; one that cannot serve now, too."""
    run = start(f"[@half]\ntype = websocket\nmembers = 127.0.0.1:1, 127.0.0.1:{servers[0].port}\n")
    assert run(lambda: [was.ws("@half/name", "q").getwait().data for _ in range(3)]) == ["one"] * 3
    assert run(lambda: was.ws.map("@half/name", "q").getswait().status) == [2, 3]


def test_the_cache(run, servers):
    """A kept result answers the same message without asking."""
    count = len(servers[0].messages)

    def cached():
        results = []
        for text in ("a", "a", "b"):
            results.append(was.ws(f"{servers[0].url}/echo?c", text).getwait())
            results[-1].cache(60)
        return [(result.data, result.is_cached) for result in results]

    assert run(cached) == [("a", False), ("a", True), ("b", False)]
    assert len(servers[0].messages) == count + 2


def test_a_conversation(run, url):
    """A block has a websocket of its own, for any number of messages both ways."""

    def talk():
        with was.ws.connect(f"{url}/talk", subprotocols=["news"]) as ws:
            ws.send("a")
            ws.send(b"b")
            found = [ws.getwait(10) for _ in range(4)]
            ws.send("bye")
            return found, list(ws), ws.code, ws.subprotocol

    assert run(talk) == (["a", "a", b"b", b"b"], [], 1000, "news")


def test_a_server_that_speaks_first(run, url):
    """That is for conversations; was.ws says so."""

    def greeted():
        with was.ws.connect(f"{url}/greet") as ws:
            return ws.getwait(10)

    assert run(greeted) == "hello"


def test_the_end_of_a_task(run, servers):
    """A websocket that is left open is closed when its task ends."""
    kept = []

    def forget():
        kept.append(was.ws.connect(f"{servers[0].url}/echo?forgotten"))
        kept[0].__enter__()

    run(forget)
    eventually(lambda: not of_request(servers[0], "?forgotten"), "the websocket is closed")


@pytest.mark.parametrize(("path", "code"), [("/status?403", 403), ("/status?200", 708)])
def test_no_conversation(run, url, path, code):
    """The with statement raises what prevented the websocket."""

    def talk():
        with was.ws.connect(url + path):
            pytest.fail("the block is not run")

    with pytest.raises(OperationError) as caught:
        run(talk)
    assert (caught.value.code, caught.value.url) == (code, url + path)


def test_asyncio(run, url):
    """Coroutines of asyncio exchange messages, and converse."""

    async def both():
        result = await was.ws(f"{url}/echo", "a")
        async with was.ws.connect(f"{url}/talk") as ws:
            await ws.send("b")
            found = [await ws.receive(10), await ws.receive(10)]
            await ws.send("bye")
            return result.data, found, [message async for message in ws]

    assert run(lambda: asyncio.run(both())) == ("a", ["b", "b"], [])


def test_coroutines_of_the_reactor(run, url, reactor_thread):
    """So do those of the reactor, as Saddle's are."""

    async def both():
        result = await was.ws(f"{url}/echo", "a")
        async with was.ws.connect(f"{url}/talk") as ws:
            await ws.send("b")
            found = [await ws.receive(10), await ws.receive(10)]
            await ws.send("bye")
            return result.data, found, [message async for message in ws]

    assert reactor_thread.call(lambda: Deferred.fromCoroutine(both())) == ("a", ["b", "b"], [])


def test_tls(start, tmp_path):
    """wss verifies certificates as https does."""
    context, ca = secured(tmp_path)
    server = WebSocketServer("safe", tls=context)
    try:
        strict, trusting = start(), start(f"[http]\nca = {ca}\n")
        refused = strict(lambda: was.ws(f"{server.url}/name", "a").getwait())
        assert (refused.status, refused.code) == (2, 701)
        assert "certificate" in refused.msg
        results = trusting(lambda: [was.ws(f"{server.url}/echo", "x" * n).getwait() for n in (1, 70_000)])
        assert [len(result.data) for result in results] == [1, 70_000]
        assert results[0].url == f"{server.url}/echo"
        assert len(server.requests) == 1

        def talk():
            with was.ws.connect(f"{server.url}/talk") as ws:
                ws.send("a")
                return [ws.getwait(10), ws.getwait(10)]

        assert trusting(talk) == ["a", "a"]
    finally:
        server.stop()


def test_deflate(start, servers):
    """Where the config says so, messages are compressed both ways."""
    run = start("[websocket]\ndeflate = yes\n")
    text = json.dumps(list(range(1000)))
    found = run(lambda: [was.ws(f"{servers[0].url}/echo", text).getwait().data for _ in range(3)])
    assert found == [text] * 3
    assert "permessage-deflate" in servers[0].requests[-1].headers["Sec-WebSocket-Extensions"]


def test_a_reply_that_is_too_large(start, url):
    """The limit is that of [websocket]."""
    run = start("[websocket]\nmessage_max = 1000\n")
    result = run(lambda: was.ws(f"{url}/echo", "x" * 1001).getwait())
    assert (result.status, result.code, result.error.close_code) == (2, 700, 1009)
    assert run(lambda: was.ws(f"{url}/echo", "x" * 1000).getwait()).status == 3


def test_a_proxy(start, servers):
    """Without TLS, too, a proxy is asked for a tunnel (RFC 6455, section 4.1)."""
    with TunnelProxy(servers[0].port) as proxy:
        run = start(f"[http]\nproxy = http://127.0.0.1:{proxy.port}\nno_proxy =\n")
        found = run(lambda: [was.ws("ws://talk.test/name", "a").getwait().data for _ in range(2)])
    assert (found, proxy.heads) == (["one"] * 2, [b"CONNECT talk.test:80 HTTP/1.1"])


class TunnelProxy:
    """A proxy whose one tunnel leads to a port of the loopback."""

    def __init__(self, target):
        self.target = target
        self.heads = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._sockets = [self._listener]

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        for each in self._sockets:
            each.close()

    def _serve(self):
        client, _ = self._listener.accept()
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(65536)
        self.heads.append(head.partition(b"\r\n")[0])
        server = socket.create_connection(("127.0.0.1", self.target))
        self._sockets += [client, server]
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    def _pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)


def test_nothing_stays(start, servers):
    """Websockets that are cut, time out or are refused leave nothing behind."""
    run = start()
    url = servers[0].url

    def trouble():
        for _ in range(20):
            was.ws(f"{url}/cut", "a").getwait()
            was.ws(f"{url}/silent", "a").getwait(0)
            was.ws(f"{url}/status?500", "a").getwait()
            with was.ws.connect(f"{url}/talk") as ws:
                ws.send("bye")
        return was.ws(f"{url}/echo", "b").getwait().data

    assert run(trouble) == "b"
    eventually(lambda: counts(run)["open"] == 1, "all but one are closed")
    assert counts(run)["idle"] == 1
    host = run.instance.status()["Websocket client, by host"][0]
    assert host["host"] == f"127.0.0.1:{servers[0].port}"


def counts(run):
    return run.instance.status()["Websocket client"]


def test_the_stop(reactor_thread, threads, servers, tmp_path):
    """What waits for a reply fails with 705, and the server is told 1001 over websockets that are idle."""
    file = tmp_path / "site.conf"
    file.write_text(f"[server]\nip = 127.0.0.1\nport = 0\naccess_log = off\nthreads = {threads}\n")
    runner = Runner()
    instance = make_instance(reactor_thread.reactor, file, ws=ws_plugin, runner=runner)
    running = RunningInstance(reactor_thread, instance)
    url, mine = servers[0].url, f"?{threads}"
    assert runner(lambda: was.ws(f"{url}/echo{mine}", "a").getwait().data) == "a"
    call = runner(lambda: was.ws(f"{url}/silent{mine}", "a", detach=True))
    eventually(lambda: len(of_request(servers[0], mine)) == 2, "the message is under way")
    idle = next(each for each in of_request(servers[0], mine) if "echo" in each.request.path)
    running.stop()
    assert call.code == 705
    eventually(lambda: not of_request(servers[0], mine), "both are closed")
    assert idle.close_code == 1001


def of_request(server, end):
    return [each for each in list(server.open) if each.request.path.endswith(end)]
