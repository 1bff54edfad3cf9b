"""What agents say of themselves, and how others see that one is gone."""

import os
import stat

import pytest

from skitai.mail.agents import Figures, Presence, look


@pytest.fixture
def spool(tmp_path):
    folder = tmp_path / "mail"
    folder.mkdir(mode=0o700)
    return folder


def files(spool):
    return list((spool / "agents").iterdir())


def test_nobody(spool):
    """Without a folder, or with an empty one, there is no agent."""
    assert look(spool) == Figures()
    (spool / "agents").mkdir()
    assert look(spool) == Figures()


def test_one(spool):
    """What it said last is what others read, until it ends."""
    presence = Presence(spool)
    assert look(spool) == Figures(agents=1)
    presence.say({"waiting": 1000, "due": 999, "sent": 12345})
    presence.say({"waiting": 3, "due": 2, "sent": 5, "refused": 1, "deferred": 4, "undelivered": 6})
    assert look(spool) == Figures(1, waiting=3, due=2, sent=5, refused=1, deferred=4, undelivered=6)
    (path,) = files(spool)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    presence.end()
    assert (look(spool), files(spool)) == (Figures(), [])


def test_two(spool):
    """All know of the same mails; each counts what it has sent."""
    one, two = Presence(spool), Presence(spool)
    one.say({"waiting": 5, "due": 1, "sent": 2})
    two.say({"waiting": 4, "due": 2, "sent": 3})
    assert look(spool) == Figures(agents=2, waiting=5, due=2, sent=5)
    one.end()
    assert look(spool).agents == 1
    two.end()


def test_one_that_was_killed(spool):
    """Its file says nothing any more, and the next agent removes it."""
    child = os.fork()
    if child == 0:
        Presence(spool).say({"sent": 7})
        os._exit(0)
    os.waitpid(child, 0)
    assert (len(files(spool)), look(spool)) == (1, Figures())
    presence = Presence(spool)
    assert (len(files(spool)), look(spool)) == (1, Figures(agents=1))
    presence.end()


@pytest.mark.parametrize("text", [b"{", b"[1]", b'{"sent": "x"}', b"\xff"])
def test_nonsense(spool, text):
    """A file that somebody has written over does no harm."""
    presence = Presence(spool)
    (path,) = files(spool)
    path.write_bytes(text)
    assert look(spool) == Figures(agents=1)
    presence.end()
