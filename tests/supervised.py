"""Servers with several workers, as users run them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter

import preloaded
from processes import TWIST, environment
from serving import RunningServer, eventually
from wire import PATIENCE, Client

APP = """
import json
import os
import time
from skitai import was

def app(environ, start_response):
    path, text = environ["PATH_INFO"], str(os.getpid())
    if path == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    elif path == "/until":
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    elif path == "/restart":
        was.restart()
    elif path == "/shutdown":
        was.shutdown(fast=environ["QUERY_STRING"] == "fast")
    elif path == "/status":
        text = json.dumps(was.status(fancy=False), default=str)
    elif path == "/log":
        was.log("said")
    elif path == "/multiprocess":
        text = str(environ["wsgi.multiprocess"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
"""

#: Seconds between two requests of a client: without, clients have the processors that servers need to start.
_PAUSE = 0.001


class Supervised(RunningServer):
    """``twist skitai`` with workers. ``process`` is the supervisor."""

    _READY = re.compile(r"\[info\] Skitai serves \S+ on https?://127\.0\.0\.1:(\d+)/.* with \d+ workers?")

    def __init__(self, folder, *arguments, cwd=None, launcher=(), pass_fds=(), **variables):
        self.folder = folder
        self._log = folder / "server.log"
        command = [*launcher, *TWIST, "skitai", "--config", *map(str, arguments)]
        options = {"pass_fds": pass_fds} if pass_fds else {}
        with open(self._log, "ab") as log:
            self.process = preloaded.start(
                command, log, cwd=cwd or folder, env=environment(**variables), **options
            )
        self.port = self._wait_for_port()

    def pid(self):
        """Return the process that answers a request on a new connection."""
        return int(self.ask("/", fields=[("Connection", "close")]).body)

    def nurseries(self):
        return children(self.process.pid)

    def workers(self):
        """Return the processes of the workers."""
        return {pid for nursery in self.nurseries() for pid in children(nursery)}

    def said(self, text, times=1):
        """Wait until the log has ``text``."""
        eventually(lambda: self.log_text().count(text) >= times, f"{text!r} in the log")

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, times=1):
        """Reload, and wait until all workers are new ones."""
        before = self.log_text().count("Skitai serves")
        self.signal(signal.SIGHUP)
        self.said("Skitai serves", before + times)

    def ends(self, seconds=PATIENCE):
        """Wait for the end; return the exit status. The log must have no traceback."""
        status = self.process.wait(seconds)
        assert "Traceback" not in self.log_text(), self.log_text()
        return status

    def end(self):
        """End all that is left of it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise


class OneProcess(Supervised):
    """``twist skitai`` without workers."""

    _READY = RunningServer._READY

    def pids(self):
        """Return the processes of the server."""
        return {self.process.pid, *self.nurseries(), *self.workers()}

    def signal(self, number):
        """Send a signal once the server takes it: that is after it has said where it serves."""
        eventually(lambda: takes(self.process.pid, number), f"a server that takes {number!r}")
        super().signal(number)


def children(pid):
    """Return the processes whose parent is ``pid``."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return set(map(int, file.read().split()))
    except OSError:
        return set()


def takes(pid, number):
    """Return whether a process has a handler for a signal, or will have one when it takes signals again."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        masks = [int(line.split()[1], 16) for line in file if line.startswith(("SigCgt:", "SigBlk:"))]
    return any(mask >> number - 1 & 1 for mask in masks)


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def shares(port, count):
    """Return how many of ``count`` connections at once each process has, the fewest first."""
    clients = [Client(port) for _ in range(count)]
    try:
        found = Counter(client.ask("/").body for client in clients)
    finally:
        for client in clients:
            client.close()
    return sorted(found.values())


class Load:
    """Clients that ask on connections that they keep, one request after the other, until ``stop``.

    ``failures`` are the requests that were not answered, by reason, and by whether the connection was ``new``
    or ``kept``; ``answers`` the others, by status. ``fields`` are those of each request.
    """

    def __init__(self, port, clients=6, target="/", fields=()):
        self._port = port
        self._target = target
        self._fields = fields
        self._stopped = False
        self._lock = threading.Lock()
        self.answers, self.failures = Counter(), Counter()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        client, is_kept = None, False
        while not self._stopped:
            is_kept = client is not None
            try:
                client = client or Client(self._port)
                response = client.ask(self._target, fields=self._fields)
                assert response.complete, "cut off"
                with self._lock:
                    self.answers[response.code] += 1
                if response["Connection"] == "close":
                    client.close()
                    client = None
                time.sleep(_PAUSE)
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.failures[f"{'kept' if is_kept else 'new'}: {error!r}"] += 1
                if client is not None:
                    client.close()
                client = None
        if client is not None:
            client.close()

    def has_answers(self, count):
        """Wait until there are more than ``count``."""
        eventually(lambda: sum(dict(self.answers).values()) > count, f"more than {count} answers")

    def stop(self):
        """Return the number of answers."""
        self._stopped = True
        for thread in self._threads:
            thread.join()
        return sum(self.answers.values())
