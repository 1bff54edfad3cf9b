"""What a thread does at the moment, as the log shows it.

A frame is read at once and let go: whoever keeps the frame of another thread keeps its locals alive, and
would end them in the wrong thread.
"""

from __future__ import annotations

import gc
import os
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs
import greenlet

import skitai
import twisted
from skitai.context import current_was
from skitai.loop import bridge, contexts, native
from skitai.server.apps.slot import AppSlot
from skitai.server.websocket.calls import WebSocketCall
from skitai.server.wsgi.appcall import AppCall
from skitai.server.wsgi.pieces import Pieces
from skitai.services.run.service import Run

#: The innermost frame of each thread by its ``get_ident()``.
Frames = Mapping[int, FrameType]

#: Lines of a stack that are shown; of a longer one, the innermost.
_LINES_MAX = 40

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_LIBRARIES = Path(greenlet.__file__).parent.parent
#: Where code lies that serves others: whatever it does, somebody else has asked for it.
_SERVERS = tuple(
    os.path.join(folder, "")
    for folder in (
        Path(skitai.__file__).parent,
        Path(twisted.__file__).parent,
        _LIBRARIES / "greenlet",
        _LIBRARIES / "gevent",
    )
)
_PYTHONS = ("<frozen ", *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")))
#: The functions in which app code waits for something of Skitai.
_WAITS: dict[CodeType, str] = {
    bridge.Bridge.wait.__code__: "waits for `was`",
    bridge.wait_in_thread.__code__: "waits for `was`",
    Pieces.catch_up.__code__: "waits for its client",
}
_CALLS = frozenset((AppCall.run.__code__, WebSocketCall.run.__code__))
_LOADS = frozenset((AppSlot.look.__code__, AppSlot.load_now.__code__))
_RUN = Run.__call__.__code__
_COROUTINE = contexts.steps_in.__code__
#: Held by who has put off the collection of garbage, or another thread would begin it again too early. The
#: handler of a signal may come in the middle of that, in the same thread.
_reading_frames = native.RLock()


@contextmanager
def _no_collection() -> Iterator[None]:
    with _reading_frames:
        collects = gc.isenabled()
        gc.disable()
        try:
            yield
        finally:
            if collects:
                gc.enable()


def current_frames() -> Frames:
    """Return the innermost frame of each thread. Called in any thread; frames are to be let go at once.

    Before 3.11.9, Python may collect garbage within ``sys._current_frames``, which holds a lock that a thread
    needs to start. An object that lets other threads run while it is destroyed then stops the process for
    ever (python/cpython#106883). So nothing is collected here.
    """
    with _no_collection():
        return sys._current_frames()


@attrs.frozen
class Line:
    """A line of code that runs: its file, its number and the name of its function."""

    file: str
    number: int
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.number} in {self.function}"

    @property
    def is_of_server(self) -> bool:
        """Whether it is of Twisted or of Skitai."""
        return self.file.startswith(_SERVERS)

    @property
    def is_machinery(self) -> bool:
        """Whether it is of Python, of Twisted or of Skitai."""
        return self.is_of_server or (self.file.startswith(_PYTHONS) and not self._is_installed)

    @property
    def is_own(self) -> bool:
        """Whether it is of the app itself, and not of a library either."""
        return not (self.is_machinery or self._is_installed)

    @property
    def _is_installed(self) -> bool:
        return any(part in self.file for part in _INSTALLED)


@attrs.frozen
class Stack:
    """Where a thread is, from the outermost line to the innermost.

    ``task`` says what it is for: ``GET /report``, or empty if nothing is known. ``mark`` is equal for two
    stacks of one call of an app, and None outside of such calls. ``loads`` is whether an app is being loaded,
    ``waits`` what it waits for, if that is something of Skitai.
    """

    lines: tuple[Line, ...]
    task: str = ""
    mark: Any = None
    loads: bool = False
    waits: str = ""

    @property
    def place(self) -> Line:
        """The innermost line of the app, or else of a library, or else of all."""
        inwards = self.lines[::-1]
        own = next((line for line in inwards if line.is_own), None)
        return own or next((line for line in inwards if not line.is_machinery), inwards[0])

    def shown(self) -> str:
        """Return the lines as a traceback shows them, from the first one that the server has called."""
        served = next((at for at, line in enumerate(self.lines) if line.is_of_server), 0)
        callees = range(served, len(self.lines))  # before them is the script that has begun the server
        first = next((at for at in callees if not self.lines[at].is_machinery), served)
        lines = self.lines[first:][-_LINES_MAX:]
        summary = traceback.StackSummary.from_list(
            [traceback.FrameSummary(line.file, line.number, line.function) for line in lines]
        )
        return "".join(summary.format()).rstrip("\n")


def stack_of(frame: FrameType) -> Stack:
    """Return the stack whose innermost frame is ``frame``. Called in any thread."""
    lines: list[Line] = []
    found: dict[str, Any] = {}
    for inner in outwards(frame):
        code = inner.f_code
        lines.append(Line(code.co_filename, inner.f_lineno or 0, code.co_name))
        if code in _CALLS:
            call = inner.f_locals["self"]
            found |= {"task": call.line, "mark": call.mark}
        elif code is _COROUTINE:
            found["task"] = _request_of(inner.f_locals["context"])
        elif code in _LOADS:
            found |= {"task": f"loading {inner.f_locals['self'].point}", "loads": True}
        elif code is _RUN:
            found["task"] = f"was.run of {inner.f_locals['self']}"
        elif code in _WAITS:
            found["waits"] = _WAITS[code]  # the outermost says it best
    return Stack(tuple(reversed(lines)), **found)


def _request_of(context: Context) -> str:
    """Return method and target of the request whose context it is, or empty if it is of none."""
    was = context.get(current_was)
    environ = {} if was is None else was.env
    return f"{environ.get('REQUEST_METHOD', '')} {environ.get('REQUEST_URI', '')}".strip()


def mark_of(frame: FrameType) -> Any:
    """Return the ``mark`` of the stack whose innermost frame is ``frame``, at a fraction of the cost."""
    inner: FrameType | None = frame
    with _no_collection():  # once: it costs more than a step
        while inner is not None and inner.f_code not in _CALLS:
            inner = inner.f_back
    return None if inner is None else inner.f_locals["self"].mark


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """Yield ``frame``, its caller, and so on."""
    while frame is not None:
        yield frame
        frame = _caller_of(frame)


def _caller_of(frame: FrameType) -> FrameType | None:
    """Return ``frame.f_back``, without a collection of garbage in the middle.

    Python may make the object of the caller, and that may start a collection, which runs code and lets other
    threads go on. If the frame ends meanwhile, Python 3.11 reads memory that is no longer its own.
    """
    with _no_collection():
        return frame.f_back


def is_of_skitai(frame: FrameType) -> bool:
    """Return whether ``frame`` runs code of Skitai."""
    return frame.f_code.co_filename.startswith(_SERVERS[0])


def native_threads() -> int:
    """Return how many threads the system counts in this process, Python's and others; 0 if it does not."""
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return 0
