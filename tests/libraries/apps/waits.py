"""A view for each way to wait in the standard library and in simple HTTP clients.

The views know of no greenlets; of ``was`` they use only what lets time pass while they hold something. Each
takes what the request sent and for how many seconds it is to wait, and returns what the request sent.
"""

import gc
import multiprocessing
import os
import select
import selectors
import signal
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from queue import Empty, Queue

import requests
from flask import Flask, request

from skitai import was

UPSTREAM = os.environ["TEST_UPSTREAM"]
TLS_UPSTREAM = os.environ["TEST_TLS_UPSTREAM"]
CERTIFICATE = os.environ["TEST_CERTIFICATE"]

#: Seconds after which a view gives up, which no test lets pass.
PATIENCE = 120

mine = threading.local()
the_lock = threading.Lock()
the_rlock = threading.RLock()
the_semaphore = threading.BoundedSemaphore(10)
in_lock, in_rlock, in_semaphore = [], [], []
under_way = Counter()
most = Counter()
pool = ThreadPoolExecutor(10)
together = threading.Barrier(10)
list(pool.map(lambda _: together.wait(), range(10)))  # so that all its threads are there from the start


def later(seconds, function, *args):
    """Call ``function`` from a timer of the standard library."""
    threading.Timer(seconds, function, args).start()


# What requests must have for themselves, or share in turn, while they wait for something else.


def thread_local(sent, seconds):
    """Keep something in a thread-local over a call."""
    mine.value = sent
    was.sleep(seconds)
    return mine.value


def few(inside, most, sent, seconds):
    """Return what was sent, if no more than ``most`` requests are ``inside`` meanwhile."""
    inside.append(sent)
    try:
        assert len(inside) <= most, inside
        was.sleep(seconds / 50)
        assert len(inside) <= most, inside
    finally:
        inside.remove(sent)
    return sent


def lock(sent, seconds):
    """Hold a lock over a call."""
    with the_lock:
        return few(in_lock, 1, sent, seconds)


def rlock(sent, seconds):
    """Hold a lock twice over a call."""
    with the_rlock, the_rlock:
        return few(in_rlock, 1, sent, seconds)


def semaphore(sent, seconds):
    """Be one of ten over a call."""
    with the_semaphore:
        return few(in_semaphore, 10, sent, seconds)


# Waiting for a thread of one's own.


def sleep(sent, seconds):
    """Sleep."""
    time.sleep(seconds)
    return sent


def event(sent, seconds):
    """Wait for an event that a timer sets."""
    happened = threading.Event()
    later(seconds, happened.set)
    assert happened.wait(PATIENCE)
    return sent


def condition(sent, seconds):
    """Wait until a timer has changed something."""
    changed, values = threading.Condition(), []

    def change():
        with changed:
            values.append(sent)
            changed.notify_all()

    later(seconds, change)
    with changed:
        assert changed.wait_for(lambda: values, PATIENCE)
    return values[0]


def queue(sent, seconds):
    """Wait in vain for something in a queue, and then for what a timer puts there."""
    values = Queue()
    try:
        values.get(timeout=seconds / 10)
    except Empty:
        later(seconds, values.put, sent)  # not before: on a busy machine it could come first
        return values.get(timeout=PATIENCE)
    raise AssertionError("the queue was not empty")


def thread(sent, seconds):
    """Join a thread, in which ``was`` works and thread-locals are its own."""
    found = []

    def run():
        assert not hasattr(mine, "value")
        was.sleep(seconds)
        found.append(sent)

    mine.value = sent
    started = threading.Thread(target=run)
    started.start()
    started.join()
    return found[0]


def futures(sent, seconds):
    """Wait for functions in a pool of one's own."""
    with ThreadPoolExecutor(2) as own:
        futures = [own.submit(sleep, sent, part) for part in (seconds, seconds / 2)]
        return {done.result() for done in as_completed(futures)}.pop()


def shared_pool(sent, seconds):
    """Wait for a function in the pool of the app."""
    return pool.submit(sleep, sent, seconds / 10).result()


# Waiting for other processes, for descriptors and for the network.


def run_process(sent, seconds):
    """Wait for what another process writes."""
    script = "read sent; sleep $1; echo $sent"
    command = ["sh", "-c", script, "sh", str(seconds)]
    return subprocess.run(command, input=sent, capture_output=True, text=True, check=True).stdout.strip()


def wait_process(sent, seconds):
    """Wait for the end of another process."""
    assert subprocess.call(["sleep", str(seconds)], timeout=PATIENCE) == 0
    return sent


