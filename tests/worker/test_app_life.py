"""The life of apps in an instance: their code runs where apps run, and holds nobody else up."""

from functools import partial
from threading import current_thread

import pytest
from twisted.logger import capturedLogs

from instances import app_threads
from serving import eventually
from skitai.services import apps
from wire import PATIENCE

WAITS = """
from skitai import was

loaded_with = was.gate("host:1").getwait(60).data
"""
ANSWERS = """

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{loaded_with} {','.join(told)}".encode()]

told = []
"""
LIVING = """
from zope.interface import implementer
from skitai import was
from skitai.interfaces import ILivingApp

EVENTS = []

@implementer(ILivingApp)
class App:
    def begin(self, *, reloaded):
        EVENTS.append(("begin", reloaded, was.gate("host:1").getwait(60).data))

    def while_broken(self, error):
        return None

    def end(self):
        was.events.append("end begins")
        was.events.append(("end", was.gate("host:1").getwait(60).status))

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [repr(EVENTS).encode()]

app = App()
"""
NOTES_PLACES = """
from threading import current_thread
from zope.interface import implementer
from skitai import was
from skitai.interfaces import ILivingApp

EVENTS = ["loaded " + current_thread().name]

@implementer(ILivingApp)
class App:
    def begin(self, *, reloaded):
        EVENTS.append("begins " + current_thread().name)

    def while_broken(self, error):
        return None

    def end(self):
        was.events.append("ends " + current_thread().name)

    def __call__(self, environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [" ".join([*EVENTS, "serves " + current_thread().name]).encode()]

app = App()
"""
BLOCKS = """
from skitai import was

was.blocking.entered.set()
was.blocking.released.wait()

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"late"]
"""


def request(path):
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode()


@pytest.fixture
def begin_with(setting):
    """Start an instance with so many threads, and an app of the given source at ``/tested``."""

    def start(threads, source, *lines):
        (setting.folder / "tested.py").write_text(source)
        overrides = {"threads": str(threads)}
        return setting.start(*lines, overrides=overrides, tail="/tested = tested:app", apps=apps)

    return start


@pytest.fixture
def begin(begin_with, threads):
    """Do that on each of the executors."""
    return partial(begin_with, threads)


class TestLoading:
    def test_a_module_that_waits(self, begin, setting):
        """A module may wait for ``was`` while it is imported; its requests wait, others are answered."""
        server = begin(WAITS + ANSWERS)
        with server.client() as client:
            client.send(request("/tested"))
            eventually(lambda: setting.gate.service.waiting, "the module's call")
            assert server.ask("/ping").body == b"pong"
            assert server.ask("/").body == b"hello"
            setting.open_gate("data")
            assert client.response().body == b"data "

    def test_a_change_that_waits(self, begin, setting):
        """When a file changes, the new version is loaded in the same way; the next request is its."""
        server = begin("loaded_with = 'first'\n" + ANSWERS, "reloader = yes")
        assert server.ask("/tested").body == b"first "
        (setting.folder / "tested.py").write_text(WAITS + ANSWERS)
        with server.client() as client:
            client.send(request("/tested"))
            eventually(lambda: setting.gate.service.waiting, "the module's call")
            assert server.ask("/ping").body == b"pong"
            setting.open_gate("second")
            assert client.response().body == b"second "

    def test_a_module_that_is_broken(self, begin, setting):
        """With the reloader, the page shows the traceback, until the module is mended."""
        server = begin("a = '<b>' / 1\n" + ANSWERS, "reloader = yes")
        response = server.ask("/tested")
        page = response.body.decode()
        assert (response.code, response["Cache-Control"]) == (503, "no-store")
        assert "TypeError: unsupported operand" in page
        assert "a = &#x27;&lt;b&gt;&#x27; / 1" in page
        (setting.folder / "tested.py").write_text("loaded_with = 'mended'\n" + ANSWERS)
        assert server.ask("/tested").body == b"mended "

    def test_a_module_that_blocks(self, begin_with, setting):
        """A module that blocks for ever takes a thread: other apps are served, and the server ends."""
        server = begin_with(2, BLOCKS, "response_timeout = 0.2 s")
        with server.client() as client:
            client.send(request("/tested"))
            assert setting.gate.blocking.entered.wait(PATIENCE)
            assert server.ask("/").body == b"hello"
            server.stop()
            assert client.at_end()
        setting.gate.blocking.released.set()

    def test_files_are_watched_meanwhile(self, setting):
        """The files of the apps that are loaded are watched, though a module in another folder blocks."""
        folder = setting.folder / "other"
        folder.mkdir()
        (folder / "blocks.py").write_text(BLOCKS)
        server = setting.start(
            "reloader = yes", "response_timeout = 0.2 s", "threads = 2", tail="/blocks = ./other/blocks:app"
        )
        assert setting.gate.blocking.entered.wait(PATIENCE)
        assert server.ask("/").body == b"hello"
        with capturedLogs() as logged:
            (setting.folder / "served.py").write_text("1 / 0")
            eventually(lambda: any("log_failure" in event for event in list(logged)), "the mistake")
        setting.gate.blocking.released.set()

    def test_a_client_that_does_not_wait(self, begin, setting):
        """A request whose client went away while the app was loaded is dropped."""
        server = begin(WAITS + ANSWERS)
        with server.client() as client:
            client.send(request("/tested"))
            eventually(lambda: setting.gate.service.waiting, "the module's call")
        setting.open_gate("data")
        assert server.ask("/tested").body == b"data "


