"""Views that give functions to ``was.run``."""

import ctypes
import threading
import time
from contextvars import ContextVar

from skitai import was

libc = ctypes.CDLL(None)
number = ContextVar("number")
lock = threading.Lock()
#: A semaphore of C, which is closed until ``/open``, and how many wait for it.
gate = ctypes.create_string_buffer(64)
libc.sem_init(gate, 0, 0)
waiting = []


def block():
    """Block as code written in C does."""
    waiting.append(1)
    libc.sem_wait(gate)
    libc.sem_post(gate)
    return threading.current_thread().name


def sleep_with_lock():
    """Wait in the standard library, with a lock that views take, too."""
    with lock:
        time.sleep(0.01)
    return number.get()


def ask(url):
    """Wait for a call."""
    was.sleep(0.01)
    return f"{number.get()} {was.get(url).getwait(5).text} {was.env['QUERY_STRING']}"


def app(environ, start_response):
    path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
    number.set(query)
    if path == "/block":
        body = was.run(block).getwait(60).data
    elif path == "/blocked":
        body = str(len(waiting))
    elif path == "/open":
        libc.sem_post(gate)
        body = "open"
    elif path == "/lock":
        call = was.run(sleep_with_lock)
        with lock:
            time.sleep(0.001)
        body = call.getwait(60).data
    elif path == "/ask":
        body = was.run(ask, f"http://127.0.0.1:{environ['SERVER_PORT']}/ping").getwait(60).data
    elif path == "/exit":
        body = was.run(exit, 3).getwait(60).msg
    elif path == "/hang":
        body = was.run(libc.sleep, 3600).getwait(float(query)).msg
    elif path == "/sleep":
        was.sleep(0.5)
        body = query
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