def through_sockets(wait, sent, seconds):
    """Wait with ``wait`` until a timer has sent something."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        later(seconds, theirs.sendall, sent.encode())
        wait(ours)
        return ours.recv(100).decode()


def by_select(ours):
    assert select.select([ours], [], [], PATIENCE)[0] == [ours]


def by_poll(ours):
    poll = select.poll()
    poll.register(ours, select.POLLIN)
    assert poll.poll(PATIENCE * 1000) == [(ours.fileno(), select.POLLIN)]


def by_selector(ours):
    with selectors.DefaultSelector() as selector:
        selector.register(ours, selectors.EVENT_READ)
        assert [key.fileobj for key, _ in selector.select(PATIENCE)] == [ours]


def by_receiving(ours):
    ours.settimeout(PATIENCE)


def through_requests(url, sent, seconds):
    """Ask another server by requests."""
    return requests.get(url, {"sent": sent, "seconds": seconds}, timeout=PATIENCE, verify=CERTIFICATE).text


def through_urllib(url, sent, seconds):
    """Ask another server by urllib."""
    context = ssl.create_default_context(cafile=CERTIFICATE)
    with urllib.request.urlopen(
        f"{url}?sent={sent}&seconds={seconds}", timeout=PATIENCE, context=context
    ) as response:
        return response.read().decode()


# Signals and forks.


def caught(number, send):
    """Return what a handler of signal ``number`` has seen after ``send()`` and a sleep."""
    seen = []
    before = signal.signal(number, lambda *_: seen.append(number))
    try:
        send()
        time.sleep(0.2)
    finally:
        signal.signal(number, before)
    return seen


def handler(sent, seconds):
    """Set a handler of a signal, which Python allows in the main thread only."""
    try:
        seen = caught(signal.SIGUSR1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
    except ValueError as error:
        return str(error)
    return f"caught {len(seen)}"


def alarm(sent, seconds):
    """Be interrupted by a timer of the system."""
    try:
        seen = caught(signal.SIGALRM, lambda: signal.setitimer(signal.ITIMER_REAL, 0.05))
    except ValueError as error:
        return str(error)
    return f"caught {len(seen)}"


def fork(sent, seconds):
    """Wait for a child that sleeps and then says something."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        time.sleep(seconds)
        os.write(writable, sent.encode())
        os._exit(7)
    os.close(writable)
    _, status = os.waitpid(child, 0)  # first: os.read holds up all greenlets
    assert os.waitstatus_to_exitcode(status) == 7
    with open(readable) as pipe:
        return pipe.read()


def in_child(method, sent, seconds):
    """Wait for what a process of multiprocessing puts into a pipe."""
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=send_later, args=(theirs, sent, seconds))
    process.start()
    theirs.close()
    process.join()  # first, for the same reason
    assert process.exitcode == 0
    process.close()
    with ours:
        return ours.recv()


def in_pool(sent, seconds):
    """Wait for a process of a pool."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(give_later, (sent, seconds))


def through_queue(sent, seconds):
    """Wait for a queue that another process fills with more than a pipe takes at once."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=put_later, args=(queue, sent, seconds))
    process.start()
    found = queue.get()
    process.join()
    queue.close()
    queue.join_thread()
    return found[:-MUCH]


def through_manager(sent, seconds):
    """Wait for a process that writes to a dict of a manager."""
    context = multiprocessing.get_context("fork")
    with context.Manager() as manager:
        shared = manager.dict()
        process = context.Process(target=write_later, args=(shared, sent, seconds))
        process.start()
        process.join()
        return shared["sent"]


#: Characters, more than a pipe takes at once.
MUCH = 100_000


def give_later(sent, seconds):
    time.sleep(seconds)
    return sent


def put_later(queue, sent, seconds):
    queue.put(give_later(sent, seconds) + MUCH * "x")


def write_later(shared, sent, seconds):
    shared["sent"] = give_later(sent, seconds)


def send_later(connection, sent, seconds):
    """Send something, in a process of its own; it ends with the server, which may be ended before."""
    multiprocessing.parent_process().join(seconds)
    connection.send(sent)


flask_app = Flask(__name__)


@flask_app.get("/flask_async")
async def flask_async():
    """Sleep in a coroutine, as Flask runs it."""
    import asyncio

    await asyncio.sleep(float(request.args["seconds"]))
    return request.args["sent"]


def count(sent, seconds):
    """Return how many requests of the view that was sent are under way."""
    return str(under_way[sent])


def peak(sent, seconds):
    """Return how many requests of the view that was sent have been under way at once; forget it."""
    return str(most.pop(sent))


def collect(sent, seconds):
    """Collect garbage: requests and asyncio leave sockets in reference cycles."""
    gc.collect()
    return sent


VIEWS = {
    view.__name__: view
    for view in (
        thread_local, lock, rlock, semaphore, sleep, event, condition, queue, thread, futures, shared_pool,
        run_process, wait_process, handler, alarm, fork, count, peak, collect,
    )
} | {
    "select": partial(through_sockets, by_select),
    "poll": partial(through_sockets, by_poll),
    "selector": partial(through_sockets, by_selector),
    "socket": partial(through_sockets, by_receiving),
    "requests": partial(through_requests, UPSTREAM),
    "requests_tls": partial(through_requests, TLS_UPSTREAM),
    "urllib": partial(through_urllib, UPSTREAM),
    "urllib_tls": partial(through_urllib, TLS_UPSTREAM),
    "multiprocessing_fork": partial(in_child, "fork"),
    "multiprocessing_spawn": partial(in_child, "spawn"),
    "process_pool": in_pool,
    "process_queue": through_queue,
    "process_manager": through_manager,
}  # fmt: skip


def app(environ, start_response):
    name = environ["PATH_INFO"][1:]
    under_way[name] += 1
    most[name] = max(most[name], under_way[name])
    try:
        if name.startswith("flask"):
            return flask_app(environ, start_response)
        asked = urllib.parse.parse_qs(environ["QUERY_STRING"])
        body = VIEWS[name](asked["sent"][0], float(asked["seconds"][0]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]
    finally:
        under_way[name] -= 1
