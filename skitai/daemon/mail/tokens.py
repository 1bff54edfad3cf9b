"""Tokens to log in with, which a command of the configuration prints."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

#: Seconds that the command may take, and between two looks whether it may go on.
_LONGEST_SECONDS, _LOOK_SECONDS = 30.0, 0.1


class LoginError(Exception):
    """There is no password or token to log in with; the text says why, and has no secret."""


def token_of(command: str, is_ending: Callable[[], bool]) -> str:
    """Return what ``command`` prints; raises LoginError.

    It is killed with all that it has started when it takes too long, and as soon as ``is_ending()``.
    """
    words = shlex.split(command)
    try:
        process = subprocess.Popen(  # noqa: S603 - what the configuration says
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it may say there what it sends; our own goes to a log
            encoding="utf-8", process_group=0,
        )  # fmt: skip
        with process:
            token = _output(process, is_ending).strip()
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError) as error:
        raise LoginError(f"token_command {words[0]}: {type(error).__name__}") from None
    if process.returncode or not token:
        message = f"exit status {process.returncode}, {len(token)} characters"
        raise LoginError(f"token_command {words[0]}: {message}")
    return token


def _output(process: subprocess.Popen[str], is_ending: Callable[[], bool]) -> str:
    gives_up = monotonic() + _LONGEST_SECONDS
    try:
        while True:
            try:
                return process.communicate(timeout=_LOOK_SECONDS)[0]
            except subprocess.TimeoutExpired:
                if is_ending() or monotonic() > gives_up:
                    raise
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it may have children that have its output
        raise
