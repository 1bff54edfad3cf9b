"""Many requests at once, replies that are too long or break off, clients that leave, and what is counted."""

import socket
import threading

import pytest
from cache_world import reply

from serving import eventually

LOOKUP = "X-Cache-Lookup"
FRESH = "Cache-Control: max-age=60"
GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Gate:
    """A reply that begins at once and goes on when the test says so."""

    def __init__(self, begin, rest=b"", then=None):
        self.begin = begin
        self.rest = rest
        self.then = then
        self.event = threading.Event()

    def __call__(self, connection):
        connection.send(self.begin)
        assert self.event.wait(60)
        connection.send(self.rest)
        if self.then is not None:
            self.then(connection)

    def open(self):
        self.event.set()


def leave(client):
    """Close with a RST: after a FIN a client might still read."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()


@pytest.fixture
def waiting(caching):
    """Return ``waiting(gate, count, cache="")``: the cache, and clients that wait for the first of them."""
    clients = []

    def start(gate, count=3, cache="", fields=b"", **config):
        made = caching(cache, **config)
        made.member.replies.append(gate)
        for number in range(count):
            clients.append(made.server.client())
            clients[-1].send(GET if number == 0 else GET[:-2] + fields + b"\r\n")
            if number == 0:
                made.member.wait_for(1)
        flights = made.mount._flights
        assert eventually(
            lambda: sum(len(each._waiting) for each in list(flights.values())) == count - 1, "those who wait"
        )
        return made, clients

    yield start
    for client in clients:
        client.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nCache-Control: max-age=60\r\n\r\nab"


def test_one_for_many(waiting):
    """One request goes to the member, and all get its reply."""
    gate = Gate(HEAD, b"cd")
    cache, clients = waiting(gate)
    gate.open()
    responses = [client.response() for client in clients]
    assert {response.body for response in responses} == {b"abcd"}
    assert [response[LOOKUP] for response in responses] == ["MISS", "MEM_HIT", "MEM_HIT"]
    assert cache.asked == 1


def test_one_validates_for_many(waiting, clock, caching):
    """The same for a reply that is validated, even if it is to be validated each time."""
    gate = Gate(b"", b'HTTP/1.1 304 Same\r\nETag: "1"\r\n\r\n')
    cache = caching()
    cache.put("Cache-Control: no-cache", 'ETag: "1"')
    cache.member.replies.append(gate)
    with cache.server.client() as first, cache.server.client() as second:
        first.send(GET)
        cache.member.wait_for(2)
        second.send(GET)
        assert eventually(lambda: next(iter(cache.mount._flights.values()))._waiting, "the second")
        gate.open()
        assert [client.response()[LOOKUP] for client in (first, second)] == ["REVALIDATED"] * 2
    assert cache.asked == 2


@pytest.mark.parametrize("says", ["no-store", "private", "max-age=0"])
def test_not_for_many(waiting, says):
    """If the reply is not for the others, they all ask, and nobody waits for this target for a while."""
    gate = Gate(b"", reply(b"mine", f"Cache-Control: {says}"))
    cache, clients = waiting(gate)
    later = Gate(b"", reply(b"late"))
    cache.member.replies += [later, later, later]
    gate.open()
    assert clients[0].response().body == b"mine"
    cache.member.wait_for(3)
    clients.append(cache.server.client())
    clients[-1].send(GET)
    cache.member.wait_for(4)
    later.open()
    assert {client.response().body for client in clients[1:]} == {b"late"}


def test_the_memory_of_that_ends(caching, clock):
    """After two minutes somebody may wait again, and at once if a reply was stored."""
    cache = caching()
    cache.put("Cache-Control: no-store")
    key = (False, b"localhost", b"/a")
    assert cache.mount._is_unstored(key)
    clock.now += 121
    assert not cache.mount._is_unstored(key)
    cache.put("Cache-Control: no-store")
    cache.put(FRESH)
    assert not cache.mount._is_unstored(key)
    for number in range(4100):
        cache.mount.remember_unstored((False, b"", b"%d" % number))
    assert len(cache.mount._unstored) < 4096


def test_waiting_ends(waiting):
    """Who has waited for ``wait_max`` asks alone."""
    gate = Gate(HEAD, b"cd")
    cache, clients = waiting(gate, cache="wait_max = 50 ms")
    cache.member.replies += [reply(b"2", FRESH), reply(b"3", FRESH)]
    assert {client.response().body for client in clients[1:]} == {b"2", b"3"}
    gate.open()
    assert clients[0].response().body == b"abcd"
    assert cache.ask().body == b"abcd"


def test_the_first_leaves(waiting):
    """If the client that all wait for leaves, before or in the middle of the reply, another one asks."""
    for begin in (b"", HEAD):
        gate = Gate(begin)
        cache, clients = waiting(gate)
        if begin:
            clients[0].read_head()
        before = cache.asked
        cache.member.replies.append(reply(b"whole", FRESH))
        leave(clients[0])
        cache.member.wait_for(before + 1)
        assert {client.response().body for client in clients[1:]} == {b"whole"}
        assert cache.asked == before + 1
        gate.open()
        for client in clients:
            client.close()
        clients.clear()


def test_others_leave(waiting):
    """Who has left while it waited is forgotten."""
    gate = Gate(HEAD, b"cd")
    cache, clients = waiting(gate)
    leave(clients[1])
    assert eventually(
        lambda: any(request.gone for request, _ in next(iter(cache.mount._flights.values()))._waiting),
        "the end",
    )
    gate.open()
    assert clients[2].response()[LOOKUP] == "MEM_HIT"


def test_no_member(waiting):
    """If the member fails, the others ask each for itself, and do not queue for it."""
    gate = Gate(b"", b"", lambda connection: connection.socket.shutdown(socket.SHUT_RDWR))
    cache, clients = waiting(gate)
    later = Gate(b"", reply(b"late", FRESH))
    cache.member.replies += [later, later]
    gate.open()
    assert clients[0].response().code == 502
    cache.member.wait_for(3)
    later.open()
    assert {client.response().body for client in clients[1:]} == {b"late"}


@pytest.mark.parametrize("user", [b"Cookie: a=b\r\n", b"Cache-Control: no-cache\r\n"])
def test_who_does_not_wait(caching, user):
    """A user's request, or one for a new reply, goes its own way."""
    cache = caching()
    gate = Gate(HEAD, b"cd")
    cache.member.replies += [gate, reply(b"own")]
    with cache.server.client() as first, cache.server.client() as second:
        first.send(GET)
        cache.member.wait_for(1)
        second.send(GET[:-2] + user + b"\r\n")
        assert second.response().body == b"own"
        gate.open()
        assert first.response().body == b"abcd"


