"""The server's log as people read it, and the standard streams as apps expect them.

``twist`` writes JSON wherever its output is no terminal, and puts objects in the place of ``sys.stdout`` and
``sys.stderr`` that turn text into log events. Such objects have no ``buffer`` and no ``fileno()``, and hold a
prompt back until its line ends.
"""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from twisted.logger import FileLogObserver, LogEvent, LogLevel, formatEvent
from twisted.python.failure import Failure

from skitai.formats.loglines import one_line, stamp

#: The shortest that ``twist`` takes for ``--log-format``.
_FORMAT_OPTION = "--log-fo"
#: The lines that Python begins in the first column of a traceback: the headings, and ``module.Name: words``.
_FIRST_COLUMN = re.compile(
    r"Traceback \(most recent call last\):|During handling of |The above exception |[^\W\d][\w.<>]*(?:: .*)?$"
)
_MOVED_IN = "  "
#: What Twisted says of each port, also of the one that a DNS question opens. Skitai names its own addresses.
_OF_PORTS = re.compile(r"\S+ starting on \S+|\((?:TCP|UDP|UNIX) Port \S+ Closed\)")


def plain_observer(stream: IO[str]) -> FileLogObserver:
    """Return an observer that writes each event to ``stream``, at once, as ``plain_record`` has it."""
    encoding = getattr(stream, "encoding", None) or "utf-8"

    def record(event: LogEvent) -> str | None:
        text = plain_record(event)
        # What the stream cannot show must not cost the record.
        return text and text.encode(encoding, "backslashreplace").decode(encoding)

    return FileLogObserver(stream, record)


def plain_record(event: LogEvent) -> str | None:
    """Return ``2026.11.22 16:09:21 [error] words`` with the traceback that Python would print, if any.

    An event that says nothing new has None. What stands in an event cannot pass for a record of its own:
    control characters are escaped, and the further lines of a message begin with two spaces.
    """
    failure: Failure | None = event.get("log_failure")
    first, *others = formatEvent(event).split("\n")
    if failure is None and not others and (not first or _is_of_port(event, first)):
        return None
    level = event.get("log_level", LogLevel.info).name
    lines = [f"{stamp(event.get('log_time', 0.0))} [{level}] {one_line(first)}".rstrip()]
    lines += (_MOVED_IN + one_line(line) for line in others)
    if failure is not None:
        lines += _traceback(failure)
    return "\n".join([*lines, ""])


def _is_of_port(event: LogEvent, text: str) -> bool:
    return event.get("log_namespace") == "log_legacy" and _OF_PORTS.fullmatch(text) is not None


def _traceback(failure: Failure) -> Iterator[str]:
    frames = failure.getTracebackObject()  # type: ignore[no-untyped-call]
    printed = "".join(traceback.format_exception(failure.type, failure.value, frames))
    for line in printed.rstrip("\n").split("\n"):
        is_pythons = not line or line[0] == " " or _FIRST_COLUMN.match(line)
        yield one_line(line) if is_pythons else _MOVED_IN + one_line(line)


def plain_unless_asked(twist: Any, words: Sequence[str]) -> None:
    """Have ``twist`` (its ``TwistOptions``) log in plain lines, unless ``words`` ask for JSON.

    ``words`` are its command line. Its options do not tell a user's wish for JSON from its own choice of JSON
    for whatever is no terminal.
    """
    asked = any(word.startswith(_FORMAT_OPTION) for word in words)
    if not (asked and twist["logFormat"] == "json"):
        twist["fileLogObserverFactory"] = plain_observer


def keep_standard_streams(call_when_running: Callable[..., Any]) -> None:
    """Put ``sys.stdout`` and ``sys.stderr`` back, as they are now, once the reactor runs and the log is open.

    Each printed line leaves at once, into a file as well, so that all output to one file is in order. In a
    process that was started without a stream, what is printed to it is dropped.
    """
    streams = tuple(stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)

    def put_back() -> None:
        sys.stdout, sys.stderr = streams

    call_when_running(put_back)
