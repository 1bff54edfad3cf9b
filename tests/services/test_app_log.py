"""was.log and was.traceback: one line each, whatever is logged."""

import io
import re
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from twisted.logger import capturedLogs

from skitai.plugins.manager import create_plugin_manager
from skitai.services import logging as plugin
from skitai.services.logging import AppLog

MOMENT = time.mktime((2026, 11, 22, 16, 9, 21, 0, 0, -1))


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def app_log(stream):
    return AppLog(stream, clock=lambda: MOMENT)


def instance_with(path):
    return SimpleInstance(config=SimpleNamespace(server=SimpleNamespace(app_log=path)))


class SimpleInstance:
    """An instance as far as the plugin looks at it."""

    def __init__(self, config):
        self.config = config
        self._states = {}

    def state(self, owner, make):
        if owner not in self._states:
            self._states[owner] = make()
        return self._states[owner]


def start(instance):
    """Return a manager with the plugin alone, and the log and traceback functions of an instance."""

    class EntryPoint:
        name, value, dist = "logging", "skitai.services.logging", None

        def load(self):
            return plugin

    manager = create_plugin_manager(entry_points=[EntryPoint()], environ={})
    attributes = manager.attributes(instance)
    return manager, attributes["log"](None), attributes["traceback"](None)


class TestLog:
    """AppLog.log()."""

    def test_line(self, app_log, stream):
        """A line has the local time, the category and the message."""
        app_log.log("called index")
        app_log.log("exception occured", "error")
        assert stream.getvalue() == (
            "2026.11.22 16:09:21 [info] called index\n2026.11.22 16:09:21 [error] exception occured\n"
        )

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
    def test_no_forged_lines(self, app_log, stream, end):
        """No line end of any kind in the message or the category begins a line of its own."""
        app_log.log(f"harmless{end}2026.11.22 16:09:21 [error] forged", f"info{end}x")
        assert len(stream.getvalue().splitlines()) == 1

    def test_control_characters(self, app_log, stream):
        """Control characters are shown, not sent to a terminal; tabs stay."""
        app_log.log("a\nb\x1b[2Jc\x00\td")
        assert stream.getvalue() == "2026.11.22 16:09:21 [info] a\\nb\\x1b[2Jc\\x00\td\n"

    def test_any_object(self, app_log, stream):
        """What is not a string is logged as str() shows it."""
        app_log.log({"a": 1})
        assert stream.getvalue().endswith("[info] {'a': 1}\n")

    def test_threads(self, app_log, stream):
        """Lines of many threads do not mix."""
        threads = [
            threading.Thread(target=lambda: [app_log.log("x" * 50) for _ in range(50)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(stream.getvalue().splitlines()) == {"2026.11.22 16:09:21 [info] " + "x" * 50}
        assert stream.getvalue().count("\n") == 200

    def test_closed_stream(self, app_log, stream):
        """A line that the stream refuses is not lost and does not raise: the server's log has it."""
        stream.close()
        with capturedLogs() as logged:
            app_log.log("last words")
        assert "last words" in logged[0]["line"]


class TestTraceback:
    """AppLog.traceback()."""

    def test_line(self, app_log, stream):
        """An exception is one line: identifier, type, value, and the frames with the outermost first."""

        def fail():
            raise KeyError("x")

        try:
            fail()
        except KeyError:
            app_log.traceback("bp1")
        file = re.escape(__file__)
        assert re.fullmatch(
            r"2026\.11\.22 16:09:21 \[expt:bp1\] <class 'KeyError'> 'x'"
            rf" \[{file}\|test_line\|\d+\] \[{file}\|fail\|\d+\]\n",
            stream.getvalue(),
        )

    def test_without_identifier(self, app_log, stream):
        """The identifier may be left out."""
        try:
            raise ValueError("two\nlines")
        except ValueError:
            app_log.traceback()
        assert " [expt] <class 'ValueError'> two\\nlines [" in stream.getvalue()
        assert stream.getvalue().count("\n") == 1

    def test_without_exception(self, app_log, stream):
        """Outside an except block the line says that there is no exception."""
        app_log.traceback("bp1")
        assert stream.getvalue() == "2026.11.22 16:09:21 [expt:bp1] no exception is being handled\n"


class TestPlugin:
    """The plugin: where the lines go."""

    def test_file(self, tmp_path):
        """Lines are appended to the file of the config, in UTF-8, and it is closed at shutdown."""
        path = tmp_path / "app.log"
        path.write_text("before\n")
        instance = instance_with(str(path))
        manager, log, _ = start(instance)
        log("grüße \ud800")
        assert path.read_text(encoding="utf-8").splitlines()[1].endswith("[info] grüße \\ud800")
        manager.notify("skitai_shutdown", instance=instance)
        with capturedLogs() as logged:
            log("too late")
        assert "too late" in logged[0]["line"]
        assert "too late" not in path.read_text(encoding="utf-8")

    def test_two_instances(self, tmp_path):
        """Each instance has a file of its own, and the end of one does not close the other's."""
        instances = [instance_with(str(tmp_path / name)) for name in ("a.log", "b.log")]
        (manager_a, log_a, _), (manager_b, _, traceback_b) = map(start, instances)
        log_a("to a")
        manager_a.notify("skitai_shutdown", instance=instances[0])
        traceback_b("to b")
        manager_b.notify("skitai_shutdown", instance=instances[1])
        assert "to a" in (tmp_path / "a.log").read_text()
        assert "expt:to b" in (tmp_path / "b.log").read_text()
        assert "to a" not in (tmp_path / "b.log").read_text()

    def test_standard_error(self, capsys):
        """A dash is standard error, which stays open at shutdown."""
        instance = instance_with("-")
        manager, log, _ = start(instance)
        log("to the terminal")
        manager.notify("skitai_shutdown", instance=instance)
        assert not sys.stderr.closed
        assert capsys.readouterr().err.endswith("[info] to the terminal\n")

    def test_opened_late(self, tmp_path):
        """The file appears with the first line: a mere check of the config creates nothing."""
        path = tmp_path / "app.log"
        instance = instance_with(str(path))
        manager, log, _ = start(instance)
        assert not path.exists()
        log("first")
        assert path.exists()
        manager.notify("skitai_shutdown", instance=instance)

    def test_missing_directory(self, tmp_path):
        """A line for a file that cannot be opened is not lost and does not raise: the server's log has it."""
        _, log, _ = start(instance_with(str(tmp_path / "missing" / "app.log")))
        with capturedLogs() as logged:
            log("nowhere to go")
        assert "nowhere to go" in logged[0]["line"]
