"""Real threads and processes, even where the standard library is patched to run greenlets instead.

Patching replaces names such as ``threading.Lock``. This module gives what stood there before, whether it is
imported before or after the patch. So whoever needs the real thing takes it from here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any


def _original(module: str, name: str) -> Any:
    """Return ``module.name`` as Python gives it."""
    patcher: Any = sys.modules.get("gevent.monkey")
    if patcher is not None:
        return patcher.get_original(module, name)
    return getattr(__import__(module), name)


if TYPE_CHECKING:
    import select
    from _queue import SimpleQueue as SimpleQueue
    from _socket import socket as socket
    from _socket import socketpair as socketpair
    from _thread import get_ident as get_ident
    from os import fork as fork
    from os import waitpid as waitpid
    from selectors import DefaultSelector as DefaultSelector

    Lock = threading.Lock
    RLock = threading.RLock
    local = threading.local
    poll = select.poll
else:
    fork = _original("os", "fork")
    waitpid = _original("os", "waitpid")
    SimpleQueue = _original("_queue", "SimpleQueue")
    get_ident = _original("_thread", "get_ident")
    local = _original("_thread", "_local")
    Lock = _original("_thread", "allocate_lock")
    RLock = _original("_thread", "RLock")
    poll = _original("select", "poll")
    DefaultSelector = _original("selectors", "DefaultSelector")
    #: The base class of sockets, which has no ``makefile`` and the like, and two of it.
    socket = _original("_socket", "socket")
    socketpair = _original("_socket", "socketpair")

_start_new_thread = _original("_thread", "start_new_thread")
#: What ``threading`` starts its threads by: the second from Python 3.13 on.
_STARTS = next(name for name in ("_start_new_thread", "_start_joinable_thread") if hasattr(threading, name))
_threads_start = _original("_thread", _STARTS.removeprefix("_"))


def threads_are_greenlets() -> bool:
    """Return whether ``threading`` makes greenlets instead of threads."""
    return getattr(threading, _STARTS) is not _threads_start


#: Called at the end of each real thread, in it, where threads are greenlets.
at_thread_end: list[Callable[[], object]] = []


def start_thread(function: Callable[[], object], name: str) -> Callable[[], object]:
    """Call ``function()`` in a real thread, which does not keep the process from ending.

    ``name`` is what ``threading.current_thread().name`` is in it. Returns what waits for its end, to be
    called once. Called in any thread.
    """
    if not threads_are_greenlets():
        thread = threading.Thread(target=function, name=name, daemon=True)
        thread.start()
        return thread.join
    ended = Lock()
    ended.acquire()

    def run() -> None:
        threading.current_thread().name = name  # there is none yet: this makes one
        try:
            function()
        finally:
            for end in at_thread_end:
                end()
            ended.release()

    _start_new_thread(run, ())
    return ended.acquire


_here = local()


def thread_name() -> str:
    """Return the name of this thread, as it was when it was first asked for: each request asks."""
    try:
        name: str = _here.name
    except AttributeError:
        name = _here.name = threading.current_thread().name
    return name
