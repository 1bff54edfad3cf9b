"""Servers for tests: the gateway in this process, and ``twist skitai`` as users run it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from twisted.internet.defer import maybeDeferred
from twisted.internet.epollreactor import EPollReactor
from twisted.logger import formatEvent, globalLogPublisher

import preloaded
from skitai.calls.dispatch import Dispatcher
from skitai.context import ServiceTable
from skitai.loop.bridge import Bridge
from skitai.loop.executors import executor_for
from skitai.loop.turn import Stage, turn_end_of
from skitai.server.accesslines import FORMATS
from skitai.server.accesslog import AccessLog
from skitai.server.http1.factory import HTTPFactory
from skitai.server.http1.limits import ServerLimits
from skitai.server.site import Mounts, Site
from skitai.server.wsgi.resource import WSGIResource
from wire import PATIENCE, Client, Response, ask

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURE_APPS = Path(__file__).resolve().parent / "fixtureapps"
#: Seconds. Machines that run tests may be slow and busy.
START_PATIENCE = 120


def eventually(condition, what="the condition"):
    """Return what ``condition()`` returns once that is true; fail after a long while."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not come true"
        time.sleep(0.005)
    return value


class ReactorThread:
    """A reactor that runs in a thread of its own, so that tests may block."""

    def __init__(self):
        self.reactor = EPollReactor()
        thread = threading.Thread(target=self.reactor.run, args=(False,), name="reactor", daemon=True)
        thread.start()

    def call(self, function, *args, **kwargs):
        """Call ``function`` in the reactor thread and return what it, or its Deferred, gives."""
        outcome = Future()

        def run():
            deferred = maybeDeferred(function, *args, **kwargs)
            deferred.addCallbacks(outcome.set_result, lambda failure: outcome.set_exception(failure.value))

        self.reactor.callFromThread(run)
        return outcome.result(PATIENCE)


class Gateway:
    """Apps served on a real socket by the reactor of ``loop``: the server without plugins and config.

    ``mounts`` are apps by mount point. ``log`` are the events that were logged meanwhile.
    """

    def __init__(self, loop, mounts, threads, *, services=None, site=None, unix_socket=None, **limits):
        self.loop = loop
        self.log = []
        self.access_log = io.StringIO()
        globalLogPublisher.addObserver(self.log.append)
        loop.call(self._start, mounts, threads, services or {}, site, unix_socket, ServerLimits(**limits))

    def _start(self, mounts, threads, services, site, unix_socket, limits):
        reactor = self.loop.reactor
        self.bridge = Bridge(reactor)
        self.bridge.start()
        self.executor = executor_for(threads, partial(turn_end_of(reactor).call, Stage.START))
        self.executor.start()
        self.table = ServiceTable(Dispatcher(self.bridge, {}), services, {})
        resources = [
            (point.encode(), self.resource(app, point, limits.response_buffer_max))
            for point, app in mounts.items()
        ]
        site = site or Site(Mounts([], resources))
        access_log = AccessLog(
            self.access_log, partial(turn_end_of(reactor).call, Stage.LOG), FORMATS["skitai"](time.time)
        )
        self.factory = HTTPFactory(reactor, site.handle, limits, judge=site.judge, observers=[access_log])
        if unix_socket is None:
            self._listening = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
            self.address = self._listening.getHost().port
        else:
            self._listening = reactor.listenUNIX(str(unix_socket), self.factory)
            self.address = str(unix_socket)

    def resource(self, app, point="", buffer_max=1 << 30):
        """Return the resource for ``app``."""
        return WSGIResource(lambda: app, point, self.executor, self.table, buffer_max=buffer_max)

    @property
    def failures(self):
        """The tracebacks that were logged."""
        return [event["log_failure"].getTraceback() for event in self.log if "log_failure" in event]

    @property
    def messages(self):
        """The lines that were logged."""
        return [formatEvent(event) for event in list(self.log)]

    def access_lines(self, count):
        """Return the lines of the access log once there are ``count``."""
        eventually(
            lambda: self.access_log.getvalue().count("\n") >= count, f"{count} lines in the access log"
        )
        return self.access_log.getvalue().splitlines()

    def client(self, **kwargs) -> Client:
        """Open a connection."""
        return Client(self.address, **kwargs)

    def ask(self, *args, **kwargs) -> Response:
        """Send one request on a connection of its own."""
        return ask(self.address, *args, **kwargs)

    def stop(self):
        """Cut all connections and stop."""
        self.loop.call(self._listening.stopListening)
        self.loop.call(self.factory.abort)
        eventually(lambda: not self.factory.channels, "the end of the connections")
        self.loop.call(self.executor.stop)
        # What a task logs at its end, after its client was answered, is not the next test's.
        eventually(lambda: not self.executor.statistics()["running"], "the end of the apps")
        globalLogPublisher.removeObserver(self.log.append)


class RunningServer:
    """``twist skitai`` in a process of its own, on a free port; ``log_text()`` is all that it printed.

    Its config is in ``folder``.
    """

    _READY = re.compile(r"\[info\] Skitai serves \S+ on https?://127\.0\.0\.1:(\d+)/", re.MULTILINE)

    def __init__(self, directory: Path, config: str, threads: int | None):
        self.folder = directory
        self._log = directory / "server.log"
        path = directory / "tested.conf"
        path.write_text(patient(config), encoding="utf-8")
        command = [sys.executable, "-m", "twisted", "skitai", "--config", str(path)]
        if threads is not None:
            command += ["--threads", str(threads)]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        with open(self._log, "wb") as log:
            self.process = preloaded.start(command, log, cwd=directory, env=environment)
        self.port = self._wait_for_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def _wait_for_port(self) -> int:
        deadline = time.monotonic() + START_PATIENCE
        while (ready := self._READY.search(self.log_text())) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the server did not start:\n{self.log_text()}")
            time.sleep(0.05)
        return int(ready.group(1))

    def log_text(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def ask(self, *args, **kwargs) -> Response:
        """Send one request on a connection of its own."""
        return ask(self.port, *args, **kwargs)

    def stop(self) -> None:
        """Ask the server to end; it must do so in order. The second time, nothing happens."""
        if self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        # Twisted's runner, having stopped in order, ends itself with the signal that it was sent.
        assert status in (0, -signal.SIGTERM), f"exit status {status}:\n{self.log_text()}"


def patient(config: str) -> str:
    """Return ``config`` with a server that refuses no request for its wait, unless the test is about that.

    Machines that run tests may be slow.
    """
    if "queue_timeout" in config:
        return config
    return re.sub(r"^\[server\]$", r"\g<0>\nqueue_timeout = off", config, count=1, flags=re.MULTILINE)


def config_text(apps: dict[str, str], **server: object) -> str:
    """Return a configuration: ``apps`` are targets by mount point, ``server`` the keys of [server]."""
    keys = {"port": 0, "ip": "127.0.0.1", **server}
    lines = ["[server]", *(f"{key} = {value}" for key, value in keys.items()), "", "[routes:line]"]
    return "\n".join([*lines, *(f"{point} = {target}" for point, target in apps.items()), ""])
