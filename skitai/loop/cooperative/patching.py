"""Replaces what blocks in the standard library, and makes drivers written in C wait through it."""

from __future__ import annotations

import importlib.util
import os
import queue
import socket
import threading
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import gevent
import gevent.thread
import gevent.threading
from gevent import monkey
from gevent._hub_local import get_hub_if_exists
from twisted.internet import base, tcp

from skitai.loop import native
from skitai.loop.cooperative import multiprocess
from skitai.loop.cooperative.children import Loop
from skitai.loop.cooperative.handles import ThreadHandle
from skitai.loop.cooperative.locks import Lock, Sentinel

#: Seconds that greenlets of a real thread may run on when its task is done.
_LAST_SECONDS = 10.0


def patch() -> None:
    """Patch the standard library and those drivers that are installed. Called once, when nobody has."""
    tcp.socket = base.socket = _native_sockets()  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # Modules that are loaded already keep what they took from the standard library: Twisted, Skitai and
        # what these import have nothing that waits for another greenlet.
        warnings.simplefilter("ignore", monkey.MonkeyPatchWarning)
        _use_our_locks()
        gevent.config.loop = Loop
        # gevent's events and queues would lose wake-ups as its locks do; Python's are made of locks.
        monkey.patch_all(Event=False, queue=False)
        monkey.patch_item(queue, "SimpleQueue", queue._PySimpleQueue)  # type: ignore[attr-defined]
        if monkey.is_object_patched("os", "close"):  # gevent 25.8 and later
            monkey.patch_item(os, "close", _prompt_close(os.close))
    multiprocess.patch()
    _patch_psycopg2()
    native.at_thread_end.append(_end_hub)
    _keep()


def _end_hub() -> None:
    """Let go of the hub of a real thread that ends, when the greenlets have ended that an app left there."""
    hub = get_hub_if_exists()
    if hub is not None:
        hub.join(_LAST_SECONDS)
        hub.destroy()


def _keep() -> None:
    """Have an app's own ``monkey.patch_all()`` do nothing: it would undo what is not as gevent has it."""
    for name in monkey.__all__:
        if name.startswith("patch_") and name not in ("patch_item", "patch_module"):
            setattr(monkey, name, _is_patched)


def _is_patched(*_args: Any, **_kwargs: Any) -> bool:
    return True


def _use_our_locks() -> None:
    """Have gevent put our locks where it would put its own."""
    gevent.thread.LockType = gevent.thread.allocate_lock = Lock
    gevent.threading.Lock = gevent.threading._allocate_lock = Lock
    if hasattr(threading, "_ThreadHandle"):  # Python 3.13 and later
        gevent.thread._ThreadHandle = gevent.threading._ThreadHandle = ThreadHandle
    else:
        gevent.threading._set_sentinel = Sentinel


def _prompt_close(late_close: Callable[[int], None]) -> Callable[[int], None]:
    """Return an ``os.close`` that closes at once, unless a greenlet of this thread waits for the descriptor.

    ``late_close`` is gevent's, which always closes in the next turn of its loop. But whoever gave one end of
    a pipe to a child closes it here, and then reads the other end up to its end: that turn would never come.
    """
    close_now: Callable[[int], None] = monkey.get_original("os", "close")

    def close(fd: int) -> None:
        hub = get_hub_if_exists()
        if hub is not None and hub.loop.closing_fd(fd):
            late_close(fd)
        else:
            close_now(fd)

    return close


def _native_sockets() -> ModuleType:
    """Return a copy of ``socket`` with real sockets, for the reactor: gevent's cost more and gain nothing."""
    native = ModuleType("socket", socket.__doc__)
    native.__dict__.update(vars(socket))

    class NativeSocket(socket.socket):
        __slots__ = ()

        def accept(self) -> tuple[socket.socket, Any]:
            # That of the standard library makes a socket of whatever class the patched module has.
            descriptor, address = self._accept()  # type: ignore[attr-defined]
            return NativeSocket(self.family, self.type, self.proto, fileno=descriptor), address

    def fromfd(descriptor: int, family: int, kind: int, proto: int = 0) -> socket.socket:
        return NativeSocket(family, kind, proto, fileno=os.dup(descriptor))

    native.__dict__.update(socket=NativeSocket, fromfd=fromfd)
    return native


def _patch_psycopg2() -> None:
    """Have psycopg2 wait through gevent, if it is installed: its C code knows nothing of patched sockets."""
    if importlib.util.find_spec("psycopg2") is not None:
        from psycogreen.gevent import patch_psycopg

        patch_psycopg()
