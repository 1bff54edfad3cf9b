"""The lines of ``[crontab:line]``: five fields of time, options in brackets if any, and a command.

The fields and the percent signs of a command are those of crontab(1) in POSIX.1-2024.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs
from cronsim import CronSim, CronSimError

from skitai.config.casters import quoted, seconds, show_value, yes_no
from skitai.config.keys import Key
from skitai.config.reader import Section
from skitai.config.serverwords import or_off, show_or_off
from skitai.errors import ConfigError
from skitai.formats.spelling import nearest

_LINE = re.compile(
    r"(?P<schedule>(?:\S+\s+){4}\S+)(?:\s+\[(?P<options>[^\s\[\]][^\[\]]*)\])?\s+(?P<command>\S.*)"
)
_SETTING = re.compile(r"\w+\s*=")
#: What crontab(5) of Debian and others has for five fields; what runs at the start is a server.
_NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_PERCENT = re.compile(r"\\?%")
#: What each field may be, for messages.
_FIELDS = {
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31",
    "month": "1-12 or JAN-DEC",
    "day-of-week": "0-7 or SUN-SAT; 0 and 7 are Sunday",
}
#: Any day: whether a schedule is well formed does not depend on it.
_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)


#: What a job may be told in brackets; the keys of ``[cron]`` with these names hold for all jobs.
JOB_KEYS: Mapping[str, Key] = {
    "once": Key(yes_no, False, "run a job on one host only: the first that takes its lock"),
    "overlap": Key(yes_no, False, "start a job also while it still runs"),
    "timeout": Key(
        or_off(seconds),
        0.0,
        "end a job that runs for longer; off: never",
        show_or_off(show_value),
        example="10 min",
    ),
}


@attrs.frozen
class Job:
    """One line of the crontab.

    ``schedule`` are the five fields, ``command`` is for ``/bin/sh -c``, and ``given`` is its standard input.
    ``timeout`` is in seconds, 0 for none. Two jobs are the same wherever their lines stand.
    """

    schedule: str
    command: str
    given: str = ""
    once: bool = False
    overlap: bool = False
    timeout: float = 0.0
    line: int = attrs.field(default=0, eq=False)

    @property
    def is_by_wall_time(self) -> bool:
        """Whether its minute or hour begins with a star: it follows the clock, whoever sets that."""
        minute, hour = self.schedule.split()[:2]
        return minute.startswith("*") or hour.startswith("*")


def read_jobs(section: Section, defaults: Mapping[str, Any]) -> tuple[list[Job], list[ConfigError]]:
    """Return the jobs of a section, and an error for each line that is none. ``defaults`` are of JOB_KEYS."""
    jobs: dict[Job, Job] = {}
    errors = []
    for text, number in section.lines:
        try:
            job = _job(text, number, defaults)
        except ValueError as error:
            errors.append(section.error(str(error), line=number))
            continue
        first = jobs.setdefault(job, job)
        if first is not job:
            errors.append(section.error(f"is at line {first.line} already: keep one of the two", line=number))
    return list(jobs), errors


def _job(text: str, number: int, defaults: Mapping[str, Any]) -> Job:
    match = _LINE.fullmatch(_in_fields(text))
    if match is None:
        if _SETTING.match(text):
            raise ValueError(
                "variables are not set here: set them in the command, as in A=1 /home/apps/clean.py"
            )
        raise ValueError("expected five fields of time and a command, such as 30 2 * * * /home/apps/clean.py")
    schedule = " ".join(match["schedule"].split())
    _check(schedule)
    command, given = _command(match["command"])
    options = _options(match["options"] or "")
    return Job(schedule, command, given, line=number, **{**defaults, **options})


def _in_fields(text: str) -> str:
    """Return the line with five fields, where it begins with a name for them."""
    name, *rest = text.split(maxsplit=1)
    if not name.startswith("@"):
        return text
    if name not in _NAMES:
        raise ValueError(f"unknown time {quoted(name)}: {nearest(name, _NAMES)}")
    return " ".join([_NAMES[name], *rest])


def _check(schedule: str) -> None:
    try:
        next(CronSim(schedule, _SOME_DAY))
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise ValueError(f"{quoted(schedule)} has a bad {field}: it may be {_FIELDS[field]}") from None
    except StopIteration:
        raise ValueError(f"{quoted(schedule)} never comes: change the day or the month") from None


def _command(text: str) -> tuple[str, str]:
    r"""Return the command and its standard input: a ``%`` ends a line, ``\%`` is one."""
    command, separator, given = _PERCENT.sub(
        lambda found: "%" if len(found[0]) > 1 else "\n", text
    ).partition("\n")
    return command, f"{given}\n" if separator else ""


def _options(text: str) -> dict[str, Any]:
    return dict(_option(word) for word in text.split())


def _option(word: str) -> tuple[str, Any]:
    name, separator, value = word.partition("=")
    if not separator:
        raise ValueError(f"{quoted(word)} is no option: write [name=value name=value]")
    if name not in JOB_KEYS:
        raise ValueError(f"unknown option {quoted(name)}: {nearest(name, JOB_KEYS)}")
    try:
        return name, JOB_KEYS[name].cast(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
