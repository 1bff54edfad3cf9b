"""The spool after its process has died at any step of what it did: nothing lost, nothing sent again."""

import errno
import os
import subprocess
import sys
from functools import partial

import dying
import pytest
from dying import ACTIONS, DEFERRED, ENVELOPE, MESSAGE, REFUSED, SENT

from skitai.mail.spool import Spool


@pytest.fixture
def remains(tmp_path):
    """Return ``remains(action)``: a spool for each step at which a process has died, the last finished."""

    def run(action):
        subprocess.run([sys.executable, dying.__file__, action, tmp_path], check=True, timeout=60)
        steps = sorted(map(int, os.listdir(tmp_path)))
        assert len(steps) > 3
        return [Spool(tmp_path / str(step)) for step in steps]

    return run


def names_in(spool):
    """Return all files of a spool by folder."""
    found = {path.parent.name: set() for path in spool.folder.rglob("*") if path.is_file()}
    for path in spool.folder.rglob("*"):
        if path.is_file():
            found[path.parent.name].add(path.name)
    return found


def places(spool):
    """Return the folders that have the mail."""
    return [name for name in ("spool", "undeliver", "bad") if spool.ids_in(name) == ["mail-1"]]


def whole(spool, place):
    """Claim the mail, which must be whole."""
    claim = spool.claim("mail-1", place)
    assert claim.envelope == ENVELOPE
    assert claim.message() == MESSAGE
    return claim


@pytest.mark.parametrize("action", ["write", "write again"])
def test_writing(remains, action):
    """A mail is there whole or not at all; what lies about is cleaned up."""
    seen = []
    for spool in remains(action):
        seen.append(places(spool))
        if seen[-1]:
            whole(spool, "spool").release()
        spool.clean(0)
        assert names_in(spool) == ({"spool": {"mail-1.eml", "mail-1.json"}} if seen[-1] else {})
        spool.retry("mail-1", "spool")
    assert seen == sorted(seen)
    assert seen[0] == []
    assert seen[-1] == ["spool"]


def test_writing_what_a_crash_has_interrupted(remains):
    """The same mail, as a bounce is: it is written now, or there already, whole."""
    seen = []
    for spool in remains("write again"):
        try:
            spool.write(ENVELOPE, MESSAGE)
            seen.append("now")
        except FileExistsError:
            seen.append("there")
        whole(spool, "spool").release()
        spool.clean(0)
        assert names_in(spool) == {"spool": {"mail-1.eml", "mail-1.json"}}
    assert seen == sorted(seen)
    assert set(seen) == {"now", "there"}


def test_the_first_record(remains):
    """Who got the mail is known from the line on; an unfinished line is none, and does not harm the next."""
    seen = []
    for spool in remains("first record"):
        with whole(spool, "spool") as claim:
            seen.append(claim.pending)
            claim.record([SENT, DEFERRED], 2000.0)
            assert claim.pending == ("cat@c.example",)
        with whole(spool, "spool") as claim:
            assert claim.pending == ("cat@c.example",)
            assert claim.outcomes == {"bob@b.example": SENT, "cat@c.example": DEFERRED}
    assert set(seen) == {("bob@b.example", "cat@c.example"), ("cat@c.example",)}


def test_a_further_record(remains):
    """What was known before stays known."""
    for spool in remains("record"):
        with whole(spool, "spool") as claim:
            assert claim.pending in ((), ("cat@c.example",))
            assert claim.outcomes["bob@b.example"] == SENT
            claim.record([REFUSED], None)
        with whole(spool, "spool") as claim:
            assert claim.outcomes["cat@c.example"] == REFUSED


@pytest.mark.parametrize("action", ["done", "done at once", "drop"])
def test_removing(remains, action):
    """The mail is there whole, with all that is known, or not at all."""
    seen = []
    for spool in remains(action):
        seen.append(places(spool))
        if seen[-1]:
            with whole(spool, "spool") as claim:
                assert claim.pending == {
                    "done": (), "done at once": ENVELOPE.recipients, "drop": ("cat@c.example",)
                }[action]  # fmt: skip
        else:
            spool.clean(0)
            assert names_in(spool) == {}
    assert seen[0] == ["spool"]
    assert seen[-1] == []


