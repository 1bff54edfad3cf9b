"""How greenlets learn that a process has ended, in every thread.

gevent lets libev wait for children, which works in the main thread alone. There it waits for any child, so
the statuses of those that real threads have begun would be lost. Here each child has a descriptor of its own
(``pidfd_open(2)``), which becomes readable when it has ended.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from gevent import core, monkey

from skitai.loop.native import Lock

_READ = 1
#: Seconds between two looks for the end of any child: there is no descriptor for all of them.
_LOOK_SECONDS = 0.02

_waitpid: Callable[[int, int], tuple[int, int]] = monkey.get_original("os", "waitpid")
_close: Callable[[int], None] = monkey.get_original("os", "close")


class Loop(core.loop):  # type: ignore[misc]
    """gevent's loop, with child watchers in every thread."""

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> ChildWatcher:  # noqa: ARG002 - libev's
        """Return a watcher that is called when the process ``pid`` ends, 0 for any child."""
        return ChildWatcher(self, pid, ref)

    def install_sigchld(self) -> None:
        """Do nothing: libev must not wait for children."""


class _Child:
    """A process. ``ended`` is None until it has ended, then what ``os.waitpid`` returned for all watchers."""

    #: The one that ended last.
    last: ClassVar[tuple[int, int]] = (0, 0)

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ended: tuple[int, int] | None = None
        self._ending = Lock()

    def look(self) -> bool:
        """Return whether it has ended; if it has, it is not a zombie any more."""
        with self._ending:
            if self.ended is None:
                self.ended = self._wait()
        return self.ended is not None

    def _wait(self) -> tuple[int, int] | None:
        try:
            found = _waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else has waited for it
            found = (self.pid, 0)
        if not found[0]:
            return None
        _Child.last = found
        return found


class _AnyChild(_Child):
    """Whichever child ends first, also one whose own watcher has seen the end."""

    def __init__(self) -> None:
        super().__init__(-1)
        self._before = _Child.last

    def _wait(self) -> tuple[int, int] | None:
        return super()._wait() if _Child.last is self._before else _Child.last


#: Those that somebody watches.
_children: WeakValueDictionary[int, _Child] = WeakValueDictionary()


class ChildWatcher:
    """Has the interface of gevent's watchers. Used in the thread of ``loop``."""

    def __init__(self, loop: Any, pid: int, ref: bool) -> None:
        self.loop = loop
        self.pid = pid
        self._ref = ref
        self._child = _children.setdefault(pid, _Child(pid)) if pid else _AnyChild()
        self._callback: Callable[..., object] | None = None
        self._args: tuple[Any, ...] = ()
        self._descriptor = -1
        self._watcher: Any = None

    @property
    def active(self) -> bool:
        """Whether it will call."""
        return self._callback is not None

    @property
    def rpid(self) -> int:
        """The process that has ended."""
        return 0 if self._child.ended is None else self._child.ended[0]

    @property
    def rstatus(self) -> int:
        """Its status, as ``os.waitpid`` returns it."""
        return 0 if self._child.ended is None else self._child.ended[1]

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call ``callback(*args)`` when the process has ended."""
        self._callback, self._args = callback, args
        if self._watcher is None:
            self._watcher = self._make_watcher()
        self._watcher.start(self._look)

    def stop(self) -> None:
        """Do not call."""
        self._callback = None
        if self._watcher is not None:
            self._watcher.stop()

    def close(self) -> None:
        """Let go of everything."""
        self.stop()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            _close(descriptor)

    def __enter__(self) -> ChildWatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_watcher(self) -> Any:
        if self.pid:
            try:
                self._descriptor = os.pidfd_open(self.pid)
            except ProcessLookupError:  # it has ended, and another watcher knows
                return self.loop.timer(0, ref=self._ref)
            return self.loop.io(self._descriptor, _READ, ref=self._ref)
        return self.loop.timer(_LOOK_SECONDS, _LOOK_SECONDS, ref=self._ref)

    def _look(self) -> None:
        if self._callback is not None and self._child.look():
            self._callback(*self._args)
