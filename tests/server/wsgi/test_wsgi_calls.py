"""Calls of apps on a real server: gathered, taken as they come, forgotten, detached."""

import pytest
from twisted.internet.defer import Deferred

from serving import eventually
from skitai import was
from skitai.calls.group import CallGroup
from skitai.calls.operation import Operation
from skitai.calls.service import Service


class Delayed(Service):
    """Answers ``ask(host, seconds)`` with the host after that time; ``cancelled`` are those that were cut."""

    default_port = 80

    def __init__(self):
        self.reactor = None
        self.begun = []
        self.cancelled = []
        self.answered = []

    def operation(self, target, seconds=0.0, filter=None):  # noqa: A002 - as in Operation
        return Operation(target, seconds, filter=filter)

    def perform(self, node, operation):
        self.begun.append(node.host)
        deferred = Deferred(lambda _: self.cancelled.append(node.host))
        self.reactor.callLater(operation.request, self._answer, deferred, node.host)
        return deferred

    def _answer(self, deferred, host):
        if not deferred.called:
            self.answered.append(host)
            deferred.callback(host)


@pytest.fixture
def service(reactor_thread):
    service = Delayed()
    service.reactor = reactor_thread.reactor
    return service


@pytest.fixture
def view(serve, service):
    """Serve a function that returns text, or a generator of it; return the gateway."""

    def start(function):
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            body = function()
            if isinstance(body, str):
                return [body.encode()]
            return (piece.encode() for piece in body)

        return serve(app, services={"ask": service})

    return start


NEVER = 3600


def test_gather(view):
    """An app gathers several answers in its own order."""
    gateway = view(lambda: " ".join(was.gather(was.ask("slow", 0.05), was.ask("fast"), timeout=60).data))
    assert gateway.ask("/").body == b"slow fast"


def test_as_completed(view):
    """An app takes the answers as they come."""

    def slow_first():
        calls = was.ask("slow", 0.2), was.ask("fast")
        return " ".join(result.data for result in was.as_completed(calls, timeout=60))

    assert view(slow_first).ask("/").body == b"fast slow"


def test_forgotten_calls_are_cancelled(view, service):
    """What the app did not wait for is cancelled when its request ends."""

    def forget():
        was.ask("forgotten", NEVER)
        was.ask("detached", 0.01, detach=True)
        return was.ask("wanted").getwait(60).data

    gateway = view(forget)
    assert gateway.ask("/").body == b"wanted"
    eventually(lambda: service.cancelled == ["forgotten"], "the end of the forgotten call")
    eventually(lambda: "detached" in service.answered, "the answer to the detached call")
    eventually(lambda: gateway.table.dispatcher.in_flight == 0, "the end of the detached call")


def test_forgotten_by_an_app_that_fails(view, service):
    """An app that raises leaves no call behind."""

    def fail():
        was.ask("forgotten", NEVER)
        raise RuntimeError("on purpose")

    gateway = view(fail)
    assert gateway.ask("/").status.startswith("500")
    # A thread may have failed before the reactor began the call.
    eventually(lambda: service.cancelled == service.begun, "the end of the forgotten call")
    eventually(lambda: gateway.table.dispatcher.in_flight == 0, "the end of the forgotten call")


@pytest.mark.parametrize("together", ["gather", "as_completed", "map"])
def test_forgotten_by_a_wait_that_raises(view, service, together):
    """Waiting for several calls ends with the first filter that raises; the others end with the request."""

    def refuse(result):
        raise LookupError("not this one")

    def fail():
        calls = was.ask("bad", filter=refuse), was.ask("forgotten", NEVER), was.ask("forgotten", NEVER)
        if together == "gather":
            return was.gather(*calls, timeout=60)
        if together == "as_completed":
            return list(was.as_completed(calls, timeout=60))
        return CallGroup(calls).getswait(60)

    gateway = view(fail)
    assert gateway.ask("/").code == 500
    assert "not this one" in gateway.failures[0]
    # Not ``service.cancelled``: one that the reactor has not begun yet need not be cancelled.
    eventually(lambda: gateway.table.dispatcher.in_flight == 0, "the end of the forgotten calls")


def test_a_streaming_response_ends_with_its_iterable(view, service):
    """Calls go on while the response is being made, and end with it."""

    def stream():
        was.ask("forgotten", NEVER)
        call = was.ask("used", 0.05)

        def pieces():
            yield "first "
            yield call.getwait(60).data
            was.ask("late", NEVER)

        return pieces()

    gateway = view(stream)
    assert gateway.ask("/").body == b"first used"
    eventually(lambda: "forgotten" in service.cancelled, "the end of the forgotten call")
    eventually(lambda: gateway.table.dispatcher.in_flight == 0, "the end of the late call")


def test_a_client_that_leaves(view, service):
    """When the client goes in the middle of a response, the calls of the app end with the app."""

    def stream():
        was.ask("forgotten", NEVER)

        def pieces():
            while True:
                yield "x" * 65536

        return pieces()

    client = view(stream).client()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: service.begun, "the call")
    client.close()
    eventually(lambda: service.cancelled == ["forgotten"], "the end of the forgotten call")
