"""The logs keep the zone in which the process was started."""

import datetime
import time

import pytest

from skitai.formats import zone
from skitai.formats.loglines import stamp

MOMENT = 1_795_363_761.5
SUMMER = MOMENT - 120 * 86400
UTC = "2026.11.22 16:09:21"


@pytest.fixture
def started_in(monkeypatch):
    """Return a function that makes this a process which was started in a zone."""

    def start(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()
        zone.keep()

    yield start
    zone.forget()
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def app_sets(monkeypatch):
    """Return what Django does with its TIME_ZONE."""

    def act(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    return act


@pytest.mark.parametrize(
    ("name", "winter", "summer"),
    [
        ("UTC", UTC, "2026.07.25 16:09:21"),
        ("", UTC, "2026.07.25 16:09:21"),
        ("Europe/Berlin", "2026.11.22 17:09:21", "2026.07.25 18:09:21"),
        (":Asia/Kolkata", "2026.11.22 21:39:21", "2026.07.25 21:39:21"),
        ("/usr/share/zoneinfo/Europe/Berlin", "2026.11.22 17:09:21", "2026.07.25 18:09:21"),
    ],
)
def test_an_app_changes_nothing(started_in, app_sets, name, winter, summer):
    """Stamps stay in one zone, with its summer time, when an app sets another."""
    started_in(name)
    before = stamp(MOMENT)
    app_sets("America/Chicago")
    assert (before, stamp(MOMENT), stamp(SUMMER)) == (winter, winter, summer)
    assert time.localtime(MOMENT).tm_hour == 10  # the app has its own


def test_days_end_in_that_zone(started_in, app_sets):
    """So do the days after which logs are rotated."""
    started_in("UTC")
    app_sets("America/Chicago")
    assert zone.midnight(datetime.date(1970, 1, 2)) == 86400


def test_offsets_say_so(started_in, app_sets):
    """Where the app has another zone, both offsets can be told."""
    started_in("UTC")
    assert zone.left(MOMENT) is None
    app_sets("Etc/UCT")
    assert zone.left(MOMENT) is None
    app_sets("America/Chicago")
    assert zone.left(MOMENT) == ("+0000", "-0600")


@pytest.mark.parametrize(("before", "after"), [("UTC", {"TZ": "UTC"}), (None, {})])
def test_a_successor_is_started_in_it(before, after):
    """What takes the place of the process has the variable that this one was started with."""
    zone.keep({} if before is None else {"TZ": before})
    environ = {"TZ": "America/Chicago"}
    zone.restore(environ)
    zone.forget()
    assert environ == after


@pytest.mark.parametrize("rule", ["CET-1CEST,M3.5.0,M10.5.0/3", "/etc/passwd", "No/Where", "../passwd"])
def test_what_is_not_kept(started_in, app_sets, rule):
    """A rule is the library's, and what is no zone is UTC there: both follow the app, as before."""
    started_in(rule)
    app_sets("America/Chicago")
    assert stamp(MOMENT) == "2026.11.22 10:09:21"
    environ = {"TZ": "America/Chicago"}
    zone.restore(environ)
    assert environ == {"TZ": "America/Chicago"}


def test_a_machine_without_a_zone(monkeypatch, tmp_path, started_in, app_sets):
    """It has UTC."""
    monkeypatch.setattr(zone, "_OF_MACHINE", tmp_path / "none")
    zone.keep({})
    app_sets("America/Chicago")
    assert stamp(MOMENT) == UTC
