"""Handlers of signals that a module sets while it is imported in a thread: only the main thread may set them.

gunicorn, waitress and ``flask run`` import apps there, so a module may well have such a line. Here only that
call is passed to the main thread; the import stays in its thread, where it may wait and holds up nobody.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from skitai.loop.bridge import Bridge

A = TypeVar("A")
R = TypeVar("R")

#: Seconds that the reactor has to set a handler. It does nothing that takes long.
_SECONDS = 10.0

#: The bridge of the instance that loads an app, in the context of that load; no other code has it.
_bridge: ContextVar[Bridge | None] = ContextVar("skitai.loading", default=None)


class _Routing:
    """Has ``signal.signal`` pass on what threads ask of it, as long as apps are loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads = 0
        self._original: Callable[..., Any] = signal.signal
        self._routed = self._original

    def begin(self) -> None:
        """Note that a load begins."""
        with self._lock:
            self._loads += 1
            if self._loads == 1:
                self._original = signal.signal
                self._routed = signal.signal = _passing_on(self._original)

    def end(self) -> None:
        """Note that a load ends."""
        with self._lock:
            self._loads -= 1
            if not self._loads and signal.signal is self._routed:  # else an app has its own there
                signal.signal = self._original


def _passing_on(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``signal.signal`` as modules see it while they are loaded; later it is as ever."""

    @wraps(original)
    def set_handler(*args: Any) -> Any:
        bridge = _bridge.get()
        if bridge is None or threading.current_thread() is threading.main_thread():
            return original(*args)
        return bridge.ask(lambda: original(*args), _SECONDS)

    return set_handler


_routing = _Routing()


@contextmanager
def _loading(bridge: Bridge) -> Iterator[None]:
    token = _bridge.set(bridge)
    _routing.begin()
    try:
        yield
    finally:
        _routing.end()
        _bridge.reset(token)


def may_set_handlers(bridge: Bridge, load: Callable[[A], R]) -> Callable[[A], R]:
    """Return ``load``, within which handlers of signals can be set in any thread.

    The reactor of ``bridge`` sets them. If it does not run in the main thread, Python refuses that as ever.
    """

    def loading(argument: A) -> R:
        with _loading(bridge):
            return load(argument)

    return loading
