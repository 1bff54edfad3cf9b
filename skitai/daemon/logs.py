"""The server's log in plain lines, and the standard streams as apps expect them.

``twist`` writes JSON if its output is not a terminal. It also replaces ``sys.stdout`` and ``sys.stderr`` by
objects that turn text into log events. These have no ``buffer`` and no ``fileno()``, and keep a prompt until
its line ends.
"""

from __future__ import annotations

import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
    globalLogBeginner,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from skitai.formats.colours import coloured, wants_colours
from skitai.formats.loglines import moved_in, one_line, stamp, traceback_lines
from skitai.processes.files import AppendedFile
from skitai.processes.streams import keep_own_streams, own_stream

_log = Logger()

#: The shortest form of ``--log-format`` that ``twist`` accepts.
_FORMAT_OPTION = "--log-fo"
#: That of ``--log-file``.
_FILE_OPTION = "--log-fi"
#: What Twisted says when a reactor is asked to stop, and has stopped.
_OF_REACTOR = {
    "Received SIGTERM, shutting down.",
    "Main loop terminated.",
}
#: The names of standard output and standard error as logs.
_STANDARD = ("-", "+")
#: What Twisted says of each port, also of the one that a DNS question opens, for Skitai names its own
#: addresses; and of a list of plugins that it cannot keep where others than its user have installed it.
_NO_NEWS = re.compile(
    r"\S+(?: \(TLS\))? starting on \S+|\((?:TCP|UDP|UNIX) Port \S+ Closed\)"
    r"|(?:Starting|Stopping) protocol <twisted\.names\.dns\.DNSDatagramProtocol .*>"
    r"|Unable to write to plugin cache .*"
)
#: The words of levels that Python's logging, and so the log of the apps, calls otherwise.
_WORDS = {LogLevel.warn: "warning"}
#: What Twisted says before each program, whatever it is. That it serves, the program says itself.
_OF_ANY_START = "Starting reactor..."


