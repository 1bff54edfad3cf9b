"""Each request has a context of its own, for all its parts; nothing of it is left afterwards."""

import decimal
import gc
import weakref
from contextvars import ContextVar, copy_context

import pytest

from serving import eventually
from skitai.context import current_was, get_current, run_in_executor
from skitai.loop.bridge import Pending

NUMBER = ContextVar("number")


@pytest.fixture
def serve_in_one(serve, threads):
    """Return ``serve_in_one(app)``: a gateway whose requests all run in the same thread or greenlet."""
    return lambda mounts: serve(mounts, threads=min(threads, 1))


def respond(start_response, *values):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(map(str, values)).encode()]


def test_a_request_begins_with_an_empty_context(serve_in_one):
    """It sees no variable of the one before, nor its precision of decimals, nor those of the server."""

    def app(environ, start_response):
        found = [variable.name for variable in copy_context() if variable is not current_was]
        number, precision = NUMBER.get("unset"), decimal.getcontext().prec
        NUMBER.set("set")
        decimal.getcontext().prec = 3
        return respond(start_response, number, precision, found)

    gateway = serve_in_one(app)
    expected = f"unset {decimal.DefaultContext.prec} []".encode()
    assert [gateway.ask().body for _ in range(3)] == [expected] * 3


def test_requests_that_wait_side_by_side_share_nothing(serve):
    """Each of several requests under way finds its own value again."""
    gates = [Pending() for _ in range(3)]

    def app(environ, start_response):
        mine = environ["QUERY_STRING"]
        NUMBER.set(mine)
        decimal.getcontext().prec = int(mine) + 1
        assert gateway.bridge.wait(gates[int(mine)], 60)
        return respond(start_response, NUMBER.get(), decimal.getcontext().prec)

    gateway = serve(app)
    clients = [gateway.client() for _ in gates]
    for number, client in enumerate(clients):
        client.send(f"GET /?{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    eventually(lambda: gateway.executor.statistics()["running"] == len(gates))
    for gate in reversed(gates):
        gateway.loop.call(gate.end)
    assert [client.response().body for client in clients] == [b"0 1", b"1 2", b"2 3"]
    for client in clients:
        client.close()


def test_generator_and_close_are_parts_of_the_request(serve):
    """A token that the app made can be reset in its generator, and one of the generator in ``close``."""
    closed = []

    class Body:
        def __init__(self, token):
            self._pieces = self._generate(token)

        def __iter__(self):
            return self._pieces

        def _generate(self, token):
            yield b"a"
            assert NUMBER.get() == 1
            NUMBER.reset(token)
            self.token = NUMBER.set(2)
            yield b"b"

        def close(self):
            NUMBER.reset(self.token)
            closed.append((NUMBER.get(None), get_current().env["PATH_INFO"]))

    def app(environ, start_response):
        start_response("200 OK", [])
        return Body(NUMBER.set(1))

    gateway = serve(app)
    assert gateway.ask("/path").body == b"ab"
    eventually(lambda: closed)
    assert closed == [(None, "/path")]
    assert not gateway.failures


def test_a_file_that_the_server_sends_is_read_and_closed_in_the_request(serve, tmp_path):
    """``read`` and ``close`` of a wrapped file see what the app has set, in whichever thread they run."""
    path, seen = tmp_path / "file", []
    path.write_bytes(b"x" * 100_000)

    class File:
        def __init__(self, token):
            self._file = open(path, "rb")
            self._token = token
            self.fileno = self._file.fileno

        def read(self, size):
            seen.append(NUMBER.get(None))
            return self._file.read(size)

        def close(self):
            self._file.close()
            NUMBER.reset(self._token)
            seen.append((NUMBER.get(None), get_current().env["PATH_INFO"]))

    def app(environ, start_response):
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](File(NUMBER.set(1)))

    gateway = serve(app)
    assert len(gateway.ask("/path").body) == 100_000
    eventually(lambda: seen[-1] == (None, "/path"))
    assert set(seen[:-1]) == {1}
    assert not gateway.failures


def test_nothing_of_a_request_is_kept(serve_in_one):
    """What a request has set is freed at its end, although its thread or greenlet is kept."""

    class Thing:
        pass

    things = []

    def app(environ, start_response):
        thing = Thing()
        NUMBER.set(thing)
        things.append(weakref.ref(thing))
        return respond(start_response)

    gateway = serve_in_one(app)
    gateway.ask()
    eventually(lambda: things[0]() is None or gc.collect() < 0)


def test_other_tasks_have_a_context_of_their_own(serve_in_one):
    """A function that a plugin runs sees nothing of requests, and leaves them nothing."""

    def app(environ, start_response):
        number = NUMBER.get("unset")
        NUMBER.set("request")
        return respond(start_response, number)

    def function(was):
        seen.append((NUMBER.get("unset"), get_current() is was))
        NUMBER.set("function")

    gateway, seen = serve_in_one(app), []
    for count in range(1, 3):
        assert gateway.ask().body == b"unset"
        gateway.loop.call(run_in_executor, gateway.executor, gateway.table, function)
        eventually(lambda count=count: len(seen) == count)
    assert seen == [("unset", True)] * 2


def test_the_reactor_sees_nothing_of_requests(serve):
    """Those who are told of the end of a request are in the reactor's context, in either executor."""
    seen = []

    def app(environ, start_response):
        NUMBER.set("request")
        return respond(start_response)

    gateway = serve(app)

    def observe(request):
        seen.append((NUMBER.get("unset"), current_was.get(None)))

    gateway.factory.observers += (observe,)
    gateway.ask()
    eventually(lambda: seen)
    assert seen == [("unset", None)]
    assert gateway.loop.call(lambda: NUMBER.get("unset")) == "unset"


def test_the_locals_of_asgiref(serve_in_one):
    """What Django and others keep in a ``Local`` of asgiref is gone when the next request begins."""
    local = pytest.importorskip("asgiref.local").Local()

    def app(environ, start_response):
        left = getattr(local, "user", "nobody")
        local.user = "ann"
        return respond(start_response, left, local.user)

    gateway = serve_in_one(app)
    assert [gateway.ask().body for _ in range(3)] == [b"nobody ann"] * 3
