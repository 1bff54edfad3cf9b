"""The life of apps: who begins and who ends when apps are loaded, loaded again and mounted twice."""

from twisted.internet.defer import succeed
from zope.interface import implementer

from skitai.interfaces import ILivingApp
from skitai.services import apps


class Server:
    """Stands for an instance, whose apps run in the same thread."""

    def __init__(self):
        self._states = {}

    def state(self, owner, make):
        return self._states.setdefault(owner, make())

    def run(self, function, executor):
        return succeed(function(None))


@implementer(ILivingApp)
class Living:
    """An app that notes its life in ``notes``."""

    def __init__(self, name, notes):
        self.name = name
        self.notes = notes

    def begin(self, *, reloaded):
        self.notes.append(f"{self.name} {'goes on' if reloaded else 'begins'}")

    def while_broken(self, error):
        return error

    def end(self):
        self.notes.append(f"{self.name} ends")


def test_an_app_that_is_mounted_twice():
    """What replaces it at one mount is the one that ends, whatever the other mount has seen of that."""
    server, notes = Server(), []
    first, second, third = (Living(name, notes) for name in ("first", "second", "third"))
    for app, previous in [(first, None), (first, None), (second, first), (third, first), (third, second)]:
        apps.skitai_app_loaded(server, app, previous, None)
    apps.skitai_stopping(server)
    assert notes == ["first begins", "second goes on", "third goes on", "third ends"]


def test_stopped_before_the_second_mount_has_seen_the_change():
    """Of two versions the old one does not end, though it is still the app of the other mount."""
    server, notes = Server(), []
    old, new = Living("old", notes), Living("new", notes)
    for app, previous in [(old, None), (old, None), (new, old)]:
        apps.skitai_app_loaded(server, app, previous, None)
    apps.skitai_stopping(server)
    assert notes == ["old begins", "new goes on", "new ends"]


def test_apps_that_come_back():
    """An older version may return: it is the one that ends."""
    server, notes = Server(), []
    old, new = Living("old", notes), Living("new", notes)
    for app, previous in [(old, None), (new, old), (old, new)]:
        apps.skitai_app_loaded(server, app, previous, None)
    apps.skitai_stopping(server)
    assert notes[-1] == "old ends"
    assert "new ends" not in notes
