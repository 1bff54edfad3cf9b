"""Instances with an app and a plugin whose calls are over when the test says so."""

import threading

import pytest

from gateservice import GateService
from instances import RunningInstance, make_instance
from serving import eventually
from skitai.errors import ConfigError
from skitai.plugins import hookimpl

APP = """
from skitai import was

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/gate":
        call = was.gate("host:1")
        result = call.getwait(60)
        body = f"{result.status} {result.code} {result.data if result.status == 3 else ''}"
    elif path == "/block":
        was.blocking.entered.set()
        was.blocking.released.wait()
        body = "unblocked"
    else:
        body = "hello"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]
"""


class Blocking:
    """``was.blocking``: where an app blocks its thread, until the test releases it."""

    def __init__(self):
        self.entered = threading.Event()
        self.released = threading.Event()


class Gate:
    """The plugin that brings them, and notes what the instance tells it."""

    def __init__(self):
        self.service = GateService()
        self.blocking = Blocking()
        self.events = []
        self.farewell = None

    @hookimpl
    def skitai_services(self, instance):
        return {"gate": self.service}

    @hookimpl
    def skitai_cluster_types(self, instance):
        return {"gate": self.service}

    @hookimpl
    def skitai_attributes(self):
        return {"blocking": lambda was: self.blocking, "events": lambda was: self.events}

    @hookimpl
    def skitai_startup(self, instance):
        self.events.append(("startup", instance.urls))

    @hookimpl
    def skitai_shutdown(self, instance):
        self.events.append("shutdown")
        return self.farewell


class Setting:
    """A folder with an app and a config; makes instances of it."""

    def __init__(self, loop, folder):
        self.loop = loop
        self.folder = folder
        self.gate = Gate()
        self.started = []
        (folder / "served.py").write_text(APP)

    def make(self, *lines, overrides=None, tail="", **plugins):
        """Return an instance with ``lines`` in its [server] section and ``tail`` after the routes."""
        basics = ["ip = 127.0.0.1", "port = 0", "access_log = off"]
        keys = {line.partition(" ")[0] for line in lines}
        basics = [line for line in basics if line.partition(" ")[0] not in keys]
        text = "\n".join(["[server]", *lines, *basics, "[routes:line]", "/ = served:app", tail, ""])
        (self.folder / "site.conf").write_text(text)
        plugins.setdefault("gate", self.gate)
        return make_instance(self.loop.reactor, self.folder / "site.conf", overrides, **plugins)

    def start(self, *args, **kwargs):
        running = RunningInstance(self.loop, self.make(*args, **kwargs))
        self.started.append(running)
        return running

    def error(self, *args, **kwargs):
        """Return the line that refuses to make or start the instance, without the folder's name."""
        with pytest.raises(ConfigError) as caught:
            self.start(*args, **kwargs)
        line = str(caught.value)
        assert len(line.splitlines()) == 1
        return line.replace(f"{self.folder}/", "")

    def open_gate(self, answer="open"):
        (waiting,) = eventually(lambda: self.gate.service.waiting, "a call")
        self.loop.reactor.callFromThread(waiting.callback, answer)
