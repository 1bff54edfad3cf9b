"""Raises an exception in the main thread, whatever holds it there."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import attrs
from twisted.logger import Logger

from skitai.loop import native

_log = Logger()


@attrs.frozen
class _Interrupt:
    """What is to be raised, if ``is_still_due`` says so in the main thread."""

    error: BaseException
    is_still_due: Callable[[FrameType | None], bool]


class Interrupter:
    """Interrupts the main thread by a signal of its own.

    A signal interrupts what waits for the system, such as ``time.sleep`` or the ``acquire`` of a lock, and
    Python code that runs on. It does not interrupt C code that does neither.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._main = 0
        self._due: _Interrupt | None = None
        self._handlers: frozenset[Any] = frozenset()

    def install(self) -> None:
        """Take a signal that nobody uses, if there is one. Called in the main thread."""
        numbers = range(getattr(signal, "SIGRTMAX", 0), getattr(signal, "SIGRTMIN", 1) - 1, -1)
        self._number = next(
            (number for number in numbers if signal.getsignal(number) == signal.SIG_DFL), None
        )
        if self._number is not None:
            self._main = native.get_ident()
            signal.signal(self._number, self._raise)
        self._handlers = frozenset(_signal_handlers())

    def others_handle_signals(self) -> bool:
        """Return whether anybody has set a signal handler since ``install``. Called in any thread."""
        return not self._handlers.issuperset(_signal_handlers())

    def interrupt(self, error: BaseException, is_still_due: Callable[[FrameType | None], bool]) -> bool:
        """Have ``error`` raised in the main thread soon; return whether that can be done.

        ``is_still_due(frame)`` is called there first, with the innermost frame of what is interrupted: it may
        have gone on by itself. Called in any other thread.
        """
        if self._number is None:
            return False
        self._due = _Interrupt(error, is_still_due)
        signal.pthread_kill(self._main, self._number)
        return True

    def _raise(self, _number: int, frame: FrameType | None) -> None:
        due, self._due = self._due, None
        if due is not None and due.is_still_due(frame):
            raise due.error


def _signal_handlers() -> Iterator[Any]:
    """Yield the Python functions that are called at signals."""
    return filter(callable, map(signal.getsignal, signal.valid_signals()))
