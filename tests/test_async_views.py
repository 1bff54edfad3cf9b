"""Coroutines of Flask and Django under each executor, in the server that users run."""

import importlib.util
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving import FIXTURE_APPS

pytest.importorskip("asgiref")

#: The keys of [server] for each executor.
EXECUTORS = {"threads": {"threads": 4}, "greenlets": {"threads": 0}, "cooperative": {"cooperative": "yes"}}


@pytest.fixture(scope="module")
def sleepy(running_server):
    """The URL of a server that answers when the seconds in the query are over."""
    return running_server({"/": f"{FIXTURE_APPS}/sleepy:app"}, threads=0).url


@pytest.fixture(scope="module", params=EXECUTORS)
def server(running_server, request):
    """A server of both apps."""
    if request.param == "cooperative" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    apps = {"/": f"{FIXTURE_APPS}/asyncflask:app", "/django": f"{FIXTURE_APPS}/asyncdjango:app"}
    return running_server(apps, **EXECUTORS[request.param])


@pytest.fixture
def ask(server, sleepy):
    """Return ``ask(path)``, which returns the response; the path is asked with a slow URL."""
    return lambda path: server.ask(f"{path}?url={sleepy}")


def text(response, code=200):
    assert response.code == code, (response.status, response.body)
    return response.body.decode()


def test_await_a_call(ask):
    """A view, hooks and error handlers may be coroutines; ``was`` and variables are the request's."""
    response = ask("/await")
    assert text(response) == "200"
    assert response["Seen"] == "/await /await /await"
    assert text(ask("/lookup"), 418) == "handled 200"


def test_tasks_of_one_loop_wait_together(ask):
    """Awaited calls overlap, and the loop goes on meanwhile."""
    began = time.monotonic()
    assert text(ask("/overlap")) == "4000 True"
    assert time.monotonic() - began < 20 * 0.5 / 2


def test_all_ways_to_wait(ask):
    """A coroutine may also block: that holds up its own loop only."""
    assert text(ask("/mixed")) == "{200} 11 True"


def test_deadlines_and_cancellation(ask):
    """A missed deadline is a result; a task that is cancelled cancels its call."""
    assert text(ask("/late")) == "705 1 702 [1]"


@pytest.mark.parametrize("point", ["", "/django"])
def test_what_a_coroutine_raises(ask, server, point):
    """It comes out with its traceback."""
    before = len(server.log_text())
    text(ask(f"{point}/fail"), 500)
    log = server.log_text()[before:]
    assert "ValueError: a coroutine fails on purpose" in log
    assert "in fail" in log


def test_functions_within_coroutines(ask):
    """``sync_to_async`` runs in the request's thread, and its functions may call coroutines."""
    response = ask("/sync")
    assert text(response) == "([200, 200]) True True function".replace("(", "").replace(")", "")


def test_a_loop_in_a_plain_view(ask):
    """``asyncio.run`` works, and calls may be awaited in it."""
    assert text(ask("/run")) == "['200', '200']"


def test_django(ask):
    """Views and middleware may be coroutines, sync middleware between them."""
    response = ask("/django/await")
    assert text(response) == "[200, 200]"
    assert response["Marked"] == "/await"
    assert text(ask("/django/stream")) == "0 200\n1 200\n2 200\n"
    assert text(ask("/django/database")) == "7 200"


def ask_all(ask, path, count):
    """Return the bodies of ``count`` requests at once, and the seconds that they took."""
    began = time.monotonic()
    with ThreadPoolExecutor(count) as threads:
        bodies = list(threads.map(lambda _: text(ask(path)), range(count)))
    return bodies, time.monotonic() - began


@pytest.mark.parametrize("path", ["/await", "/overlap", "/mixed", "/django/await"])
def test_many_at_once(ask, server, path):
    """A hundred requests wait at the same time, where there is no thread for each to wait for."""
    expected = text(ask(path))
    count = 100 if path.endswith("await") else 10
    bodies, _ = ask_all(ask, path, count)
    assert set(bodies) == {expected}
    assert text(server.ask("/ping")) == "pong"
