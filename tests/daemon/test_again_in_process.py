"""Which words start a process once more, for command lines that this process did not have."""

import sys

import pytest

from skitai.daemon.again import same_command


@pytest.fixture
def said(monkeypatch):
    """Return ``said(*words)``: what ``same_command`` makes of a command line."""

    def run(*words):
        monkeypatch.setattr(sys, "orig_argv", [*map(str, words)])
        return same_command()

    return run


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "serve"
    path.write_text("#!/opt/python3 -I\nprint()\n")
    path.chmod(0o755)
    return path


def test_a_program_is_started_as_one(said, script):
    """Its first line says anew which Python runs it."""
    assert said("/opt/python3", script, "-v") == [str(script), "-v"]
    script.write_text("#!/bin/sh\n'''exec' '/opt/python3' \"$0\" \"$@\"\n")
    assert said("/opt/python3", script) == [str(script)]


def test_a_python_that_was_named_is_kept(said, script, tmp_path):
    """The script names another, has no first line of the kind, is no program, or not there."""
    assert said("/opt/python4", script) == ["/opt/python4", str(script)]
    script.write_text("")
    assert said("/opt/python3", script) == ["/opt/python3", str(script)]
    script.chmod(0o644)
    assert said("/opt/python3", script) == ["/opt/python3", str(script)]
    assert said("/opt/python3", tmp_path / "gone" / "x") == ["/opt/python3", str(tmp_path / "gone" / "x")]


def test_a_python_without_a_folder(said):
    """It was found by PATH, which may be another by then."""
    assert said("python3", "-m", "twisted") == [sys.executable, "-m", "twisted"]
    assert said("python3") == [sys.executable]
