"""When jobs are due: on the minute, and through changes of the clock as Debian's cron(8) handles them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, tzinfo
from math import inf

from cronsim import CronSim

from skitai.daemon.cron.lines import Job

#: A clock that is moved by more was wrong before: nothing is made up for. Seconds, as in cron(8).
_CORRECTION_SECONDS = 3 * 3600.0
#: How late a job may be that follows the clock on the wall: later, its next time counts.
_LATE_SECONDS = 300.0
#: What a clock is set back now and then to keep the time.
_ADJUSTED_SECONDS = 1.0


class Timetable:
    """The jobs, and the next time of each, in seconds since the epoch. ``zone`` is the one of their fields.

    In the night to summer time, a job within the hour that is left out comes once, right after it. In the
    night to winter time, a job within the hour that comes twice comes in the first of them only, unless its
    minute or hour begins with a star.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._next: dict[Job, float] = {}
        self._looked: float | None = None

    def set_jobs(self, jobs: Iterable[Job], now: float) -> None:
        """Have these jobs and no others. Those that were there already keep their next time."""
        before = self._next
        self._next = {job: before.get(job) or self._after(job, now) for job in jobs}

    def next_time(self) -> float | None:
        """Return when the next job is due: None if there are none, infinity if that is in no 50 years."""
        return min(self._next.values(), default=None)

    def due(self, now: float) -> list[Job]:
        """Return the jobs that are to be started, in the order of their times. Called every few seconds."""
        self._follow_clock(now)
        due = sorted((moment, job.line, job) for job, moment in self._next.items() if moment <= now)
        for _, _, job in due:
            self._next[job] = self._after(job, now)
        return [job for moment, _, job in due if not (job.is_by_wall_time and now - moment > _LATE_SECONDS)]

    def last_time(self, job: Job, now: float) -> float:
        """Return the last moment until ``now`` at which ``job`` was due, the same on all hosts of a zone."""
        moment = datetime.fromtimestamp(now, self._zone) + timedelta(minutes=1)
        times = CronSim(job.schedule, moment.replace(second=0, microsecond=0), reverse=True)
        return next(times).timestamp()

    def _follow_clock(self, now: float) -> None:
        looked = now if self._looked is None else self._looked
        self._looked = now
        is_set_anew = abs(now - looked) > _CORRECTION_SECONDS
        is_set_back = now < looked - _ADJUSTED_SECONDS
        for job in self._next:
            if is_set_anew or (is_set_back and job.is_by_wall_time):
                self._next[job] = self._after(job, now)

    def _after(self, job: Job, moment: float) -> float:
        times = CronSim(job.schedule, datetime.fromtimestamp(moment, self._zone))
        # In the second of two hours with the same name, the next time may have been in the first.
        return next((time for time in (each.timestamp() for each in times) if time > moment), inf)
