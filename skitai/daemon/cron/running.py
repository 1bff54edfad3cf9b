"""A job that runs: a shell in a session of its own, of which the end of the output is kept."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from typing import IO

from skitai.daemon.cron.lines import Job

#: What is kept of the end of the output: bytes, and lines in the log.
_TAIL_BYTES, _TAIL_LINES = 8192, 20
_READ_BYTES = 65536
#: A pipe has 64 KB, and can be made larger; what a job left in the background may fill it for ever.
_READS_MAX = 16
#: Seconds from a polite request to end until the job is killed.
_KILL_SECONDS = 10.0


class Run:
    """One run of ``job``, which was started at ``began``, in seconds of a clock that is never set.

    ``output`` is to be read with ``read`` whenever it can be, also after the end of the job: what the job
    left in the background may still write.
    """

    def __init__(self, job: Job, environ: Mapping[str, str], began: float) -> None:
        self.job = job
        self.began = began
        #: Why it was told to end.
        self.told: str | None = None
        self._tail = b""
        self._kill_at: float | None = None
        with _input(job.given) as given:
            self._process = subprocess.Popen(  # noqa: S603 - the command of the config
                ["/bin/sh", "-c", job.command.encode()],  # as in the file, whatever the locale is
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environ),
                cwd=environ["HOME"],
                start_new_session=True,
            )
        assert self._process.stdout is not None
        self.output = self._process.stdout
        os.set_blocking(self.output.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id of the shell."""
        return self._process.pid

    def read(self) -> bool:
        """Take what was written; return False when nothing will come any more."""
        if self.output.closed:
            return False
        try:
            data = os.read(self.output.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        return bool(data)

    def last_lines(self) -> list[str]:
        """Return the last lines of the output."""
        for _ in range(_READS_MAX):  # what is left in the pipe
            self.read()
        text = self._tail.decode("utf-8", "backslashreplace")
        return text.rstrip().split("\n")[-_TAIL_LINES:] if text.strip() else []

    def status(self) -> int | None:
        """Return the exit status, the negative number of a signal, or None while it runs."""
        return self._process.poll()

    def tell_to_end(self, reason: str, now: float) -> None:
        """Ask the job and its children to end; ``keep_telling`` kills what does not."""
        if self.told is None:
            self.told = reason
            self._kill_at = now + _KILL_SECONDS
            self._signal(signal.SIGTERM)

    def keep_telling(self, now: float) -> None:
        """Kill what was told to end and had its time for it."""
        if self._kill_at is not None and now >= self._kill_at:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


@contextmanager
def _input(text: str) -> Iterator[IO[bytes]]:
    """Give a file with ``text``: a pipe takes only so much before somebody reads it."""
    with TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file


def job_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of jobs: those of ``environ``, with SHELL, HOME and LOGNAME as crontab(1) says."""
    entry = pwd.getpwuid(os.geteuid())
    home = environ.get("HOME", entry.pw_dir)
    return {
        "PATH": os.defpath,
        **environ,
        "SHELL": "/bin/sh",
        "HOME": home if os.path.isdir(home) else "/",
        "LOGNAME": entry.pw_name,
        "USER": entry.pw_name,
    }
