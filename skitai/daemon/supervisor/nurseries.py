"""Nurseries as the supervisor sees them: processes that load the server, and fork its workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import Any

import attrs

from skitai.daemon.supervisor.sockets import Sockets
from skitai.formats import zone
from skitai.net.sockets import ListenError, Opened
from skitai.processes import Board
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import BLOCKED, CANNOT, NURSERY_VARIABLE, SOCKETS, Wishes
from skitai.processes.streams import flush_streams


class Stage(Enum):
    """How far a nursery is."""

    LOADING = auto()
    LOADED = auto()
    #: It will fork no more.
    RETIRED = auto()


@attrs.define(eq=False)
class Nursery:
    """The process ``pid``, which loads the ``generation``; ``link`` is the line to it."""

    generation: int
    pid: int
    link: Link
    began: float = attrs.field(factory=monotonic)
    stage: Stage = Stage.LOADING
    #: Whether it was said that it takes long.
    is_slow: bool = False
    wishes: Wishes | None = None
    sockets: Sequence[Opened] = ()


def start_nursery(generation: int, command: Sequence[str], folder: str) -> Nursery:
    """Start the ``command`` as a nursery, in ``folder``: the name is looked up anew each time.

    Raises OSError if it cannot be started.
    """
    with suppress(OSError):  # it was removed: all absolute paths may still be right
        os.chdir(folder)
    ours, theirs = Link.pair()
    ours.set_blocking(False)
    environment = {**os.environ, NURSERY_VARIABLE: f"{theirs.fileno()} {os.getpid()}"}
    zone.restore(environment)
    try:
        os.set_inheritable(theirs.fileno(), True)
        flush_streams()
        # A Ctrl-C is meant for the supervisor, which ends the nursery.
        pid = os.posix_spawn(command[0], list(command), environment, setsigmask=BLOCKED)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return Nursery(generation, pid, ours)


def give_sockets(nursery: Nursery, hello: Mapping[str, Any], sockets: Sockets, board: Board) -> None:
    """Answer the ``hello`` of ``nursery``: open what it wishes to listen on, or say what cannot be."""
    answer: dict[str, Any]
    nursery.wishes = Wishes.from_message(hello["wishes"])
    try:
        nursery.sockets = sockets.want(nursery.wishes.endpoints)
        answer = {"kind": SOCKETS, "tls": [opened.tls for opened in nursery.sockets]}
    except ListenError as error:  # the nursery knows the line of the config
        answer = {"kind": CANNOT, "key": error.key, "reason": str(error)}
    descriptors = [opened.socket.fileno() for opened in nursery.sockets]
    with suppress(LinkClosedError):
        nursery.link.send(answer, [board.descriptor, *descriptors])


def logical_folder() -> str:
    """Return the present folder by the name that its user gave it: that may contain symbolic links."""
    folder = os.environ.get("PWD", "")
    with suppress(OSError):
        if folder and os.path.samefile(folder, os.getcwd()):
            return folder
    return os.getcwd()