class TestEvents:
    def test_begin(self, begin, setting):
        """An app that begins may wait for ``was``; requests for it wait until it has begun."""
        server = begin(LIVING.replace('was.gate("host:1").getwait(60).status', "None"))
        with server.client() as client:
            client.send(request("/tested"))
            eventually(lambda: setting.gate.service.waiting, "the app's call")
            assert server.ask("/ping").body == b"pong"
            setting.open_gate("tea")
            assert client.response().body == b"[('begin', False, 'tea')]"

    def test_end(self, begin, setting, aside):
        """When the server stops, an app that ends may wait for ``was``; plugins hear of the stop after it."""
        server = begin(LIVING.replace('was.gate("host:1").getwait(60).data', "None"))
        assert server.ask("/tested").code == 200
        stopped = aside(server.stop)
        setting.open_gate()
        stopped.result(PATIENCE)
        assert setting.gate.events[-3:] == ["end begins", ("end", 3), "shutdown"]

    def test_an_end_that_takes_too_long(self, begin, setting):
        """An app that has not ended after ``response_timeout`` is left behind, with a line in the log."""
        server = begin(
            LIVING.replace('was.gate("host:1").getwait(60).data', "None"), "response_timeout = 0.2 s"
        )
        assert server.ask("/tested").code == 200
        with capturedLogs() as logged:
            server.stop()
        eventually(lambda: ("end", 2) in setting.gate.events, "the end of its wait")
        assert "shutdown" in setting.gate.events
        assert "{app} took too long to end" in [event.get("log_format") for event in logged]

    def test_an_end_that_blocks(self, begin_with, setting):
        """So is one that blocks its thread."""
        source = LIVING.replace('was.gate("host:1").getwait(60)', "was.blocking.released.wait()")
        server = begin_with(1, source.replace(".data", ""), "response_timeout = 0.2 s")
        setting.gate.blocking.released.set()
        assert server.ask("/tested").code == 200
        setting.gate.blocking.released.clear()
        with capturedLogs() as logged:
            server.stop()
        assert "{app} took too long to end" in [event.get("log_format") for event in logged]
        setting.gate.blocking.released.set()

    def test_an_end_that_fails(self, begin, setting):
        """What an app raises when it ends is in the log."""
        source = LIVING.replace('was.gate("host:1").getwait(60).data', "None").replace(
            'was.events.append("end begins")', "1 / 0"
        )
        server = begin(source)
        assert server.ask("/tested").code == 200
        with capturedLogs() as logged:
            server.stop()
        (failure,) = [event["log_failure"] for event in logged if "log_failure" in event]
        assert failure.check(ZeroDivisionError)

    def test_a_request_that_is_stuck(self, begin, setting, aside):
        """A request that has to be given up leaves other apps the calls that their ends need."""
        source = LIVING.replace('was.gate("host:1").getwait(60).data', "None")
        server = begin(source, "response_timeout = 1.5 s")
        assert server.ask("/tested").code == 200
        with server.client() as client:
            client.send(request("/gate"))
            eventually(lambda: setting.gate.service.waiting, "the request's call")
            del setting.gate.service.waiting[:]
            stopped = aside(server.stop)
            setting.open_gate()
            stopped.result(PATIENCE)
            assert client.response().body == b"2 705 "
        assert setting.gate.events[-2:] == [("end", 3), "shutdown"]


class TestMountsWithTheirOwnExecutors:
    def test_an_app_lives_where_its_mount_runs(self, setting):
        """An app is loaded, begins, serves and ends in the executor of its mount, not in the shared one."""
        server = self.start(setting, "/tested = tested:app threads=1")
        at_home = "skitai-app-/tested-1"
        told = f"loaded {at_home} begins {at_home} serves {at_home}"
        assert server.ask("/tested").body.decode() == told
        server.stop()
        assert setting.gate.events[-2:] == [f"ends {at_home}", "shutdown"]

    def test_one_life_at_two_mounts(self, setting):
        """At two mounts it is one app: it lives at the first of them, and serves in the executors of both."""
        server = self.start(setting, "/live = tested:app threads=0", "/tested = tested:app threads=1")
        reactor = setting.loop.call(lambda: current_thread().name)
        life = f"loaded {reactor} begins {reactor} serves "
        assert server.ask("/tested").body.decode() == f"{life}skitai-app-/tested-1"
        assert server.ask("/live").body.decode() == life + reactor
        server.stop()
        assert setting.gate.events[-2:] == [f"ends {reactor}", "shutdown"]

    def test_a_module_that_blocks(self, setting):
        """One that blocks its thread for ever holds up no app in greenlets, and not the end of the server."""
        folder = setting.folder / "other"
        folder.mkdir()
        (folder / "blocks.py").write_text(BLOCKS)
        server = self.start(
            setting,
            "/blocks = ./other/blocks:app threads=1",
            "/live = tested:app threads=0",
            keys=["response_timeout = 0.2 s"],
        )
        assert setting.gate.blocking.entered.wait(PATIENCE)
        assert b"serves" in server.ask("/live").body
        server.stop()
        setting.gate.blocking.released.set()

    def test_not_at_the_check(self, setting):
        """No thread starts where an instance is only made, as for ``--check``."""
        setting.make(tail="/checked = served:app threads=3")
        assert not [thread for thread in app_threads() if "/checked" in thread.name]

    def start(self, setting, *routes, keys=()):
        (setting.folder / "tested.py").write_text(NOTES_PLACES)
        return setting.start(*keys, "threads = 2", tail="\n".join(routes), apps=apps)
