"""Lets greenlets wait for ``multiprocessing``: gevent does not, and a pool would stop its server for ever."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import connection, synchronize
from typing import Any

from gevent import get_hub, monkey

from skitai.loop import native

_READ, _WRITE = 1, 2
#: What a pipe takes at once without blocking, when it is ready (POSIX: PIPE_BUF).
_PIECE = 4096
#: Seconds between two looks at a semaphore that other processes have: it has no descriptor to wait for.
_SHORTEST, _LONGEST = 0.0005, 0.02

_close: Callable[[int], None] = monkey.get_original("os", "close")


def patch() -> None:
    """Patch the pipes, locks and processes of ``multiprocessing``."""
    make: Any = connection.Connection
    # Their last argument is the function of ``os`` to call.
    make._recv.__defaults__ = (_read,)
    make._send.__defaults__ = (_write,)
    lock: Any = synchronize.SemLock
    lock._make_methods = _make_methods
    lock.__enter__ = lambda self: self.acquire()
    monkey.patch_item(os, "waitpid", partial(_waitpid, os.waitpid))


def _read(descriptor: int, size: int) -> bytes:
    """Read when there is something. A connection made of gevent's socket does not block by itself."""
    _wait(descriptor, _READ)
    return os.read(descriptor, size)


def _write(descriptor: int, data: memoryview) -> int:
    """Write what the pipe takes at once."""
    _wait(descriptor, _WRITE)
    return os.write(descriptor, data[:_PIECE])


def _wait(descriptor: int, events: int) -> None:
    look = native.poll()
    look.register(descriptor, select.POLLIN if events == _READ else select.POLLOUT)
    if not look.poll(0):
        hub = get_hub()
        with hub.loop.io(descriptor, events) as watcher:
            hub.wait(watcher)


def _make_methods(lock: Any) -> None:
    """Do what the method of ``SemLock`` does, with an ``acquire`` that lets others go on."""
    lock.acquire = partial(_acquire, lock._semlock)
    lock.release = lock._semlock.release


def _acquire(semlock: Any, block: bool = True, timeout: float | None = None) -> bool:
    """Do what ``_multiprocessing.SemLock.acquire`` does."""
    end = None if timeout is None else time.monotonic() + timeout
    pause = _SHORTEST
    while not semlock.acquire(False):
        if not block or (end is not None and time.monotonic() >= end):
            return False
        time.sleep(pause if end is None else max(min(pause, end - time.monotonic()), 0))
        pause = min(2 * pause, _LONGEST)
    return True


def _waitpid(waitpid: Callable[[int, int], tuple[int, int]], pid: int, options: int) -> tuple[int, int]:
    """Do what ``os.waitpid`` does. gevent knows only those children that it has forked itself."""
    if pid > 0 and not options & os.WNOHANG:
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            pass  # the original raises what is right, or knows that it has ended
        else:
            try:
                _wait(descriptor, _READ)
            finally:
                _close(descriptor)
    return waitpid(pid, options)
