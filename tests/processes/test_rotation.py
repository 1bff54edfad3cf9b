"""Logs get a date when their day or month is over, and no line is lost."""

import multiprocessing
import os
import re
import stat
import time
from contextlib import contextmanager

import pytest
from twisted.logger import capturedLogs, formatEvent

from skitai.processes.files import AppendedFile
from skitai.processes.rotation import Period, RotatedLog, Rotation


def moment(year, month, day, hour=12, minute=0, second=0):
    return time.mktime((year, month, day, hour, minute, second, 0, 0, -1))


NOON = moment(2026, 11, 29)


@contextmanager
def zone(name):
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()


class Logs:
    """Logs in a folder, whose rotation is looked at when the test says so."""

    def __init__(self, folder, period=Period.DAY, keep=100):
        self.folder = folder
        self.path = folder / "request.log"
        self.now = NOON
        self.reopened = 0
        self.rotation = Rotation(
            [RotatedLog(self.path, period)], keep=keep, reopen=self.reopen, clock=lambda: self.now
        )

    def reopen(self):
        self.reopened += 1

    def write(self, text, at=None):
        with open(self.path, "a") as file:
            file.write(text)
        os.utime(self.path, (self.now, at or self.now))

    def at(self, now):
        self.now = now
        self.rotation.look()

    def names(self):
        return sorted(entry for entry in os.listdir(self.folder))


@pytest.fixture
def logs(tmp_path):
    return Logs(tmp_path)


def test_the_day_is_in_the_name(logs):
    """At midnight the file of the day gets its date, and an empty one takes its place."""
    logs.write("a\n")
    logs.at(NOON)
    logs.at(moment(2026, 11, 29, 23, 59, 59))
    assert (logs.names(), logs.reopened) == (["request.log"], 0)
    logs.at(moment(2026, 11, 30, 0, 0, 0))
    assert logs.names() == ["request-20261129.log", "request.log"]
    assert (logs.folder / "request-20261129.log").read_text() == "a\n"
    assert logs.path.read_text() == ""
    assert logs.reopened == 1
    logs.at(moment(2026, 11, 30, 0, 0, 1))
    assert logs.reopened == 1


def test_a_month_has_the_date_of_its_last_day(tmp_path):
    """The server's log goes to one file for a month."""
    logs = Logs(tmp_path, Period.MONTH)
    logs.write("a\n")
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    assert logs.names() == ["request.log"]
    logs.at(moment(2026, 12, 1, 0, 0, 0))
    assert logs.names() == ["request-20261130.log", "request.log"]


def test_a_server_that_was_down(logs):
    """What was written before the start, some days ago, is moved at the first look."""
    logs.write("a\n", at=moment(2026, 11, 24))
    logs.at(NOON)
    assert logs.names() == ["request-20261124.log", "request.log"]


def test_lines_at_midnight_do_not_keep_the_old_day(logs):
    """A file that was there before midnight belongs to the day before, whatever was added since."""
    logs.write("a\n")
    logs.at(NOON)
    logs.now = moment(2026, 11, 30, 0, 0, 0)
    logs.write("b\n")
    logs.at(moment(2026, 11, 30, 0, 0, 1))
    assert (logs.folder / "request-20261129.log").read_text() == "a\nb\n"


def test_an_empty_log_stays(logs):
    """A day without lines leaves no file."""
    logs.write("")
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    assert (logs.names(), logs.reopened) == (["request.log"], 0)


def test_a_name_that_is_taken(logs):
    """A file with the date that is there already is not replaced."""
    (logs.folder / "request-20261129.log").write_text("by hand\n")
    logs.write("a\n")
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    assert logs.names() == ["request-20261129.2.log", "request-20261129.log", "request.log"]
    assert (logs.folder / "request-20261129.log").read_text() == "by hand\n"


def test_the_oldest_go(tmp_path):
    """So many former files are kept, compressed ones included; other files are not touched."""
    logs = Logs(tmp_path, keep=3)
    others = ["request-old.log", "request-20200101.txt", "xrequest-20200101.log", "request-2020010.log"]
    for name in (*others, "request-20200101.log", "request-20200102.log.gz", "request-20200103.2.log"):
        (tmp_path / name).write_text("x")
    logs.write("a\n")
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    kept = ["request-20200102.log.gz", "request-20200103.2.log", "request-20261129.log", "request.log"]
    assert logs.names() == sorted([*others, *kept])


def test_the_new_file_has_the_rights_of_the_old(logs):
    """Who could write to the log still can: a supervisor is root, its workers are not."""
    logs.write("a\n")
    os.chmod(logs.path, 0o664)
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    assert stat.S_IMODE(os.stat(logs.path).st_mode) == 0o664


def test_others_move_it(logs):
    """A file that logrotate has moved is noticed, with and without another in its place."""
    logs.write("a\n")
    logs.at(NOON)
    logs.path.rename(logs.folder / "request.log.1")
    logs.at(NOON + 1)
    assert logs.reopened == 1
    logs.write("b\n")
    logs.at(NOON + 2)
    assert logs.reopened == 1
    logs.path.rename(logs.folder / "request.log.2")
    logs.write("c\n")
    logs.at(NOON + 3)
    assert logs.reopened == 2
    logs.at(moment(2026, 11, 30))
    assert logs.names() == ["request-20261129.log", "request.log", "request.log.1", "request.log.2"]


