"""How the agent learns of new mail."""

import shutil

import pytest
from twisted.internet.testing import MemoryReactorClock

from skitai.daemon.mail.noticing import FolderWatch


class Watched:
    """A folder, and what was noticed in it."""

    def __init__(self, folder):
        self.folder = folder
        self.reactor = MemoryReactorClock()
        self.noticed = []
        folder.mkdir()
        self.watch = FolderWatch(folder, self.noticed.append, self.reactor)

    def add(self, name):
        outside = self.folder.parent / name
        outside.write_text("{}")
        outside.rename(self.folder / name)

    def tell(self):
        """Let the system tell what it has to, and return what was noticed."""
        for reader in self.reactor.getReaders():
            reader.doRead()
        return self.noticed


@pytest.fixture
def watched(tmp_path):
    watched = Watched(tmp_path / "spool")
    yield watched
    watched.watch.end()


def test_new_mail(watched):
    """An envelope that comes in is told of; other files are not."""
    watched.add("m1.eml")
    watched.add("m1.json")
    assert watched.tell() == ["m1"]


def test_another_folder(watched):
    """A folder that was removed and made anew is watched like the first."""
    shutil.rmtree(watched.folder)
    assert watched.tell() == []
    watched.watch.look()
    watched.folder.mkdir()
    watched.watch.look()
    watched.add("m2.json")
    assert watched.tell() == ["m2"]
