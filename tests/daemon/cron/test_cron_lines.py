"""The lines of a crontab, and the file around them."""

import pytest

from skitai.daemon.cron.crontab import CrontabFile, read_crontab
from skitai.errors import ConfigError


@pytest.fixture
def crontab(tmp_path):
    """Return ``crontab(*lines)``: what a file with these lines says."""

    def read(*lines, options=""):
        path = tmp_path / "skitaid.conf"
        path.write_text("\n".join([f"[cron]\n{options}", "[crontab:line]", *lines]))
        return read_crontab(path)

    return read


def test_lines_of_the_readme(crontab):
    """Both jobs of the README, with redirections as they are written."""
    first, second = crontab(
        "*/2 */2 * * * /home/apps/monitor.py  > /home/apps/monitor.log 2>&1",
        "9 2/12 * * * /home/apps/remove_pended_files.py > /dev/null 2>&1",
    ).jobs
    assert (first.schedule, first.line) == ("*/2 */2 * * *", 4)
    assert first.command == "/home/apps/monitor.py  > /home/apps/monitor.log 2>&1"
    assert (second.schedule, second.overlap, second.timeout) == ("9 2/12 * * *", False, 0)


@pytest.mark.parametrize(
    ("written", "command", "given"),
    [
        ("cd /tmp ; ls # all", "cd /tmp ; ls # all", ""),
        ("[ -f x ] && y", "[ -f x ] && y", ""),
        ("mail ann%Hello%and bye", "mail ann", "Hello\nand bye\n"),
        (r"date +\%F > x", "date +%F > x", ""),
        ("cat%", "cat", "\n"),
        ("A=1 run", "A=1 run", ""),
    ],
)
def test_commands(crontab, written, command, given):
    """A command is the shell's: semicolons and hashes are its own; percent signs are as POSIX has them."""
    (job,) = crontab(f"0\t0 1   JAN  *\t{written}").jobs
    assert (job.schedule, job.command, job.given) == ("0 0 1 JAN *", command, given)


def test_names_of_times(crontab):
    """The names of crontab(5) stand for five fields."""
    found = crontab("@daily [timeout=1h] one", "@hourly  two")
    assert [(job.schedule, job.command, job.timeout) for job in found.jobs] == [
        ("0 0 * * *", "one", 3600),
        ("0 * * * *", "two", 0),
    ]


def test_options(crontab):
    """Brackets before the command tell how to run it; [cron] tells it of all."""
    found = crontab(
        "0 0 * * * [timeout=10min overlap=yes] one", "0 0 * * * two", "0 0 * * * [timeout=off] three",
        options="timeout = 1h\nshutdown_timeout = 30",
    )  # fmt: skip
    assert [(job.command, job.timeout, job.overlap) for job in found.jobs] == [
        ("one", 600, True),
        ("two", 3600, False),
        ("three", 0, False),
    ]
    assert found.shutdown_timeout == 30


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("61 * * * * x", "'61 * * * *' has a bad minute: it may be 0-59"),
        ("* 24 * * * x", "'* 24 * * *' has a bad hour: it may be 0-23"),
        ("* * 0 * * x", "'* * 0 * *' has a bad day-of-month: it may be 1-31"),
        ("* * * 13 * x", "'* * * 13 *' has a bad month: it may be 1-12 or JAN-DEC"),
        ("* * * * 8 x", "'* * * * 8' has a bad day-of-week: it may be 0-7 or SUN-SAT; 0 and 7 are Sunday"),
        ("*/0 * * * * x", "'*/0 * * * *' has a bad minute: it may be 0-59"),
        ("5-1 * * * * x", "'5-1 * * * *' has a bad minute: it may be 0-59"),
        ("0 0 30 2 * x", "'0 0 30 2 *' has a bad day-of-month: it may be 1-31"),
        ("0 0 */31 2 1L x", "'0 0 */31 2 1L' never comes: change the day or the month"),
        ("* * * * *", "expected five fields of time and a command, such as 30 2 * * * /home/apps/clean.py"),
        ("@daily", "expected five fields of time and a command, such as 30 2 * * * /home/apps/clean.py"),
        (
            "@reboot x",
            "unknown time '@reboot': known are @annually, @daily, @hourly, @midnight, @monthly, @weekly,"
            " @yearly",
        ),
        ("PATH=/bin", "variables are not set here: set them in the command, as in A=1 /home/apps/clean.py"),
        ("* * * * * [timeout] x", "'timeout' is no option: write [name=value name=value]"),
        ("* * * * * [timeot=1] x", "unknown option 'timeot': did you mean timeout?"),
        ("* * * * * [overlap=2] x", "overlap must be yes or no, not '2'"),
        ("0 1 * * * good", "is at line 4 already: keep one of the two"),
    ],
)
def test_wrong_lines(crontab, tmp_path, line, problem):
    """A wrong line is reported with its place; the others are jobs all the same."""
    found = crontab("0 1 * * * good", line, "0 2 * * * fine")
    assert [job.command for job in found.jobs] == ["good", "fine"]
    assert [str(error) for error in found.errors] == [f"{tmp_path}/skitaid.conf:5: [crontab:line]: {problem}"]


def test_file(tmp_path):
    """A file is read when it is there, and again when it has changed; a wrong one is refused as a whole."""
    path = tmp_path / "skitaid.conf"
    file = CrontabFile(path)
    assert file.read_if_changed().jobs == ()
    assert file.read_if_changed() is None
    path.write_text("[crontab:line]\n* * * * * one\n")
    assert [job.command for job in file.read_if_changed().jobs] == ["one"]
    assert file.read_if_changed() is None
    path.write_text("[crontab:line]\n* * * * * one\n[crontab:line]\n")
    with pytest.raises(ConfigError, match="is at line 1 already"):
        file.read_if_changed()
    assert file.read_if_changed() is None
    path.write_text("[cron]\nspeed = 1\n")
    with pytest.raises(ConfigError, match="unknown key"):
        file.read_if_changed()
    path.write_text("[crontab]\n* * * * * one\n")
    with pytest.raises(ConfigError, match=r"write \[crontab:line\]"):
        file.read_if_changed()
    path.unlink()
    assert file.read_if_changed().jobs == ()
