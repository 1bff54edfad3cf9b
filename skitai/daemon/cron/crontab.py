"""The crontab of a file, which is read again whenever the file has changed."""

from __future__ import annotations

from pathlib import Path

import attrs

from skitai.config import Key, seconds
from skitai.config.casters import one_of
from skitai.config.keys import typed_values
from skitai.config.reader import Section, read_sections
from skitai.daemon.cron.asking import RUN, SKIP
from skitai.daemon.cron.lines import JOB_KEYS, Job, read_jobs
from skitai.daemon.cron.locks import lock_url
from skitai.errors import ConfigError
from skitai.processes.files import state_of

SECTION, LINES = "cron", "crontab:line"

#: The keys of ``[cron]``.
CRON_KEYS = {
    **JOB_KEYS,
    "lock": Key(
        lock_url,
        "",
        "the Redis or PostgreSQL that all hosts ask, for jobs with once=yes",
        lambda url: url or "off",
    ),
    "without_lock": Key(one_of(SKIP, RUN), SKIP, "what becomes of such a job where that cannot be asked"),
    "shutdown_timeout": Key(seconds, 10.0, "what jobs under way get when the agent stops"),
}


@attrs.frozen
class Crontab:
    """What a file says: the jobs, the lines that are none, and the seconds that jobs have at a stop.

    ``lock`` is the address of what decides which host runs a job, ``without_lock`` what is done without it.
    """

    jobs: tuple[Job, ...] = ()
    errors: tuple[ConfigError, ...] = ()
    shutdown_timeout: float = CRON_KEYS["shutdown_timeout"].default
    lock: str = ""
    without_lock: str = SKIP


def read_crontab(path: Path) -> Crontab:
    """Return the crontab of a file, an empty one if there is no file.

    Raises ConfigError if the file is none that can be read, or if ``[cron]`` is wrong.
    """
    if not path.exists():
        return Crontab()
    sections = read_sections(path)
    values = typed_values(sections.get(SECTION, Section(str(path), SECTION, 0)), CRON_KEYS)
    shutdown_timeout, lock, without_lock = (
        values.pop(name) for name in ("shutdown_timeout", "lock", "without_lock")
    )
    lines = sections.get(LINES, Section(str(path), LINES, 0))
    jobs, errors = read_jobs(lines, values)
    if not lock:
        errors += [
            lines.error("once=yes needs the key lock in [cron]", line=job.line) for job in jobs if job.once
        ]
        jobs = [job for job in jobs if not job.once]
    return Crontab(tuple(jobs), tuple(errors), shutdown_timeout, lock, without_lock)


class CrontabFile:
    """The file ``path``, and what it said last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: object = ()  # not even None, which is what a file that is not there has

    def read_if_changed(self) -> Crontab | None:
        """Return the crontab, or None if the file is as it was the last time. Raises ConfigError."""
        now = state_of(self.path)
        if now == self._seen:
            return None
        self._seen = now
        return read_crontab(self.path)
