"""Becoming an ordinary user."""

import json
import os
import pwd

import pytest

from skitai.daemon.privileges import become, check_code, identity_of

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize(
    ("user", "group", "problem"),
    [
        ("nosuch-user", None, "there is no user nosuch-user"),
        (None, "nosuch-group", "there is no group nosuch-group"),
    ],
)
def test_nobody_there(user, group, problem):
    """Who does not exist is named."""
    with pytest.raises(ValueError, match=problem):
        identity_of(user, group)


def test_the_same():
    """To become who one is needs no rights, and nothing is done."""
    assert identity_of(pwd.getpwuid(os.geteuid()).pw_name, None) is None


def _in_child(function):
    """Return what ``function()`` returns in a process of its own."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, json.dumps(function()).encode())
        except BaseException as error:
            os.write(write_end, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as answer:
        found = json.loads(answer.read())
    os.waitpid(child, 0)
    return found


@ROOT
def test_nobody(tmp_path):
    """All ids are those of the user, also the saved ones, and there is no way back; the logs are its own."""
    entry = pwd.getpwnam("nobody")
    log = tmp_path / "app.log"
    old = tmp_path / "old.log"
    old.write_text("before")

    def become_nobody():
        become(identity_of("nobody", None), [log, old])
        try:
            os.setuid(0)
        except PermissionError:
            return [*os.getresuid(), *os.getresgid(), os.environ["HOME"], os.environ["USER"]]
        return ["it can become root again"]

    assert _in_child(become_nobody) == [entry.pw_uid] * 3 + [entry.pw_gid] * 3 + [entry.pw_dir, "nobody"]
    assert (log.stat().st_uid, log.stat().st_gid) == (entry.pw_uid, entry.pw_gid)
    assert (old.stat().st_uid, old.read_text()) == (os.geteuid(), "before")


@ROOT
def test_not_root():
    """Who is not root can become nobody else."""

    def try_it():
        become(identity_of("nobody", None), [])
        try:
            identity_of("root", None)
        except ValueError as error:
            return str(error)
        return "it may"

    assert _in_child(try_it) == "only root can become another user or group: leave it out"


@ROOT
def test_code_that_it_may_not_read(tmp_path):
    """A Python that is only for root is named, before an import fails."""
    file = tmp_path / "os.py"
    file.touch(0o600)
    check_code([str(file)])

    def try_it():
        become(identity_of("nobody", None), [])
        try:
            check_code([str(file)])
        except PermissionError as error:
            return error.strerror
        return "it may"

    assert _in_child(try_it) == f"it may not read {file}, which Python needs"
