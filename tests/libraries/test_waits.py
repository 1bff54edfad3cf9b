"""What waits in the standard library and in simple HTTP clients, under each executor.

docs/executors.md says the same to users. A subject is a view of ``apps/waits.py``.
"""

import enum
import os
import signal
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from serving import eventually
from wire import PATIENCE, Client

pytest.importorskip("gevent")

APPS = Path(__file__).parent / "apps"
#: Each executor and its keys of [server]: enough threads for what happens at once, and for a few more.
EXECUTORS = {"threads": {"threads": 110}, "greenlets": {"threads": 0}, "cooperative": {"cooperative": "yes"}}


class Waits(enum.Enum):
    """How requests wait for a subject."""

    BESIDE = "at the same time, and others are answered"
    IN_TURN = "one after the other, and others are answered"
    BLOCKS = "right, but nobody else goes on"
    UNSAFE = "wrong, or for ever"


BESIDE, IN_TURN, BLOCKS, UNSAFE = Waits


@dataclass(frozen=True)
class Subject:
    """How requests of ``view`` wait in threads, in plain greenlets and in cooperative ones."""

    view: str
    threads: Waits = BESIDE
    greenlets: Waits = BLOCKS
    cooperative: Waits = BESIDE
    at_once: int = 100


SUBJECTS = [
    Subject("thread_local", greenlets=UNSAFE),
    Subject("lock", threads=IN_TURN, greenlets=UNSAFE, cooperative=IN_TURN),
    Subject("rlock", threads=IN_TURN, greenlets=UNSAFE, cooperative=IN_TURN),
    Subject("semaphore", threads=IN_TURN, greenlets=UNSAFE, cooperative=IN_TURN),
    Subject("sleep"),
    Subject("event"),
    Subject("condition"),
    Subject("queue"),
    Subject("thread", greenlets=UNSAFE),
    Subject("futures"),
    Subject("shared_pool"),
    Subject("run_process", at_once=20),
    Subject("wait_process", at_once=20),
    Subject("select"),
    Subject("poll"),
    Subject("selector"),
    Subject("socket"),
    Subject("requests"),
    Subject("requests_tls", at_once=20),
    Subject("urllib"),
    Subject("urllib_tls", at_once=20),
    Subject("flask_async", greenlets=BESIDE),
    Subject("fork", at_once=10),
    Subject("multiprocessing_fork", at_once=10),
    Subject("multiprocessing_spawn", at_once=2),
    Subject("process_pool", at_once=4),
    Subject("process_queue", at_once=10),
    Subject("process_manager", at_once=4),
]

#: Seconds that a request waits.
WAIT = 0.2
#: How many are sent where nobody else goes on meanwhile, and how long they wait.
FEW, SHORT = 2, 0.01
#: Threads that may go on for five seconds: gevent looks names up in threads.
LOOKUP_THREADS = {"threads": 0, "greenlets": 0, "cooperative": 10}
#: Seconds, at most, of the median answer to others. Machines that run tests may be slow and busy.
PROMPT = 1
#: Seconds that no test lets pass.
FOR_EVER = 3000
#: Seconds in which the server ends, though it has one for requests.
ENOUGH = 20


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    """The name of an executor."""
    return request.param


@pytest.fixture(scope="module")
def start(executor, running_server, upstream):
    """Return ``start()``: a server that has no patience when it ends."""

    def start():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TEST_UPSTREAM", upstream.url)
            patch.setenv("TEST_TLS_UPSTREAM", upstream.tls_url)
            patch.setenv("TEST_CERTIFICATE", str(upstream.certificate))
            return running_server({"/": f"{APPS}/waits:app"}, response_timeout="0.2", **EXECUTORS[executor])

    return start


@pytest.fixture(scope="module")
def server(executor, start):
    """A server in which each subject was met once, so that what is kept for good is there."""
    server = start()
    for subject in SUBJECTS:
        if getattr(subject, executor) is not UNSAFE:
            answers(send(server, subject.view, 1, SHORT))
    return server