def test_giving_up(remains):
    """The mail is in one place, whole and with its state, and giving up can be done again."""
    seen = []
    for spool in remains("give up"):
        seen += places(spool)
        with whole(spool, seen[-1]) as claim:
            assert claim.pending == ()
            if seen[-1] == "spool":
                claim.give_up("again")
        spool.clean(0)
        assert names_in(spool) == {
            "undeliver": {"mail-1.eml", "mail-1.json", "mail-1.state", "mail-1.reason"}
        }
    assert seen == sorted(seen)
    assert set(seen) == {"spool", "undeliver"}


def test_coming_back(remains):
    """A mail that is tried anew is in one place, whole, and nobody gets it twice."""
    seen = []
    for spool in remains("retry"):
        seen += places(spool)
        with whole(spool, seen[-1]) as claim:
            assert claim.outcomes["bob@b.example"] == SENT
        if seen[-1] == "undeliver":
            assert spool.retry("mail-1", "undeliver")
        with whole(spool, "spool") as claim:
            assert claim.pending == ("cat@c.example",)
        spool.clean(0)
        assert names_in(spool) == {"spool": {"mail-1.eml", "mail-1.json", "mail-1.state"}}
    assert set(seen) == {"spool", "undeliver"}


def test_setting_aside(remains):
    """What cannot be read is in one place, with all its files."""
    for spool in remains("set aside"):
        assert spool.claim("mail-1") is None
        assert places(spool) == ["bad"]
        spool.clean(0)
        assert names_in(spool) == {"bad": {"mail-1.eml", "mail-1.json", "mail-1.state", "mail-1.reason"}}


def outcome(number, act, fail):
    """Do it, its call of that number failing; return the error, if any, and whether that call was reached."""
    undo = dying.at_call(number, fail)
    try:
        act()
    except OSError as error:
        undo()
        return error, True
    return None, undo()


@pytest.mark.parametrize("action", ["write", "write again"])
def test_a_disk_that_fails(tmp_path, action):
    """Whatever fails while a mail is written: OSError, which names a path, and nothing is left behind."""

    def fail(_call, arguments):
        path = [] if isinstance(arguments[0], int) else [arguments[0]]
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *path)

    prepare, act = ACTIONS[action]
    for number in range(1, 100):
        spool = Spool(tmp_path / str(number))
        prepare(spool)
        error, was_reached = outcome(number, partial(act, spool), fail)
        if error is None:
            assert places(spool) == ["spool"]
        else:
            assert (error.errno, names_in(spool)) == (errno.ENOSPC, {})
            assert error.filename
        if not was_reached:
            break
    assert number > 8


def test_a_record_that_fails(tmp_path):
    """Nothing is recorded then, and it can be done again."""

    def fail(call, arguments):
        if call.__name__ == "write":
            descriptor, data = arguments
            call(descriptor, data[: len(data) // 2])
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    for number in range(1, 100):
        spool = Spool(tmp_path / str(number))
        dying.tried(spool)
        with spool.claim("mail-1") as claim:
            error, was_reached = outcome(number, lambda: claim.record([REFUSED], None), fail)
            if not was_reached:
                break
            assert error.errno == errno.EDQUOT
            assert claim.pending == ("cat@c.example",)
            claim.record([REFUSED], None)
        with spool.claim("mail-1") as claim:
            assert claim.pending == ()
            assert claim.tries == 2
    assert number > 3


def test_a_full_disk(tmp_path):
    """On a disk that is full, nothing is left of the mail, and the next small one fits."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        spool = Spool(tmp_path / "mail")
        spool.make_folders()
        with pytest.raises(OSError, match=r"No space left on device.*mail-1\.eml"):
            spool.write(ENVELOPE, b"x" * 100_000)
        assert names_in(spool) == {}
        spool.write(ENVELOPE, MESSAGE)
        whole(spool, "spool").release()
    finally:
        subprocess.run(["umount", tmp_path], check=True)
