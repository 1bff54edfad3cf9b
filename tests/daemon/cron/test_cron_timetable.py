"""When jobs are due, over a year with both changes of the clock."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

import pytest

from skitai.daemon.cron.lines import Job
from skitai.daemon.cron.timetable import Timetable
from skitai.daemon.cron.zone import LocalZone

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR = 60, 3600


def at(*when, zone=BERLIN, fold=0):
    """Return the seconds since the epoch of a local time."""
    return datetime(*when, tzinfo=zone, fold=fold).timestamp()


class Watch:
    """A timetable under a clock that the test moves; ``starts`` are the local times of each command."""

    def __init__(self, now, *schedules, zone=BERLIN):
        self.now = now
        self.zone = zone
        self.starts = []
        self.timetable = Timetable(zone)
        self.set_jobs(*schedules)

    def set_jobs(self, *schedules):
        jobs = [Job(schedule, schedule, line=line) for line, schedule in enumerate(schedules, start=1)]
        self.timetable.set_jobs(jobs, self.now)

    def look(self):
        for job in self.timetable.due(self.now):
            self.starts.append((job.command, datetime.fromtimestamp(self.now, self.zone).isoformat()))

    def run(self, until, step=MINUTE):
        """Look once a minute."""
        while self.now < until:
            self.now += step
            self.look()

    def times(self):
        return [text for _, text in self.starts]


def test_a_year():
    """Each job of a whole year comes as often as the calendar says, whatever is done to the clock."""
    watch = Watch(
        at(2025, 12, 31, 23, 55),
        "*/30 * * * *",
        "30 2 * * *",
        "0 12 * * 1-5",
        "0 0 29 2 *",
        "15 4 13 * FRI",
        "5 0 1 1,JUL *",
    )
    watch.run(at(2026, 12, 31, 23, 55), 5 * MINUTE)
    count = Counter(command for command, _ in watch.starts)
    hours = (at(2027, 1, 1) - at(2026, 1, 1)) / HOUR
    days = [datetime(2026, 1, 1) + timedelta(number) for number in range(365)]
    assert count == {
        "*/30 * * * *": 2 * hours,
        "30 2 * * *": 365,
        "0 12 * * 1-5": sum(day.weekday() < 5 for day in days),
        "15 4 13 * FRI": sum(day.day == 13 or day.weekday() == 4 for day in days),
        "5 0 1 1,JUL *": 2,
    }


SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)


def test_summer_time_comes():
    """What would come in the hour that is left out comes once after it, unless it comes by wall time."""
    watch = Watch(at(*SPRING, 1, 0), "0,30 2 * * *", "*/20 2-3 * * *", "30 3 * * *")
    watch.run(at(*SPRING, 4, 0))
    assert watch.starts == [
        ("0,30 2 * * *", "2026-03-29T03:00:00+02:00"),
        ("*/20 2-3 * * *", "2026-03-29T03:00:00+02:00"),
        ("*/20 2-3 * * *", "2026-03-29T03:20:00+02:00"),
        ("30 3 * * *", "2026-03-29T03:30:00+02:00"),
        ("*/20 2-3 * * *", "2026-03-29T03:40:00+02:00"),
    ]


def test_summer_time_goes():
    """What comes at a time of its own comes once within the hour that comes twice; the others come twice."""
    watch = Watch(at(*AUTUMN, 1, 30), "15 2 * * *", "*/30 2 * * *", "0 3 * * *")
    watch.run(at(*AUTUMN, 4, 0))
    assert watch.starts == [
        ("*/30 2 * * *", "2026-10-25T02:00:00+02:00"),
        ("15 2 * * *", "2026-10-25T02:15:00+02:00"),
        ("*/30 2 * * *", "2026-10-25T02:30:00+02:00"),
        ("*/30 2 * * *", "2026-10-25T02:00:00+01:00"),
        ("*/30 2 * * *", "2026-10-25T02:30:00+01:00"),
        ("0 3 * * *", "2026-10-25T03:00:00+01:00"),
    ]


def test_begun_in_the_second_of_two_hours():
    """A job that is new in the hour that comes again does not come for a time that is over."""
    watch = Watch(at(*AUTUMN, 2, 10, fold=1), "15 2 * * *")
    watch.run(at(*AUTUMN, 23, 0))
    assert watch.starts == []


def test_sunday_and_ranges():
    """0 and 7 are Sunday; steps start where their range does; a number with a step goes to the end."""
    watch = Watch(at(2026, 11, 28), "0 9 * * 0", "0 9 * * 7", "0 1-6/2 * * 6", "9 2/12 * * sat")
    watch.run(at(2026, 11, 30))
    assert watch.starts == [
        ("0 1-6/2 * * 6", "2026-11-28T01:00:00+01:00"),
        ("9 2/12 * * sat", "2026-11-28T02:09:00+01:00"),
        ("0 1-6/2 * * 6", "2026-11-28T03:00:00+01:00"),
        ("0 1-6/2 * * 6", "2026-11-28T05:00:00+01:00"),
        ("9 2/12 * * sat", "2026-11-28T14:09:00+01:00"),
        ("0 9 * * 0", "2026-11-29T09:00:00+01:00"),
        ("0 9 * * 7", "2026-11-29T09:00:00+01:00"),
    ]


def test_aligned_to_the_minute():
    """The next time is a full minute, however odd the second is at which one looks."""
    watch = Watch(at(2026, 6, 1, 10, 0, 42) + 0.7, "* * * * *")
    assert watch.timetable.next_time() == at(2026, 6, 1, 10, 1)
    watch.now = at(2026, 6, 1, 10, 1) + 0.002
    watch.look()
    assert len(watch.starts) == 1
    assert watch.timetable.next_time() == at(2026, 6, 1, 10, 2)
    assert Timetable(BERLIN).next_time() is None


def test_never():
    """A job that does not come in 50 years waits for ever, and keeps no other from its time."""
    watch = Watch(at(2026, 6, 1), "0 0 */31 2 1L")
    assert watch.timetable.next_time() == inf
    watch.set_jobs("0 0 */31 2 1L", "0 10 * * *")
    watch.run(at(2026, 6, 2))
    assert watch.times() == ["2026-06-01T10:00:00+02:00"]


def test_kept_where_lines_move():
    """A job that stays in the file keeps its next time, also if it is due at the moment of the change."""
    watch = Watch(at(2026, 6, 1, 9, 59, 30), "0 10 * * *")
    watch.now = at(2026, 6, 1, 10, 0, 1)
    watch.set_jobs("0 11 * * *", "0 10 * * *")
    watch.look()
    assert [command for command, _ in watch.starts] == ["0 10 * * *"]
    watch.set_jobs("0 11 * * *")
    watch.run(at(2026, 6, 3))
    assert [command for command, _ in watch.starts] == ["0 10 * * *", "0 11 * * *", "0 11 * * *"]


class TestClockThatIsSet:
    """Somebody sets the clock, or the machine sleeps."""

    def test_back_a_little(self):
        """What came at a time of its own does not come again; what comes by wall time does."""
        watch = Watch(at(2026, 6, 1, 9, 0), "0 10 * * *", "*/30 * * * *")
        watch.run(at(2026, 6, 1, 10, 5))
        watch.now = at(2026, 6, 1, 9, 50)
        watch.look()
        watch.run(at(2026, 6, 1, 10, 10))
        assert Counter(command for command, _ in watch.starts) == {"0 10 * * *": 1, "*/30 * * * *": 3}

    def test_back_by_days(self):
        """A clock that was quite wrong counts as it is now."""
        watch = Watch(at(2026, 6, 9, 9, 0), "0 10 * * *")
        watch.run(at(2026, 6, 9, 10, 5))
        watch.now = at(2026, 6, 1, 9, 0)
        watch.look()
        watch.run(at(2026, 6, 1, 10, 5))
        assert watch.times() == ["2026-06-09T10:00:00+02:00", "2026-06-01T10:00:00+02:00"]

    def test_adjusted(self):
        """A clock that goes back by a second starts nothing twice."""
        watch = Watch(at(2026, 6, 1, 9, 0), "* * * * *")
        watch.now = at(2026, 6, 1, 9, 1)
        watch.look()
        watch.now -= 0.5
        watch.look()
        watch.now += 0.6
        watch.look()
        assert len(watch.starts) == 1

    def test_forward_an_hour(self):
        """What was missed at a time of its own comes once; what comes by wall time waits for its next."""
        watch = Watch(at(2026, 6, 1, 9, 0), "10,20 9 * * *", "*/30 * * * *")
        watch.now = at(2026, 6, 1, 10, 10)
        watch.look()
        assert watch.starts == [("10,20 9 * * *", "2026-06-01T10:10:00+02:00")]

    def test_forward_by_days(self):
        """Nothing is made up for."""
        watch = Watch(at(2026, 6, 1, 9, 0), "10 9 * * *", "*/30 * * * *")
        watch.look()
        watch.now = at(2026, 6, 9, 10, 10)
        watch.look()
        assert watch.starts == []
        watch.run(at(2026, 6, 9, 10, 40))
        assert watch.times() == ["2026-06-09T10:30:00+02:00"]


@pytest.mark.parametrize("name", ["Europe/Berlin", "Australia/Lord_Howe", "UTC", "America/St_Johns"])
def test_local_zone(name, monkeypatch):
    """The zone of the machine has the offsets of the same zone by name, in every half hour of a year."""
    monkeypatch.setenv("TZ", name)
    time.tzset()
    try:
        local, known = LocalZone(), ZoneInfo(name)
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        while moment.year == 2026:
            ours, theirs = moment.astimezone(local), moment.astimezone(known)
            assert (ours.isoformat(), ours.fold) == (theirs.isoformat(), theirs.fold)
            assert ours.timestamp() == moment.timestamp()
            moment += timedelta(minutes=30)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_local_zone_by_rule(monkeypatch):
    """A zone that is written as a rule of POSIX has its changes, too."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        watch = Watch(at(*SPRING, 0, 0), "30 2 * * *", zone=LocalZone())
        watch.run(at(*SPRING, 4, 0))
        assert watch.times() == ["2026-03-29T03:00:00+02:00"]
    finally:
        monkeypatch.undo()
        time.tzset()
