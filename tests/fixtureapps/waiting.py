"""Code that waits in the standard library, as apps do that know nothing of Skitai."""

import os
import threading
import time
from queue import Queue

from skitai import was

local = threading.local()
lock = threading.Lock()


def sleep(number):
    """Sleep, with something in a thread-local."""
    local.number = number
    time.sleep(0.5)
    return local.number


def over_a_call(number, url):
    """Hold a lock while a call is under way."""
    with lock:
        assert was.get(url).getwait(5).code == 200
    return number


def from_thread(number):
    """Wait for a thread of its own."""
    queue = Queue()
    threading.Thread(target=lambda: queue.put(number)).start()
    return queue.get()


def fork(number):
    """Return what a child says that sleeps meanwhile, and then returns from its copy of the request."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        time.sleep(0.2)
        os.write(writable, number.encode())
        return number
    os.close(writable)
    said = os.read(readable, 100)
    os.close(readable)
    _, status = os.waitpid(child, 0)
    return f"{said.decode()} {os.waitstatus_to_exitcode(status)}"


def app(environ, start_response):
    number = environ["QUERY_STRING"]
    path = environ["PATH_INFO"]
    if path == "/sleep":
        body = sleep(number)
    elif path == "/lock":
        body = over_a_call(number, f"http://127.0.0.1:{environ['SERVER_PORT']}/ping")
    elif path == "/fork":
        body = fork(number)
    elif path == "/thread":
        body = from_thread(number)
    else:
        body = "pong"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
