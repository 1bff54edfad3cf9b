"""Attempts to reach what the forward proxy must not reach, or to be taken for somebody else."""

import re

import pytest
from forward_world import LISTS, PRIVATE, PUBLIC, Forward, basic
from proxy_h2 import H2Client
from proxy_world import OK
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from serving import eventually
from wire import Client

#: Everything public, and nothing else.
ALL = "proxy_clients = 127.0.0.1\nproxy_destinations = *:1-65535"
INNER = b"GET http://127.0.0.1:%d/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def shared(reactor_thread, tmp_path_factory):
    """A proxy for all public destinations."""
    made = Forward(reactor_thread, tmp_path_factory.mktemp("forward"), server=ALL, names=NAMES)
    yield made
    made.stop()


NAMES = {
    "local.example": ["127.0.0.1"],
    "local6.example": ["::1"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "zero.example": ["0.0.0.0"],
    "cloud.example": ["169.254.169.254"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "zoned.example": ["fe80::1%lo"],
    "several.example": ["10.0.0.1", "::1", "192.168.1.1"],
    "empty.example": [],
    "localhost": ["127.0.0.1", "::1"],
}


@pytest.mark.parametrize("name", [name for name in NAMES if name != "empty.example"])
@pytest.mark.parametrize("method", ["GET", "POST", "CONNECT"])
def test_names_of_private_addresses(shared, destination, name, method):
    """A name that leads to the machine itself or its network is refused after the search."""
    if method == "CONNECT":
        client, response = shared.connect(f"{name}:{destination.port}")
        response.body = client.read()
        client.close()
    else:
        response = shared.fetch(f"http://{name}:{destination.port}/", method, body=b"x" * (method == "POST"))
    assert response.code == 403
    assert b"has no address that is allowed (proxy_destinations in [server])" in response.body
    assert b"127.0.0.1" not in response.body
    assert destination.nobody_waits()


@pytest.mark.parametrize(
    ("destinations", "found", "why"),
    [
        ("*", ["127.0.0.1"], "127.0.0.1, which is not public and is not in proxy_destinations"),
        ("*", ["fe80::1%lo"], "fe80::1%lo, which is not public and is not in proxy_destinations"),
        ("*", ["::1", "10.0.0.1"], "::1, 10.0.0.1, which are not public and are not in proxy_destinations"),
        ("10.0.0.0/8", [PUBLIC], f"{PUBLIC}, which is not in proxy_destinations"),
        ("127.0.0.1:1, *", ["127.0.0.1"], "127.0.0.1, where port 80 is not allowed"),
    ],
)
def test_log_of_a_barred_name(reactor_thread, tmp_path, destinations, found, why):
    """The log says where a name leads to, and why that is refused."""
    text = f"proxy_clients = 127.0.0.1\nproxy_destinations = {destinations}"
    server = Forward(reactor_thread, tmp_path, server=text, names={"a.example": found})
    try:
        assert server.fetch("http://a.example/").code == 403
        (line,) = server.refusals()
    finally:
        server.stop()
    assert line.endswith(f" with 403: a.example leads to {why} ([server] proxy_destinations)")


def test_log_of_a_name_of_this_machine(reactor_thread, tmp_path, monkeypatch):
    """A public address of the machine itself is called so."""
    for place in ("skitai.net.destinations", "skitai.services.forward.reaching"):
        monkeypatch.setattr(f"{place}.is_own", lambda _address: True)
    server = Forward(reactor_thread, tmp_path, server=ALL, names={"a.example": [PUBLIC]})
    try:
        assert server.fetch("http://a.example/").code == 403
        (line,) = server.refusals()
    finally:
        server.stop()
    assert f"leads to {PUBLIC}, which is of this machine and is not in proxy_destinations (" in line


ADDRESSES = (
    *("127.0.0.1", "127.255.1.2", "0.0.0.0", "10.1.2.3", "169.254.169.254", "100.64.1.1", "224.0.0.1"),
    *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    *("[fe80::1]", "[fd00::1]", "[ff02::1]", "[::127.0.0.1]", "255.255.255.255"),
)


@pytest.mark.parametrize("host", ADDRESSES)
def test_private_addresses(shared, destination, host):
    """The same by address, in all forms."""
    response = shared.fetch(f"http://{host}:{destination.port}/")
    assert response.code == 403
    client, head = shared.connect(f"{host}:{destination.port}")
    assert head.code == 403
    client.close()
    assert destination.nobody_waits()


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "0"),
        *("127.0.0.1.", "127.0.0.01", "1.2.3.4.5", "256.0.0.1", "a.1", "0x", "127.0.0.0x1", "١٢٧.0.0.1"),
        *(
            "[fe80::1%25lo]",
            "[fe80::1%lo]",
            "[127.0.0.1]",
            "[1:2]",
            "[:::]",
            "[::1",
            "::1",
            "[]",
            "a%2eexample",
            "%31.example",
        ),
        *("user@up.example", "user:pw@up.example", "a..example", "-a.example", "a_b!.example", "*", "a,b"),
        *("up.example\\@other.example", "up.example%00", "", "x" * 254),
    ],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_forms_that_mean_something_else(shared, destination, host, method):
    """Forms of hosts that programs understand differently, userinfo and zones are no targets at all."""
    asked = len(shared.asked)
    target = f"{host}:{destination.port}"
    with shared.client() as client:
        line = f"CONNECT {target}" if method == "CONNECT" else f"GET http://{target}/"
        client.send(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.response().code == 400
    assert (len(shared.asked), destination.nobody_waits()) == (asked, True)


@pytest.mark.parametrize("port", ["0", "00", "65536", "99999", "000080", "-1", "+80", "8 0", "0x50", "a"])
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_ports_that_are_none(shared, port, method):
    with shared.client() as client:
        target = f"up.example:{port}"
        line = f"CONNECT {target}" if method == "CONNECT" else f"GET http://{target}/"
        client.send(f"{line} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.response().code == 400


@pytest.mark.parametrize(
    "target", ["up.example", "up.example:", ":443", "http://up.example:443", "/", "*", "[::1]"]
)
def test_connect_without_a_port(shared, target):
    """CONNECT has a host and a port, and nothing else (RFC 9112, section 3.2.3)."""
    client, head = shared.connect(target)
    assert head.code == 400
    client.close()


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_rebinding(forward, destination, method):
    """A name whose address changes between the judgement and the connection leads nowhere."""
    server = forward(server=ALL, names={"turn.example": [[PUBLIC], ["127.0.0.1"]]})
    if method == "CONNECT":
        client, head = server.connect(f"turn.example:{destination.port}")
        client.close()
    else:
        head = server.fetch(f"http://turn.example:{destination.port}/")
    assert head.code == 502
    assert server.asked == ["turn.example", "turn.example"]
    assert destination.nobody_waits()


@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_mixed_addresses(forward, destination, method):
    """Of several addresses, only those that are allowed are tried."""
    lists = "proxy_clients = 127.0.0.1\nproxy_destinations = 127.0.0.2/32:1-65535"
    server = forward(server=lists, names={"two.example": ["127.0.0.1", "127.0.0.2"]})
    if method == "CONNECT":
        client, head = server.connect(f"two.example:{destination.port}")
        client.close()
    else:
        head = server.fetch(f"http://two.example:{destination.port}/")
    assert head.code == 502  # nobody listens on 127.0.0.2
    assert destination.nobody_waits()


def test_connections_are_kept_by_name(forward, destination):
    """A kept connection of a name is not that of another name, nor of the address."""
    names = {"a.example": ["127.0.0.1"], "b.example": ["127.0.0.1"]}
    server = forward(names=names)
    for host in ("a.example", "b.example", "127.0.0.1"):
        with server.client() as client:
            client.send(b"GET http://%b:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % (host.encode(), destination.port))
            head, _ = destination.accept().answer()
            assert f"Host: {host}:".encode() in head
            assert client.response().body == b"ok"


SMUGGLED = {
    "CL.TE": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%b",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n0\r\n\r\n%b",
    "TE.TE": b"X: %d\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n%b",
    "TE, folded": b"X: %d\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n%b",
    "CL, two": b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n%b",
    "bare CR": b"X: a\rContent-Length: %d\r\n\r\n%b",
    "bare LF": b"X: y\nContent-Length: %d\r\n\r\n%b",
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED)
def test_smuggling(forward, destination, sent):
    """Nothing of a request with two ends reaches a destination, and the connection ends."""
    inner = INNER % destination.port
    with forward().client() as client:
        client.send(b"POST http://127.0.0.1:%d/ HTTP/1.1\r\nHost: a\r\n" % destination.port)
        client.send(sent % (len(inner), inner))
        assert client.response().code == 400
        assert client.at_end()
    assert b"smuggled" not in destination.came()


def test_chunks_that_look_like_a_request(forward, destination):
    """A body is framed anew, so what it looks like does not matter."""
    inner = INNER % destination.port
    with forward().client() as client:
        client.send(b"POST http://127.0.0.1:%d/ HTTP/1.1\r\nHost: a\r\n" % destination.port)
        client.send(b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(inner), inner))
        _, body = destination.accept().answer()
        assert body == inner
        assert client.response().body == b"ok"


@pytest.mark.parametrize(
    "path",
    [
        *("/a b", "/a\r\nX-Evil: 1", "/a\tb", "/a\nX: 1", "/a\0b", "/a HTTP/1.1\r\nX: 1\r\n\r\nGET /b"),
        *("#fragment", "/a#b", "?a#b"),
    ],
)
def test_injection_through_the_target(forward, destination, path):
    """A target that would be several lines, or has a fragment, is none."""
    with forward().client() as client:
        client.send(f"GET http://127.0.0.1:{destination.port}{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.response().code in (400, 505)
    assert destination.nobody_waits() or b"X" not in destination.came()


def test_escapes_stay_escaped(forward, destination):
    """An escaped line break stays that: the path is passed on as it was written."""
    with forward().client() as client:
        client.send(
            b"GET http://127.0.0.1:%d/a%%0d%%0aX:%%201/../b HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port
        )
        head, _ = destination.accept().answer()
        assert head.startswith(b"GET /a%0d%0aX:%201/../b HTTP/1.1\r\n")
        assert client.response().body == b"ok"


def test_reply_with_a_second_reply(forward, destination):
    """What a destination sends beyond its reply is not the reply to the next request."""
    with forward().client() as client:
        client.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        destination.accept().answer(OK + OK.replace(b"ok", b"no"))
        assert client.response().body == b"ok"
        client.send(b"GET http://127.0.0.1:%d/ HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        destination.accept().answer()
        assert client.response().body == b"ok"


@pytest.mark.parametrize("scheme", ["https", "HTTPS"])
def test_https(shared, destination, scheme):
    """https:// is for a tunnel: who asks a proxy in the clear would think that it is encrypted."""
    response = shared.fetch(f"{scheme}://{PUBLIC}:443/")
    assert (response.code, b"use CONNECT" in response.body) == (400, True)


@pytest.mark.parametrize("scheme", ["ftp", "file", "ws", "gopher", "unix", "http+unix", "javascript"])
def test_other_schemes(shared, scheme):
    assert shared.fetch(f"{scheme}://up.example/").code == 400


def test_pipelined_behind_connect(shared, destination):
    """What a refused tunnel would have carried is not taken for requests."""
    client, head = shared.connect(
        f"127.0.0.1:{destination.port}", early=b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    )
    assert head.code == 403
    assert client.read().endswith(b"</html>\n")
    client.close()


def test_connect_with_a_body(shared):
    client, head = shared.connect("up.example:443", fields=[("Content-Length", "5")], early=b"hello")
    assert head.code == 400
    client.close()


# -- whom it serves -----------------------------------------------------------------------------------------


def test_foreign_client(forward, destination):
    """Who is not in the list gets 403 for all of it, whatever its fields say."""
    server = forward(server="proxy_clients = 10.0.0.0/8\nproxy_destinations = 127.0.0.1:1-65535")
    url = f"http://127.0.0.1:{destination.port}/"
    for fields in ([], [("X-Forwarded-For", "10.0.0.1")], [("Forwarded", "for=10.0.0.1")]):
        response = server.fetch(url, fields=fields)
        assert response.code == 403
        assert b"it does not serve this client (proxy_clients in [server])" in response.body
    client, head = server.connect(f"127.0.0.1:{destination.port}")
    assert head.code == 403
    client.close()
    assert destination.nobody_waits()
    said = f"the forward proxy refuses GET {url} of 127.0.0.1 with 403: it does not serve this client"
    assert server.refusals() == [f"{said} ([server] proxy_clients)"]  # once, not each time


def test_behind_a_trusted_proxy(forward, destination, tmp_path):
    """What a proxy in front passes on is for this server: no field makes a client of the forward proxy."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("ours")
    server = forward(server=LISTS + "\ntrusted_proxies = 127.0.0.1", routes="/ = ./static")
    for fields in ([], [("X-Forwarded-For", "127.0.0.1")], [("X-Forwarded-For", "8.8.8.8, 127.0.0.1")]):
        assert server.fetch(f"http://127.0.0.1:{destination.port}/a.txt", fields=fields).body == b"ours"
        client, head = server.connect(f"127.0.0.1:{destination.port}", fields=fields)
        assert head.code == 403
        assert b"(trusted_proxies in [server])" in client.read()
        client.close()
    assert destination.nobody_waits()


@pytest.mark.parametrize(("client", "code"), [("1.2.3.4", 200), ("1.2.3.5", 403), (None, 403)])
def test_proxy_header(forward, destination, client, code):
    """The client of a PROXY header is the client; the proxy that names none is none itself."""
    lists = "proxy_clients = 1.2.3.4, 127.0.0.1\nproxy_destinations = 127.0.0.1:1-65535"
    server = forward(server=lists + "\ntrusted_proxies = 127.0.0.1\nproxy_protocol = yes")
    with server.client() as connection:
        line = f"PROXY TCP4 {client} 5.6.7.8 5000 80" if client else "PROXY UNKNOWN"
        connection.send(
            f"{line}\r\nCONNECT 127.0.0.1:{destination.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        )
        assert connection.read_head().code == code


@pytest.mark.parametrize(("clients", "code"), [("127.0.0.1", 403), ("127.0.0.1, unix", 200)])
def test_unix_socket(forward, destination, tmp_path, clients, code):
    """Clients of a Unix socket have no address: they are served where the list has the word."""
    path = tmp_path / "s"
    lists = LISTS.replace("127.0.0.1\n", f"{clients}\n", 1)
    server = forward(server=lists, place=f"listen = 127.0.0.1:0, unix:{path}")
    assert server.instance.urls
    with Client(str(path)) as client:
        client.send(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: x\r\n\r\n" % destination.port)
        assert client.read_head().code == code


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
def test_a_proxy_on_this_machine(forward, field):
    """Without a list of clients, this machine is served, but not what it passes on for others."""
    server = forward(server="", names={"up.example": [PRIVATE]})
    assert b"proxy_destinations" in server.fetch("http://up.example/").body
    response = server.fetch("http://up.example/", fields=[(field, "1.2.3.4")])
    assert (response.code, b"(proxy_clients in [server])" in response.body) == (403, True)


def test_http2(forward, destination, tmp_path):
    """HTTP/2 forwards nothing: another name is one that the default host answers, and CONNECT gets 405."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("ours")
    server = forward(server=LISTS + "\nh2c = yes", routes="/ = ./static")
    other = b"127.0.0.1:%d" % destination.port
    with H2Client(server.port) as client:
        request = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", other), (b":path", b"/a.txt")]
        client.raw(1, request)
        reply = client.reply(1)
        assert (reply.code, reply.body) == (200, b"ours")
        client.raw(3, [(b":method", b"CONNECT"), (b":authority", other)], ends=False)
        assert client.reply(3).code == 405
    assert destination.nobody_waits()


# -- the server's own names ---------------------------------------------------------------------------------


def test_own_hosts(forward, destination, tmp_path):
    """A target with a name of the server itself stays with its routes, and so does one with its address."""
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "a.txt").write_text("ours")
    server = forward(
        routes=": www.example.org .example.net\n/ = ./static", names={"other.example": [PRIVATE]}
    )
    port = server.port
    own = ("www.example.org", "WWW.example.org.:80", "a.example.net", f"www.example.org:{port}",
           f"127.0.0.1:{port}", f"localhost:{port}")  # fmt: skip
    for host in own[:4]:
        assert server.fetch(f"http://{host}/a.txt").body == b"ours", host
    for host in own[4:]:
        assert server.fetch(f"http://{host}/ping").body == b"pong"
    assert server.fetch("https://www.example.org/a.txt").body == b"ours"
    assert server.ask("*", "OPTIONS").code == 204
    assert server.asked == []
    assert server.fetch("http://other.example/ping").code == 403
    assert server.fetch(f"http://www.example.org:{destination.port}/ping").code == 502  # another port
    assert server.asked == ["other.example", "www.example.org"]


def test_own_app_gets_no_password(forward, tmp_path):
    """What the client tells a proxy is not told an app of the server."""
    (tmp_path / "shown.py").write_text(
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [repr(sorted(key for key in environ if 'PROXY' in key)).encode()]\n"
    )
    server = forward(routes=": www.example.org\n/ = ./shown:app")
    assert server.fetch("http://www.example.org/", fields=[basic("a", "b")]).body == b"[]"


def test_redirecting_port_has_no_tunnels():
    """The port that only leads to HTTPS opens none; test_redirecting has the rest."""
    from types import SimpleNamespace

    from skitai.server.redirecting import Redirecting

    class Site:
        def judge(self, request):
            raise AssertionError("the site was asked")

    address = SimpleNamespace(port=80)
    transport = SimpleNamespace(getHost=lambda: address)
    request = SimpleNamespace(
        method=b"CONNECT", path=b"", connection=SimpleNamespace(secure=False, transport=transport)
    )
    assert Redirecting(Site(), 80, None).judge(request) is False


# -- the search for addresses -------------------------------------------------------------------------------


def test_unknown_name(shared):
    """A name without any address is a 502."""
    assert shared.fetch("http://nowhere.example/").code == 502
    assert shared.fetch("http://empty.example/").code == 502


def test_unlisted_names_are_not_searched(forward):
    """What no item could allow is not even asked for: a search tells strangers something, too."""
    server = forward(server="proxy_clients = 127.0.0.1\nproxy_destinations = *.in.example:443")
    response = server.fetch("http://secret.evil.example/")
    assert (response.code, server.asked) == (403, [])
    assert b"secret.evil.example is not allowed (proxy_destinations in [server])" in response.body


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("http://a.in.example/", "proxy_destinations"),
        ("b.in.example:22", "proxy_destinations"),
        ("http://a.example.in:22/", "proxy_ports"),
        ("b.example.in:22", "proxy_connect_ports"),
    ],
)
def test_port_of_a_listed_name(forward, target, key):
    """The page names the key that decides: an item with a port of its own is for no other."""
    server = forward(server="proxy_clients = 127.0.0.1\nproxy_destinations = *.in.example:443, *.example.in")
    if target.startswith("http:"):
        response = server.fetch(target)
    else:
        client, response = server.connect(target)
        response.body = client.read()
        client.close()
    assert (response.code, server.asked) == (403, [])
    assert re.search(
        rb"port [0-9]+ of [ab]\.\S+ is not allowed \(%b in \[server\]\)" % key.encode(), response.body
    )


def test_slow_search(reactor_thread, tmp_path):
    """A search that does not end is a 504 that names the limit."""
    names = {"slow.example": Deferred(lambda _: None)}
    made = Forward(reactor_thread, tmp_path, server=ALL, http="connect_timeout = 300 ms", names=names)
    response = made.fetch("http://slow.example/")
    assert (response.code, b"connect_timeout in [http]" in response.body) == (504, True)
    made.stop()


def test_refusals_are_told_once_a_minute():
    """The log has one line for each client and reason in a minute, and keeps no list without an end."""
    from types import SimpleNamespace

    from skitai.services.forward import refusals
    from skitai.services.forward.refusals import Refusals, Refused

    clock = Clock()
    told = Refusals(clock.seconds)
    lines = []

    def refuse(host):
        peer = SimpleNamespace(host=host)
        request = SimpleNamespace(
            connection=SimpleNamespace(peer=peer), gone=True, method=b"GET", uri=b"http://a/"
        )
        before = len(told._told)
        told.answer(request, Refused(403, "proxy_clients", "no"))
        lines.append(told._told.get((host, "proxy_clients", 403)) == clock.seconds() + 60 and before)

    refuse("a")
    first = dict(told._told)
    clock.advance(59)
    refuse("a")
    assert told._told == first
    clock.advance(2)
    refuse("a")
    assert told._told != first
    for number in range(refusals._CLIENTS_MAX + 5):
        refuse(str(number))
    assert len(told._told) <= refusals._CLIENTS_MAX


def test_client_leaves_during_the_search(forward, reactor_thread):
    """Who is gone when the answer comes gets none."""
    answer = Deferred()
    server = forward(server=ALL, names={"late.example": answer})
    client = server.client()
    client.send(b"GET http://late.example/ HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: server.asked, "the search")
    reactor_thread.call(server.instance._factory.abort)
    eventually(lambda: not server.instance._factory.channels, "the end of the client")
    reactor_thread.call(lambda: answer.callback([PUBLIC]))
    assert server.counts()["requests"] == 0
    client.close()
