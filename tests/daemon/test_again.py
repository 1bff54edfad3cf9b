"""The command that starts a process once more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "import json; from skitai.daemon.again import same_command; print(json.dumps(same_command()))\n"


def said(*command: str, cwd: Path) -> list[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True, timeout=60)
    return list(json.loads(done.stdout))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "serve"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{CODE}")
    path.chmod(0o755)
    return path


class TestSameCommand:
    def test_script(self, script, tmp_path):
        """A program in Python is started as a program: its first line may name another Python by then."""
        assert said(str(script), "--port=1", cwd=tmp_path) == [str(script), "--port=1"]
        assert said("bin/serve", cwd=tmp_path) == ["bin/serve"]

    def test_long_path(self, script, tmp_path):
        """pip writes two lines where the path of Python is too long for the first."""
        script.write_text(f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\n{CODE}")
        assert said(str(script), "-v", cwd=tmp_path) == [str(script), "-v"]

    def test_named_python(self, script, tmp_path):
        """Who names a Python gets this one: a script may name another, and Python may have options."""
        script.write_text(f"#!/usr/bin/other {sys.executable}2\n{CODE}")
        assert said(sys.executable, str(script), cwd=tmp_path) == [sys.executable, str(script)]
        assert said(sys.executable, "-X", "utf8", str(script), cwd=tmp_path)[:2] == [sys.executable, "-X"]

    def test_relative_python(self):
        """A relative name stays one: the folder may lie behind a symbolic link."""
        python = Path(sys.executable)
        name = f"{python.parent.name}/{python.name}"
        assert said(name, "-c", CODE, "x", cwd=python.parent.parent) == [name, "-c", CODE, "x"]

    def test_plain_file(self, script, tmp_path):
        """A file that is no program is run by its Python."""
        script.chmod(0o644)
        assert said(sys.executable, str(script), cwd=tmp_path) == [sys.executable, str(script)]
