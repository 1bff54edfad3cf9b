"""A child that an app forks within a request: it must not go on as the server that it is a copy of."""

from __future__ import annotations

import os
from typing import NoReturn

from skitai.processes.streams import flush_streams

#: The exit status of a child that returned from the request in which it was made.
_EXIT_ASTRAY = 70


class Forks:
    """How often this process and its ancestors were forked: ``count``, and when it began to serve."""

    __slots__ = ("count", "serving")

    def __init__(self) -> None:
        self.count = self.serving = 0

    def serve(self) -> None:
        """Take note that this process serves from now on."""
        self.serving = self.count

    def happened(self) -> None:
        """Take note of a fork, in the child."""
        self.count += 1


FORKS = Forks()
os.register_at_fork(after_in_child=FORKS.happened)


def end_child(error: BaseException | None = None) -> NoReturn:
    """End this process at once: with the status of a SystemExit, else with one that says what it did."""
    flush_streams()
    status: object = _EXIT_ASTRAY
    if isinstance(error, SystemExit):  # as the interpreter has it: None is 0, and words are 1
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    os._exit(status & 0xFF if isinstance(status, int) else 1)


def end_if_child(error: BaseException) -> None:
    """End a child that an app forked in a request, and that says by SystemExit that it is to end."""
    if isinstance(error, SystemExit) and FORKS.count != FORKS.serving:
        end_child(error)
