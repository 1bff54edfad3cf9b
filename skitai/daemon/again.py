"""The command that has started this process, for others to start it once more."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress

#: A script of ``pip`` names its Python in the first line, or in the second, if its path is long.
_HEAD = 1024


def same_command() -> list[str]:
    """Return the program and its arguments, by the names that were typed.

    Behind these names there may be another release by now: a script such as ``current/.venv/bin/twist`` is
    returned as a program, so that its first line says anew which Python runs it. Relative names count from
    the folder that the process was started in. To be called there, before the names mean something else; any
    thread.
    """
    python, *words = sys.orig_argv
    if words and _runs_by(words[0], python):
        return words
    return [python if os.sep in python else sys.executable, *words]


def _runs_by(script: str, python: str) -> bool:
    """Return whether the ``script`` is a program that ``python`` runs because its first line says so."""
    with suppress(OSError):
        if os.sep in script and os.access(script, os.X_OK):
            with open(script, "rb") as file:
                head = file.read(_HEAD).splitlines()[:2]
            return bool(head) and head[0].startswith(b"#!") and os.fsencode(python) in _words(b" ".join(head))
    return False


def _words(line: bytes) -> list[bytes]:
    return re.split(rb"""[#!\s'"]+""", line)