def plain_observer(stream: IO[str]) -> FileLogObserver:
    """Return an observer that writes each event to ``stream`` at once, in the form of ``plain_record``.

    On a terminal, the first lines of bad news are in colours.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    has_colours = wants_colours(stream)

    def record(event: LogEvent) -> str | None:
        text = plain_record(event)
        if text and has_colours:
            text = coloured(text)
        # A character that the stream cannot encode must not lose the record.
        return text and text.encode(encoding, "backslashreplace").decode(encoding)

    return FileLogObserver(stream, record)


def plain_record(event: LogEvent) -> str | None:
    """Return ``2026.11.22 16:09:21 [error] words``, followed by the traceback, if any.

    The result is None for an event that says nothing new. No text in an event can pass for another record:
    control characters are escaped, and the further lines of a message begin with two spaces.
    """
    failure: Failure | None = event.get("log_failure")
    first, *others = formatEvent(event).split("\n")
    if failure is None and not others and (not first or _is_no_news(event, first)):
        return None
    level = event.get("log_level", LogLevel.info)
    word = _WORDS.get(level, level.name)
    lines = [f"{stamp(event.get('log_time', 0.0))} [{word}] {one_line(first)}".rstrip()]
    lines += map(moved_in, others)
    if failure is not None:
        lines += _traceback(failure)
    return "\n".join([*lines, ""])


def _is_no_news(event: LogEvent, text: str) -> bool:
    if text == _OF_ANY_START:
        return True
    return event.get("log_namespace") == "log_legacy" and _NO_NEWS.fullmatch(text) is not None


def _traceback(failure: Failure) -> Iterator[str]:
    frames = failure.getTracebackObject()  # type: ignore[no-untyped-call]
    return traceback_lines("".join(traceback.format_exception(failure.type, failure.value, frames)))


def silence_reactor(twist: Any) -> None:
    """Leave out what the reactor says of its own start and end: with several workers, it is said for each.

    Called before ``twist`` opens the log; a log in JSON has all.
    """
    if twist["fileLogObserverFactory"] is plain_observer:
        twist["fileLogObserverFactory"] = _silent_observer


def _silent_observer(stream: IO[str]) -> FilteringLogObserver:
    return FilteringLogObserver(plain_observer(stream), [_unless_of_reactor])  # type: ignore[list-item]


def _unless_of_reactor(event: LogEvent) -> Any:
    is_silent = formatEvent(event) in _OF_REACTOR
    return PredicateResult.no if is_silent else PredicateResult.maybe


def open_log(name: str) -> IO[str]:
    """Return the stream that ``twist --log-file`` names: ``-`` and ``+`` are the standard streams.

    Raises OSError for a file that cannot be written.
    """
    if name in _STANDARD:
        return sys.stdout if name == "-" else sys.stderr
    file = AppendedFile(name)
    file.open()
    return cast(IO[str], file)


def own_log(opened: Any, words: Sequence[str], folder: Path | None, name: str = "server.log") -> Any:
    """Return the stream for the server's log in the place of ``opened``, the one that ``twist`` has opened.

    ``words`` are the command line of ``twist``: where that names no log, it is ``name`` in ``folder``.
    Raises OSError.
    """
    if folder is not None and not any(word.startswith(_FILE_OPTION) for word in words):
        return open_log(str(folder / name))
    before = name_of_log(opened)
    if opened in (sys.stdout, sys.stderr):
        return own_stream("stdout" if opened is sys.stdout else "stderr")
    return opened if before in _STANDARD else open_log(os.path.abspath(before))


def name_of_log(stream: Any) -> str:
    """Return the name by which ``open_log`` opens ``stream``; that of a stream without any is ``-``."""
    if stream in (sys.stderr, own_stream("stderr")):
        return "+"
    name = getattr(stream, "name", None)
    return name if isinstance(name, str) and not name.startswith("<") else "-"


def reopen(stream: Any) -> None:
    """Let ``stream`` go on in a new file of its name, after the old one was moved away.

    A stream without a file of its own stays as it is. Where there can be no new file, the old one goes on,
    and says why.
    """
    if isinstance(stream, AppendedFile):
        try:
            stream.reopen()
        except OSError as error:
            _log.error("cannot open the log anew: {error}", error=error)


def plain_unless_asked(twist: Any, words: Sequence[str]) -> None:
    """Let ``twist`` (its ``TwistOptions``) log in plain lines, unless its command line asks for JSON.

    ``words`` are that command line. The options alone do not tell whether the user has asked for JSON, or
    ``twist`` has chosen it because its output is not a terminal.
    """
    asked = any(word.startswith(_FORMAT_OPTION) for word in words)
    if not (asked and twist["logFormat"] == "json"):
        twist["fileLogObserverFactory"] = plain_observer


@contextmanager
def logging_already(twist: Any) -> Iterator[None]:
    """Write to the log that ``twist`` (its ``TwistOptions``) will open later, in this process or in a child.

    What was logged until the end is not written again when it is opened.
    """
    observer = twist["fileLogObserverFactory"](twist["logFile"])
    filtering = FilteringLogObserver(observer, [LogLevelFilterPredicate(twist["logLevel"])])
    kept = globalLogBeginner._initialBuffer._buffer
    for event in kept:
        filtering(event)
    globalLogPublisher.addObserver(filtering)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(filtering)
        kept.clear()


def keep_standard_streams(call_when_running: Callable[..., Any]) -> None:
    """Restore ``sys.stdout`` and ``sys.stderr`` as they are now, once the reactor runs and the log is open.

    Each printed line is written at once, even to a file, so that all output to one file is in order. If the
    process was started without a stream, what is printed to it is dropped. The server has streams of its own,
    on which nothing depends that apps do to these.
    """
    keep_own_streams()
    streams = tuple(stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    sys.stdout, sys.stderr = streams
    keep_streams_of_apps(call_when_running)


def keep_streams_of_apps(call_when_running: Callable[..., Any]) -> None:
    """Restore ``sys.stdout`` and ``sys.stderr`` as they are now: apps that were loaded may have set them."""
    streams = sys.stdout, sys.stderr

    def put_back() -> None:
        sys.stdout, sys.stderr = streams

    call_when_running(put_back)
