"""What is served at a mount point while an app is loaded, changed, broken and mended."""

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from skitai.errors import MisuseError
from skitai.server.apps.slot import AppSlot, AppWatcher


class Watcher(AppWatcher):
    def __init__(self):
        self.events = []
        self.substitute = None

    def loaded(self, app, previous):
        self.events.append(("loaded", app, previous))

    def broken(self, app, error):
        self.events.append(("broken", app, error))
        return self.substitute

    def failed(self, error, doing):
        self.events.append(("failed", error, doing))


class Setting:
    """A slot whose loads end when the test says so: ``app`` is what they give, or raise."""

    def __init__(self, reloads=False):
        self.app = "app"
        self.reloads = reloads
        self.loads = 0
        self.watcher = Watcher()
        self.turns = []
        self.slot = AppSlot(
            self.load, "/shop", self.in_turn, reloads=lambda: self.reloads, watcher=self.watcher
        )
        self.served = []

    def load(self):
        self.loads += 1
        if isinstance(self.app, Exception):
            raise self.app
        return self.app

    def in_turn(self, function):
        deferred = Deferred()
        self.turns.append((function, deferred))
        return deferred

    def ask(self):
        self.slot.when_loaded(lambda: self.served.append(self.slot.serving or self.slot.code))

    def turn(self):
        function, deferred = self.turns.pop(0)
        with capturedLogs() as logged:
            deferred.callback(function(None))
        return [event["log_format"] for event in logged]

    def answer(self):
        """Ask and return what answers."""
        self.ask()
        self.turn()
        return self.served.pop()


def test_requests_wait_for_the_load():
    """Requests that come before the end of the load are served after it, all by one load."""
    setting = Setting()
    for _ in range(3):
        setting.ask()
    assert (setting.served, len(setting.turns)) == ([], 1)
    setting.turn()
    assert setting.served == ["app"] * 3
    assert setting.slot.is_settled
    assert (setting.loads, setting.turns) == (1, [])
    assert setting.watcher.events == [("loaded", "app", None)]


def test_an_app_that_reloads():
    """Each request has the files looked at after it came, together with others that wait for the same."""
    setting = Setting(reloads=True)
    setting.ask()
    setting.ask()
    setting.ask()
    setting.turn()
    assert setting.served == ["app"]
    setting.app = "changed"
    assert not setting.slot.is_settled
    setting.turn()
    assert setting.served == ["app", "changed", "changed"]
    assert setting.turns == []
    assert setting.watcher.events == [("loaded", "app", None), ("loaded", "changed", "app")]


def test_an_app_that_was_never_loaded():
    """It is 503 and tried again for each request; the log and the watcher hear of each failure once."""
    setting = Setting()
    setting.app = error = ImportError("no tea")
    setting.ask()
    assert setting.turn() == ["{error}; {point} answers {code}"]
    setting.ask()
    assert setting.turn() == []
    assert setting.served == [503, 503]
    assert setting.watcher.events == [("failed", error, "load /shop")]
    setting.app = "mended"
    assert setting.answer() == "mended"
    assert setting.slot.is_settled


def test_the_log_has_a_line_for_each_reload():
    """A developer sees that what was saved is served now, and an operator when an app was mended.

    Flask, gunicorn and uvicorn log a line for each reload, too.
    """
    setting = Setting(reloads=True)
    lines = []
    for setting.app in ("app", "app", "changed", ImportError("no tea"), "changed", "mended", "mended"):
        setting.ask()
        lines.append(setting.turn())
    again = "the app at {point} was loaded again"
    assert lines == [[], [], [again], ["{error}; {point} answers {code}"], [], [again], []]
    never = Setting()
    never.app = ImportError("no tea")
    never.ask()
    never.turn()
    never.app = "mended"
    never.ask()
    assert never.turn() == [again]


@pytest.mark.parametrize("substitute", [None, "page"])
def test_an_app_that_a_change_has_broken(substitute):
    """It is 500, or what the watcher serves instead, until it is mended."""
    setting = Setting(reloads=True)
    setting.watcher.substitute = substitute
    assert setting.answer() == "app"
    setting.app = error = ImportError("no tea")
    error.__cause__ = ZeroDivisionError()
    assert setting.answer() == (substitute or 500)
    setting.app = "mended"
    assert setting.answer() == "mended"
    assert setting.watcher.events == [
        ("loaded", "app", None),
        ("failed", error.__cause__, "load /shop"),
        ("broken", "app", error.__cause__),
        ("loaded", "mended", "app"),
    ]


def test_look_again():
    """A change is found before anybody asks; nothing is looked at twice at once, nor what is settled."""
    setting = Setting(reloads=True)
    setting.slot.look_again()
    setting.slot.look_again()
    assert len(setting.turns) == 1
    setting.turn()
    setting.reloads = False
    setting.slot.look_again()
    setting.turn()
    setting.slot.look_again()
    assert setting.turns == []


def test_nowhere_to_load():
    """Where a load cannot be run, its requests get 503 and the next one tries again."""
    setting = Setting()
    setting.slot._in_turn = lambda function: fail(MisuseError("stopped"))
    with capturedLogs() as logged:
        setting.ask()
    assert setting.served == [503]
    assert [event["log_format"] for event in logged] == ["{point} cannot be loaded"]
    assert not setting.slot.is_settled


def test_stop():
    """What is in the queue when the server has no more requests is not loaded."""
    setting = Setting()
    setting.slot.look_again()
    setting.slot.stop()
    setting.turn()
    assert setting.loads == 0
