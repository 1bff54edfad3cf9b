"""Sees to it that SIGTERM and SIGINT end the process, whatever its code does.

Twisted stops when the reactor has its next turn. If something holds the reactor for ever, there is none. So a
thread of its own learns of the signals, waits as long as the server may take, and then interrupts what holds
the reactor; if that does not help, it ends the process.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import threading
from contextlib import suppress
from functools import partial
from time import monotonic
from types import FrameType
from typing import Any, NoReturn

from greenlet import GreenletExit
from twisted.internet.process import reapAllProcesses
from twisted.logger import Logger

from skitai.loop import native
from skitai.processes.streams import flush_streams
from skitai.worker.watch.blocking import Hold, Question
from skitai.worker.watch.interrupts import Interrupter
from skitai.worker.watch.patience import Patience, Step
from skitai.worker.watch.stacks import current_frames, mark_of, stack_of

_log = Logger()

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: What Python does with a signal that nobody handles, if that is not the system's default.
_DEFAULTS: dict[int, Any] = {signal.SIGINT: signal.default_int_handler}
#: What the reactor's end is told by, in the place of a signal's number.
_REACTOR_ENDED = 0
_LOOK_MILLISECONDS = 50
#: Seconds beyond its time after which a process is ended although C code keeps all Python code from running.
_GRACE_SECONDS = 3.0
#: Seconds that the last words may take: even the log may be what blocks.
_WORDS_SECONDS = 1.0


class LastResort:
    """Watches over the end of a process whose main thread runs ``reactor``.

    ``seconds`` is what requests under way get when the server stops. It takes the place of Twisted as the one
    that Python tells of signals (``signal.set_wakeup_fd``), and passes on what Twisted needs to know.
    """

    def __init__(self, reactor: Any, seconds: float, interrupter: Interrupter) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._interrupter = interrupter
        self._main = 0
        self._handlers: dict[int, Any] = {}
        self._tell = self._told = -1
        self._patience: Patience | None = None
        self._signal: int | None = None
        self._question = Question(reactor)
        self._hold = Hold()

    def install(self) -> bool:
        """Begin, if the reactor runs in the main thread and ends at signals; return whether it does.

        Called by the reactor when it runs.
        """
        self._handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        is_main = threading.current_thread() is threading.main_thread()
        if not (is_main and callable(self._handlers[signal.SIGTERM])):
            return False
        self._main = native.get_ident()
        self._interrupter.install()
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        signal.set_wakeup_fd(self._tell, warn_on_full_buffer=False)
        os.register_at_fork(after_in_child=self._forget_signals)
        self._reactor.addSystemEventTrigger("after", "shutdown", self._reactor_ended)
        native.start_thread(self._watch, "skitai-signals")
        return True

    def _forget_signals(self) -> None:
        """In a forked child, neither tell the parent of signals nor have the parent's reactor handle them."""
        with suppress(ValueError):  # if this is not the main thread
            signal.set_wakeup_fd(-1)
            for number, handler in self._handlers.items():
                if signal.getsignal(number) is handler:
                    signal.signal(number, _DEFAULTS.get(number, signal.SIG_DFL))

    def _reactor_ended(self) -> None:
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is handler:  # Twisted's: it would ask a reactor that is gone
                signal.signal(number, signal.SIG_DFL)
        os.write(self._tell, bytes([_REACTOR_ENDED]))

    # -- in the thread -------------------------------------------------------------------------------------

    def _watch(self) -> None:
        poll = native.poll()
        poll.register(self._told)
        while True:
            if self._patience is None or poll.poll(_LOOK_MILLISECONDS):
                for number in os.read(self._told, 512):
                    self._learn(number, monotonic())
            if self._patience is not None:
                self._look(self._patience, monotonic())

    def _learn(self, number: int, now: float) -> None:
        if number == signal.SIGCHLD:
            self._reactor.callFromThread(reapAllProcesses)
        elif number == _REACTOR_ENDED:
            # What is left is the end of the interpreter, which waits for threads of the app.
            self._patience = Patience(self._seconds, now, is_last=True)
        elif number in self._handlers and signal.getsignal(number) is self._handlers[number]:
            if self._patience is None:
                self._patience, self._signal = Patience(self._seconds, now), number
                _end_without_python(self._patience.most + _GRACE_SECONDS)
            else:
                self._patience.hurry(now)
                _end_without_python(_GRACE_SECONDS)

    def _look(self, patience: Patience, now: float) -> None:
        frame = current_frames().get(self._main)
        mark = None if frame is None else mark_of(frame)
        del frame
        if not self._question.is_open:
            self._hold.end()
            self._question.ask()
        step = patience.look(now, self._hold.look(mark, now))
        if step is Step.INTERRUPT:
            self._say("the server stops: what holds it up is interrupted")
            self._interrupter.interrupt(GreenletExit(), partial(self._is_held_by, mark))
        elif step is Step.END:
            self._end()

    def _is_held_by(self, mark: Any, frame: FrameType | None) -> bool:
        return self._question.is_open and frame is not None and mark_of(frame) == mark

    def _say(self, words: str) -> None:
        frame = current_frames().get(self._main)
        if frame is not None:
            stack = stack_of(frame)
            del frame
            _log.warn("{words}: {task}\n{stack}", words=words, task=stack.task, stack=stack.shown())

    def _end(self) -> NoReturn:
        said = native.Lock()
        said.acquire()

        def last_words() -> None:
            self._say("the server has not stopped in time: the process is ended")
            flush_streams()
            said.release()

        native.start_thread(last_words, "skitai-last-words")
        said.acquire(timeout=_WORDS_SECONDS)
        _end_process(self._signal)


def _end_without_python(seconds: float) -> None:
    """End the process in ``seconds`` even if C code keeps all threads from running. Status 1, with stacks."""
    with suppress(OSError, ValueError, RuntimeError):  # there may be no standard error
        faulthandler.dump_traceback_later(seconds, exit=True, file=2)


def _end_process(number: int | None) -> NoReturn:
    """End the process at once, with the status that the signal ``number`` gives, or 0 without any."""
    if number is None:
        os._exit(0)
    ctypes.CDLL(None).signal(number, None)  # Python lets only the main thread restore the default
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # what a shell makes of it
