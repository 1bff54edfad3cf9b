"""What a worker has of its supervisor: the line between them, and the question where it hangs."""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.loop.greenlets import waiting_frames
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import HURRY, LEAVE, READY, SERVE, STACKS_SIGNAL
from skitai.worker.watch.stacks import stack_of

if TYPE_CHECKING:
    pass

#: Greenlets whose stacks are written.
_GREENLETS_MAX = 50


@implementer(IReadDescriptor)
class Line:
    """The end of ``link`` in a worker, read by its ``reactor``.

    ``serve()`` is called when the worker may accept connections, ``leave()`` when the supervisor is gone, and
    ``hurry()`` when the worker is to end fast. All methods are called in the reactor thread.
    """

    def __init__(
        self,
        reactor: Any,
        link: Link,
        serve: Callable[[], object],
        leave: Callable[[], object],
        hurry: Callable[[], object],
    ) -> None:
        self._reactor = reactor
        self._link = link
        self._serve = serve
        self._leave = leave
        self._hurry = hurry

    def start(self) -> None:
        """Begin to listen to the supervisor."""
        self._link.set_blocking(False)
        self._reactor.addReader(self)

    def ready(self, failed: Sequence[str]) -> None:
        """Say that the worker can serve; ``failed`` says which of its apps cannot be loaded."""
        self._say({"kind": READY, "pid": os.getpid(), "failed": list(failed)})

    def ask_to_leave(self, *, restart: bool, fast: bool) -> None:
        """Have the supervisor stop the server, or replace all workers; ``fast``: requests have a second."""
        self._say({"kind": LEAVE, "restart": restart, "fast": fast})

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(LinkClosedError, BlockingIOError):  # the worker ends when the supervisor does
            self._link.send(message)

    def fileno(self) -> int:
        """Return the descriptor to read."""
        return self._link.fileno()

    def doRead(self) -> None:
        """Take a message."""
        try:
            message, _ = self._link.receive()
        except BlockingIOError:
            return
        except LinkClosedError:
            self.stop()
            self._leave()
            return
        if message["kind"] == SERVE:
            self._serve()
        elif message["kind"] == HURRY:
            self._hurry()

    def stop(self) -> None:
        """Listen no longer."""
        self._reactor.removeReader(self)

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: the reactor stops."""

    def logPrefix(self) -> str:
        """Return what the reactor calls it."""
        return "supervisor"


def write_stacks_when_asked(descriptor: int) -> None:
    """Write the stacks of all threads and greenlets to ``descriptor`` when the supervisor asks for them.

    Those of the threads come even if C code holds up the interpreter, those of the greenlets if it goes on.
    Called in the main thread.
    """

    def write_greenlets(_number: int, _frame: FrameType | None) -> None:
        waiting = waiting_frames()
        texts = []
        for frame in waiting[:_GREENLETS_MAX]:
            stack = stack_of(frame)
            texts.append(f"Greenlet {stack.task}:\n{stack.shown()}\n")
        with suppress(OSError):
            os.write(descriptor, "\n".join(["", *texts]).encode(errors="replace"))

    signal.signal(STACKS_SIGNAL, write_greenlets)
    faulthandler.register(STACKS_SIGNAL, file=descriptor, all_threads=True, chain=True)