def test_two_who_rotate_one_file(tmp_path):
    """The second finds that it is done, and opens its log anew."""
    one, other = Logs(tmp_path), Logs(tmp_path)
    one.write("a\n")
    for logs in (one, other):
        logs.at(NOON)
    for logs in (one, other):
        logs.at(moment(2026, 11, 30))
    assert one.names() == ["request-20261129.log", "request.log"]
    assert (one.reopened, other.reopened) == (1, 1)


@pytest.mark.parametrize("kind", ["link", "pipe", "missing"])
def test_what_is_not_moved(logs, kind):
    """A link such as /dev/stdout, a pipe, and what is not there, stay as they are."""
    if kind == "link":
        (logs.folder / "there").write_text("a\n")
        logs.path.symlink_to(logs.folder / "there")
    elif kind == "pipe":
        os.mkfifo(logs.path)
    before = logs.names()
    logs.at(NOON)
    logs.at(moment(2026, 11, 30))
    assert (logs.names(), logs.reopened) == (before, 0)


def test_what_cannot_be_moved_is_said_once_a_day(logs, monkeypatch):
    """The log goes on, the reason is said, and the next day it is tried again."""
    logs.write("a\n")
    logs.at(NOON)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched, capturedLogs() as said:
        patched.setattr(os, "rename", refuse)
        for second in range(3):
            logs.at(moment(2026, 11, 30, 0, 0, second))
    assert [formatEvent(event) for event in said] == [
        f"cannot rotate {logs.path}, which goes on: Permission denied"
    ]
    assert logs.reopened == 0
    logs.at(moment(2026, 12, 1))
    assert logs.names() == ["request-20261129.log", "request.log"]


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("Europe/Berlin", (2026, 10, 25, 23, 59, 59), (2026, 10, 26, 0, 0, 0)),  # a day of 25 hours
        ("Europe/Berlin", (2026, 3, 29, 23, 59, 59), (2026, 3, 30, 0, 0, 0)),  # one of 23
        ("Asia/Kolkata", (2026, 12, 31, 23, 59, 59), (2027, 1, 1, 0, 0, 0)),
    ],
)
def test_midnight_is_that_of_the_place(tmp_path, name, before, after):
    """Days begin at midnight of local time, also where the clock changes, and at the end of the year."""
    with zone(name):
        logs = Logs(tmp_path)
        logs.now = moment(*before[:3], 1)
        logs.write("a\n")
        logs.at(moment(*before))
        assert logs.names() == ["request.log"]
        logs.at(moment(*after))
        assert "request-{}{:02d}{:02d}.log".format(*before[:3]) in logs.names()


def test_a_clock_that_is_set_back(logs):
    """Nothing is moved twice, and the next midnight counts as always."""
    logs.write("a\n")
    logs.at(NOON)
    logs.at(moment(2026, 11, 25))
    assert logs.reopened == 0
    logs.at(moment(2026, 11, 30))
    assert logs.names() == ["request-20261129.log", "request.log"]


ROTATIONS = 20


def _write_lines(path, number, begun, moved, written):
    """Write numbered lines to the log until it has been rotated often; say how many there are."""
    file, seen, line = AppendedFile(path), 0, 0
    begun.wait()
    while seen < ROTATIONS:
        if moved.value != seen:
            seen = moved.value
            file.reopen()
        # One line, or several at once, as those of an access log.
        file.write("".join(f"{number} {line + n} {'x' * (line % 300)}.\n" for n in range(1 + line % 3)))
        line += 1 + line % 3
    written[number] = line


def test_four_processes_write_while_their_log_is_rotated(tmp_path):
    """Each line of each process is in one of the files, once and whole."""
    context = multiprocessing.get_context("fork")
    path = tmp_path / "app.log"
    begun, moved, written = context.Barrier(5), context.Value("i", 0), context.Array("i", 4)
    writers = [
        context.Process(target=_write_lines, args=(str(path), number, begun, moved, written))
        for number in range(4)
    ]
    for writer in writers:
        writer.start()
    now = [time.time()]

    def reopen():
        moved.value += 1

    rotation = Rotation([RotatedLog(path)], keep=100, reopen=reopen, clock=lambda: now[0])
    begun.wait()
    while any(writer.is_alive() for writer in writers):
        rotation.look()
        now[0] += 86_400
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    files = list(tmp_path.iterdir())
    assert len(files) >= ROTATIONS
    found = {number: [] for number in range(4)}
    for file in files:
        for line in file.read_text().splitlines():
            match = re.fullmatch(r"(\d) (\d+) x*\.", line)
            assert match, line
            found[int(match[1])].append(int(match[2]))
    assert {number: sorted(lines) for number, lines in found.items()} == {
        number: list(range(count)) for number, count in enumerate(written)
    }
