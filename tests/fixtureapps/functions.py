"""Views that give functions to ``was.run``."""

import ctypes
import threading
import time
from contextvars import ContextVar

from skitai import was

libc = ctypes.CDLL(None)
number = ContextVar("number")
lock = threading.Lock()


def block(seconds):
    """Block as code written in C does."""
    libc.usleep(int(seconds * 1_000_000))
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
        body = was.run(block, 0.5).getwait(60).data
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
        body = was.run(block, 3600).getwait(float(query)).msg
    elif path == "/sleep":
        was.sleep(0.5)
        body = query
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