def test_broken_off(waiting):
    """A reply that breaks off is not stored; those who wait ask for another."""
    gate = Gate(HEAD, b"", lambda connection: connection.reset())
    cache, clients = waiting(gate)
    cache.member.replies.append(reply(b"whole", FRESH))
    gate.open()
    assert not clients[0].response().complete
    assert {client.response().body for client in clients[1:]} == {b"whole"}
    assert cache.asked == 2


@pytest.mark.parametrize(
    "framed",
    [
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nCache-Control: max-age=60\r\n\r\nabc",
    ],
)
def test_until_close(caching, framed):
    """A reply whose end is that of the connection might not be complete."""
    cache = caching()

    def answer(connection):
        connection.send(framed)
        connection.socket.shutdown(2)

    cache.member.replies.append(answer)
    assert cache.ask().body == b"abc"
    assert cache.put(FRESH)[LOOKUP] == "MISS"


def test_chunked(caching):
    """A chunked reply is stored whole, and has a length then."""
    cache = caching()
    cache.member.replies.append(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nCache-Control: max-age=60\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert cache.ask().body == b"abcde"
    response = cache.ask()
    assert (response.body, response["Content-Length"], response[LOOKUP]) == (b"abcde", "5", "MEM_HIT")


@pytest.mark.parametrize("chunked", [False, True])
def test_too_long(caching, chunked):
    """A reply above the limit is passed on and not held, also if its length comes out late."""
    cache = caching("memory_object_max = 100 kb")
    body = bytes(3_000_000)
    if chunked:
        framed = b"".join(b"186a0\r\n" + body[:100_000] + b"\r\n" for _ in range(30)) + b"0\r\n\r\n"
        head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n\r\n".encode()
        cache.member.replies += [head + framed] * 2
    else:
        cache.member.replies += [reply(body, FRESH)] * 2
    for _ in range(2):
        response = cache.ask()
        assert (response.body, response[LOOKUP]) == (body, "MISS")
    assert cache.statistics()["memory_bytes"] == 0


def test_memory_is_limited(caching):
    """What was used last stays."""
    cache = caching("memory_max = 100 kb")
    for number in range(8):
        cache.put(FRESH, target=f"/{number}", body=bytes(15_000))
        cache.ask("/0")
    assert cache.ask("/7")[LOOKUP] == "MEM_HIT"
    assert cache.ask("/0")[LOOKUP] == "MEM_HIT"
    assert cache.put(FRESH, target="/1")[LOOKUP] == "MISS"
    assert cache.statistics()["memory_bytes"] <= 100 << 10


@pytest.mark.parametrize("where", ["", "folder = cache"])
def test_incomplete_replies_are_limited(caching, where):
    """What is collected of many replies at once takes no more memory than all that are stored."""
    cache = caching(f"memory_max = 200 kb\n{where}")
    gate = Gate(HEAD[:-2].replace(b"Length: 4", b"Length: 150000") + bytes(75_000), bytes(75_000))
    cache.member.replies += [gate] * 8
    clients = [cache.server.client() for _ in range(8)]
    for number, client in enumerate(clients):
        client.send(GET.replace(b"/a", b"/%d" % number))
    for client in clients:
        client.read_head()
        client.read(75_000)
    assert 100_000 < cache.mount.store.collected <= 200 << 10
    leave(clients.pop())
    gate.open()
    assert {client.read(75_000) for client in clients} == {bytes(75_000)}
    assert eventually(lambda: cache.mount.store.collected == 0, "the end of all")
    for client in clients:
        client.close()
    if where:
        assert {cache.ask(f"/{number}").body for number in range(7)} == {bytes(150_000)}
        assert cache.asked == 8


def test_variants_are_limited(caching):
    """Of a target with many variants only the newest are kept."""
    cache = caching()
    for number in range(40):
        cache.put(FRESH, "Vary: X-A", asking=(f"X-A: {number}",))
    assert cache.ask("/a", "X-A: 39")[LOOKUP] == "MEM_HIT"
    assert cache.put(FRESH, "Vary: X-A", asking=("X-A: 0",))[LOOKUP] == "MISS"
    assert cache.statistics()["memory_bytes"] < 40 * 1100


def test_removed_meanwhile(caching):
    """A reply that was on its way when its target changed is not stored."""
    cache = caching()
    gate = Gate(HEAD, b"cd")
    cache.member.replies += [gate, reply()]
    with cache.server.client() as client:
        client.send(GET)
        cache.member.wait_for(1)
        assert cache.ask(method="POST").code == 200
        gate.open()
        assert client.response().body == b"abcd"
    assert cache.put(FRESH)[LOOKUP] == "MISS"


def test_removed_while_it_is_validated(caching, clock):
    """A 304 that was on its way then is good for once."""
    cache = caching()
    cache.put("Cache-Control: no-cache", 'ETag: "1"')
    gate = Gate(b"", b'HTTP/1.1 304 Same\r\nETag: "1"\r\nCache-Control: max-age=60\r\n\r\n')
    cache.member.replies += [gate, reply()]
    with cache.server.client() as client:
        client.send(GET)
        cache.member.wait_for(2)
        cache.ask(method="POST")
        gate.open()
        assert client.response()[LOOKUP] == "REVALIDATED"
    assert cache.put(FRESH)[LOOKUP] == "MISS"


def test_without_the_option(caching):
    """Other routes know nothing of the cache, also to the same members."""
    cache = caching(routes="/ = @up\n/kept = @up cache=yes")
    assert cache.put(FRESH)[LOOKUP] is None
    assert cache.put(FRESH)[LOOKUP] is None
    assert cache.put(FRESH, target="/kept/a")[LOOKUP] == "MISS"
    assert cache.ask("/kept/a")[LOOKUP] == "MEM_HIT"


def test_rewritten(caching):
    """What is stored is what the client got, with the names that it knows."""
    cache = caching(routes="/shop = @up cache=yes rewrite=yes")
    assert cache.put(FRESH, "Location: /b", target="/shop/a", code=301)["Location"] == "/shop/b"
    assert cache.ask("/shop/a")["Location"] == "/shop/b"


def test_figures(caching):
    """The metrics count by the words of X-Cache-Lookup, and the status page has the sizes."""
    cache = caching()
    cache.put(FRESH)
    cache.ask()
    cache.put(FRESH, asking=("Cache-Control: no-store",))
    found = {
        metric.name: dict(metric.values) for metric in cache.server.loop.call(cache.server.instance.metrics)
    }
    counted = found["skitai_proxy_cache_total"]
    assert counted == {("/", "@up", word): 1 for word in ("MISS", "MEM_HIT", "PASSED")}
    assert found["skitai_proxy_cache_memory_bytes"][()] > 1000
    assert cache.statistics()["replies in memory"] == 1