def send(server, view, count, seconds):
    """Send ``count`` requests at once, each on a connection of its own; return the connections."""
    clients = [Client(server.port) for _ in range(count)]
    for number, client in enumerate(clients):
        client.send(
            f"GET /{view}?sent=number-{number}&seconds={seconds} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        )
    return clients


def answers(clients):
    """Return the bodies of the responses, and close the connections."""
    responses = [client.response() for client in clients]
    for client in clients:
        client.close()
    assert {response.code for response in responses} == {200}, responses[0].body
    return [response.body.decode() for response in responses]


def ask_one(server, view, sent):
    """Return the body of the response to one request."""
    return server.ask(f"/{view}?sent={sent}&seconds=0").body.decode()


def counts(server, view):
    """Ask a few times how many requests of ``view`` are under way: return that, and the median seconds."""
    found, seconds = [], []
    with Client(server.port) as client:
        for _ in range(9):
            began = time.monotonic()
            found.append(int(client.ask(f"/count?sent={view}&seconds=0").body))
            seconds.append(time.monotonic() - began)
    return found, statistics.median(seconds)


def children(pid):
    """Return the processes that a process has started, and those that these have."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += [int(child), *children(child)]
    return found


def holds(server):
    """Return how many threads, descriptors and children the server has once its garbage is collected."""
    ask_one(server, "collect", "all")
    pid = server.process.pid
    return len(os.listdir(f"/proc/{pid}/task")), len(os.listdir(f"/proc/{pid}/fd")), len(children(pid))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.view)
def test_each_waits_as_documented(server, executor, subject):
    """Each request gets what is its own, others are answered meanwhile, and nothing is left over."""
    waits = getattr(subject, executor)
    if waits is UNSAFE:
        pytest.skip(f"{executor} are not safe for it")
    before = holds(server)
    blocks = waits is BLOCKS
    count, wait = (FEW, SHORT) if blocks else (subject.at_once, WAIT)
    ask_one(server, "peak", subject.view)
    clients = send(server, subject.view, count, wait)
    if not blocks:
        found, seconds = counts(server, subject.view)
        assert max(found) > 0
        assert seconds < PROMPT
    assert answers(clients) == [f"number-{number}" for number in range(count)]
    assert (int(ask_one(server, "peak", subject.view)) == 1) == blocks
    allowed = before[0] + LOOKUP_THREADS[executor], *before[1:]
    eventually(lambda: all(now <= most for now, most in zip(holds(server), allowed, strict=True)), "the end")


@pytest.mark.parametrize("view", ["handler", "alarm"])
def test_handlers_of_signals(server, executor, view):
    """A view may handle signals where it runs in the main thread: Python refuses it in others."""
    said = ask_one(server, view, "it")
    refused = "signal only works in main thread of the main interpreter"
    assert said == (refused if executor == "threads" else "caught 1")


def test_who_shares_thread_locals(server, executor):
    """Thread-locals belong to a thread, of which all plain greenlets have one."""
    found = answers(send(server, "thread_local", 2, WAIT))
    assert found == (["number-1", "number-1"] if executor == "greenlets" else ["number-0", "number-1"])


def test_whom_a_reentrant_lock_excludes(server, executor):
    """An RLock lets in the thread that holds it, and so all plain greenlets."""
    clients = send(server, "rlock", 2, 50 * WAIT)  # it is held for a fiftieth of that
    found = {client.response().code for client in clients}
    for client in clients:
        client.close()
    assert (500 in found) == (executor == "greenlets")


def hold_up(server, executor):
    """Have the server wait for every subject, or for one of those that block; return the connections."""
    waiting = [subject.view for subject in SUBJECTS if getattr(subject, executor) in (BESIDE, IN_TURN)]
    clients = []
    for view in waiting:
        clients += send(server, view, 2, FOR_EVER)
        eventually(lambda view=view: ask_one(server, "count", view) == "2", f"that {view} waits")
    return clients + send(server, "multiprocessing_spawn", 1, FOR_EVER)


def end_in_the_middle(server, executor, number):
    """Send signal ``number`` while the server waits for every subject; it must end by it."""
    clients = hold_up(server, executor)
    began = time.monotonic()
    server.process.send_signal(number)
    try:
        assert server.process.wait(PATIENCE) == -number, server.log_text()
        assert time.monotonic() - began < ENOUGH
    finally:
        for client in clients:
            client.close()
        with suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)  # what the views have begun outlives the server


def test_sigint_in_the_middle(start, executor):
    """SIGINT ends the server while requests wait for each subject."""
    end_in_the_middle(start(), executor, signal.SIGINT)


def test_sigterm_in_the_middle(server, executor):
    """SIGTERM ends the server while requests wait for each subject."""
    end_in_the_middle(server, executor, signal.SIGTERM)
