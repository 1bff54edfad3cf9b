"""Asks whether this host is to run a job, while the agent goes on."""

from __future__ import annotations

import hashlib
import os
import socket
from collections import deque
from collections.abc import Callable
from functools import partial

from twisted.logger import Logger

from skitai.daemon.cron.lines import Job
from skitai.daemon.cron.locks import Lock, LockError
from skitai.loop import native

_log = Logger()

#: What is done where the lock cannot be had.
SKIP, RUN = "skip", "run"


class Asking:
    """Starts jobs by ``start(job)`` if this host is to run them.

    ``take`` is to be called when ``fileno`` is readable. Used in one thread.
    """

    def __init__(self, start: Callable[[Job], object]) -> None:
        self._start = start
        self._told, self._tell = os.pipe()
        os.set_blocking(self._told, False)
        self._answers: deque[tuple[Job, bool | None, str]] = deque()
        self._host = f"{socket.gethostname()}:{os.getpid()}"
        self._asked: set[Job] = set()
        self.lock: Lock | None = None
        self.without_lock = SKIP

    def fileno(self) -> int:
        """Return what can be read when an answer has come."""
        return self._told

    def close(self) -> None:
        """Ask no more."""
        os.close(self._told)

    def ask(self, job: Job, due: float) -> None:
        """Start ``job``, which was due at a moment, if no other host has."""
        if job in self._asked:  # the lock did not answer yet the last time
            return
        self._asked.add(job)
        native.start_thread(partial(self._ask, job, int(due), self.lock), "skitai-cron-lock")

    def _ask(self, job: Job, due: int, lock: Lock | None) -> None:
        taken, reason = None, "there is no lock"
        try:
            if lock is not None:
                taken = lock.take(name_of(job), due, self._host)
        except LockError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job must not be lost in silence
            reason = repr(error)
        self._answers.append((job, taken, reason))
        try:
            os.write(self._tell, b".")
        except OSError:
            return  # the agent has ended

    def take(self) -> None:
        """Start the jobs that this host is to run."""
        os.read(self._told, 4096)
        while self._answers:
            job, taken, reason = self._answers.popleft()
            self._asked.discard(job)
            if taken is None:
                runs = self.without_lock == RUN
                said = "run without the lock" if runs else "not run"
                name = self.lock.name if self.lock else "the lock"
                _log.error(
                    "{said}, {name} cannot be asked ({reason}): {command}",
                    said=said, name=name, reason=reason, command=job.command,
                )  # fmt: skip
                taken = runs
            elif not taken:
                _log.info("another host runs it: {command}", command=job.command)
            if taken:
                self._start(job)


def name_of(job: Job) -> str:
    """Return what a job is called among the hosts: the same for lines that say the same."""
    text = "\n".join((job.schedule, job.command, job.given))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
