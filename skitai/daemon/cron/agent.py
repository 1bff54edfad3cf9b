"""The agent at work: it starts what is due, and logs what became of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from datetime import tzinfo
from time import monotonic, time

from twisted.logger import Logger

from skitai.daemon.cron.asking import Asking
from skitai.daemon.cron.crontab import CrontabFile
from skitai.daemon.cron.lines import Job
from skitai.daemon.cron.locks import make_lock
from skitai.daemon.cron.running import Run, job_environ
from skitai.daemon.cron.timetable import Timetable
from skitai.daemon.ownlog import OwnLog
from skitai.errors import ConfigError
from skitai.loop.native import DefaultSelector
from skitai.processes.orders import said_of
from skitai.processes.signals import Signals

_log = Logger()

_READ = 1
#: Seconds between two looks at the file, and at jobs that are to end.
_LOOK_SECONDS = 1.0


class Agent:
    """Runs the jobs of ``file`` until it is told to leave. Used in the main thread.

    ``clock`` gives the seconds since the epoch; ``log`` is the own log.
    """

    def __init__(
        self,
        file: CrontabFile,
        zone: tzinfo,
        environ: Mapping[str, str],
        log: OwnLog,
        clock: Callable[[], float] = time,
    ) -> None:
        self._file = file
        self._timetable = Timetable(zone)
        self._environ = job_environ(environ)
        self._clock = clock
        self._own_log = log
        self._selector = DefaultSelector()
        self._runs: list[Run] = []
        self._shutdown_timeout = 0.0
        self._leave_at: float | None = None
        self._handlers: dict[int, Callable[[], object]] = {
            signal.SIGTERM: self._leave,
            signal.SIGINT: self._leave,
            signal.SIGQUIT: self._leave_at_once,
            signal.SIGHUP: lambda: None,  # the file is read again in any case
            signal.SIGUSR1: log.reopen,
            signal.SIGCHLD: lambda: None,  # whose child it was is seen at the end of the turn
        }
        self._signals = Signals(self._handlers)
        self._selector.register(self._signals, _READ, self._take_signals)
        self._asking = Asking(self._start)
        self._selector.register(self._asking, _READ, self._asking.take)

    def run(self) -> None:
        """Start what is due, until a signal ends it."""
        while not (self._is_leaving and not self._runs):
            self.turn()

    def close(self) -> None:
        """Let go of all descriptors."""
        self._selector.unregister(self._signals)
        self._selector.unregister(self._asking)
        self._asking.close()
        self._signals.close()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # the output of a job
        self._selector.close()

    def turn(self, seconds: float = _LOOK_SECONDS) -> None:
        """Wait until something happens, for ``seconds`` at most, and do what is to be done then."""
        self._own_log.look()
        if not self._is_leaving:
            self._read_file()
            for job in self._timetable.due(self._clock()):
                self._start_or_ask(job)
        for key, _ in self._selector.select(self._seconds_to_wait(seconds)):
            key.data()
        self._look_at_runs()

    @property
    def _is_leaving(self) -> bool:
        return self._leave_at is not None

    def _seconds_to_wait(self, longest: float) -> float:
        due = None if self._is_leaving else self._timetable.next_time()
        return longest if due is None else min(max(due - self._clock(), 0), longest)

    def _read_file(self) -> None:
        try:
            crontab = self._file.read_if_changed()
        except ConfigError as error:
            _log.error("{error}; the jobs of before go on", error=str(error))
            return
        if crontab is None:
            return
        for wrong in crontab.errors:
            _log.error("{error}", error=str(wrong))
        self._shutdown_timeout = crontab.shutdown_timeout
        self._asking.lock = make_lock(crontab.lock) if crontab.lock else None
        self._asking.without_lock = crontab.without_lock
        self._timetable.set_jobs(crontab.jobs, self._clock())
        _log.info("jobs in {path}: {count}", count=len(crontab.jobs), path=str(self._file.path))

    # -- jobs ----------------------------------------------------------------------------------------------

    def _start_or_ask(self, job: Job) -> None:
        if job.once:
            self._asking.ask(job, self._timetable.last_time(job, self._clock()))
        else:
            self._start(job)

    def _start(self, job: Job) -> None:
        if self._is_leaving:
            return
        now = monotonic()
        running = next((run for run in self._runs if run.job == job), None)
        if running is not None and not job.overlap:
            since = now - running.began
            _log.warn(
                "not started, it runs since {since:.0f} s (pid {pid}): {command}",
                since=since, pid=running.pid, command=job.command,
            )  # fmt: skip
            return
        try:
            run = Run(job, self._environ, now)
        except OSError as error:
            _log.error("cannot start ({reason}): {command}", reason=error.strerror, command=job.command)
            return
        self._runs.append(run)
        self._selector.register(run.output, _READ, lambda: self._read(run))
        _log.info("started (pid {pid}): {command}", pid=run.pid, command=job.command)

    def _read(self, run: Run) -> None:
        if not run.read():
            self._selector.unregister(run.output)
            run.output.close()

    def _look_at_runs(self) -> None:
        now = monotonic()
        for run in list(self._runs):
            status = run.status()
            if status is not None:
                self._runs.remove(run)
                self._ended(run, status, now - run.began)
                continue
            if run.job.timeout and now - run.began >= run.job.timeout:
                run.tell_to_end(f"its {run.job.timeout:g} s were over", now)
            if self._leave_at is not None and now >= self._leave_at:
                run.tell_to_end("the agent stops", now)
            run.keep_telling(now)

    def _ended(self, run: Run, status: int, seconds: float) -> None:
        said = said_of(-status if status < 0 else status << 8)  # as waitpid has it
        why = f", because {run.told}" if run.told else ""
        output = "".join(f"\n{line}" for line in run.last_lines())
        (_log.error if status or run.told else _log.info)(
            "{said} after {seconds:.1f} s{why} (pid {pid}): {command}{output}",
            said=said, seconds=seconds, why=why, pid=run.pid, command=run.job.command, output=output,
        )  # fmt: skip

    # -- signals -------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        for number in self._signals.taken():
            self._handlers[number]()

    def _leave(self) -> None:
        if self._is_leaving:
            self._leave_at_once()
            return
        self._leave_at = monotonic() + self._shutdown_timeout
        _log.info("the agent stops; jobs that run: {count}", count=len(self._runs))

    def _leave_at_once(self) -> None:
        self._leave_at = monotonic()
