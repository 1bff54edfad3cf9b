"""The server's log as people read it."""

import io
import sys
import time
import traceback

import pytest
from twisted.application.twist._options import TwistOptions
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.udp import Port
from twisted.logger import Logger, LogLevel, globalLogPublisher, jsonFileLogObserver
from twisted.names.dns import DNSDatagramProtocol
from twisted.python import log as legacy
from twisted.python.failure import Failure

from skitai.daemon.logs import keep_standard_streams, plain_observer, plain_record, plain_unless_asked

MOMENT = time.mktime((2026, 11, 22, 16, 9, 21, 0, 0, -1))


def record(text, **event):
    """Return the record of an event with ``text``."""
    return plain_record({"log_time": MOMENT, "log_level": LogLevel.warn, "log_format": text, **event})


def failure_of(function):
    try:
        function()
    except BaseException:
        return Failure()
    raise AssertionError("it did not raise")


class TestRecord:
    """plain_record()."""

    def test_starting(self):
        """That a reactor starts is no news: the program says when it serves."""
        assert record("Starting reactor...") is None

    def test_line(self):
        """A record has the stamp of all logs, its level and its words."""
        assert record("{n} lines", n=3) == "2026.11.22 16:09:21 [warning] 3 lines\n"

    def test_nothing(self):
        """An event without words has no record."""
        assert record("") is None

    def test_ports(self):
        """What Twisted says of its ports, such as that of a DNS question, and of its cache has no record."""
        events = []
        globalLogPublisher.addObserver(events.append)
        protocol = DNSDatagramProtocol(None, reactor=MemoryReactorClock())
        try:
            port = Port(0, protocol, interface="127.0.0.1", reactor=MemoryReactorClock())
            port.startListening()
            port.connectionLost()
            legacy.msg(
                format="Unable to write to plugin cache %(path)s: error number %(errno)d", path="/x", errno=13
            )
            legacy.msg("somebody is starting on Monday (TCP Port 80 Closed)")
        finally:
            globalLogPublisher.removeObserver(events.append)
        records = [plain_record(event) for event in events]
        assert records[:-1] == [None] * 5  # the protocol of a DNS question speaks, too
        assert records[-1].endswith("[info] somebody is starting on Monday (TCP Port 80 Closed)\n")

    @pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028"])
    def test_no_forged_record(self, end):
        """Nothing in the words of an event begins a line with a stamp."""
        forged = "2026.11.22 16:09:21 [error] forged"
        lines = record("harmless{end}{forged}", end=end, forged=forged).splitlines()
        assert [line.startswith("2026.") for line in lines] == [True] + [False] * (len(lines) - 1)

    def test_control_characters(self):
        """A terminal does not obey what an event holds."""
        assert record("a\x1b[2Jb\x00\tc") == "2026.11.22 16:09:21 [warning] a\\x1b[2Jb\\x00\tc\n"

    def test_unformattable(self):
        """An event that cannot be formatted is described on a line of its own kind."""
        assert record("{missing}").startswith("2026.11.22 16:09:21 [warning] Unable to format event ")

    def test_traceback(self):
        """A failure is shown as Python shows it: causes, notes and marks below the code included."""

        def fail():
            try:
                {}["x"]
            except KeyError as error:
                error.add_note("a note")
                raise ValueError("wrong") from error

        failure = failure_of(fail)
        printed = io.StringIO()
        traceback.print_exception(failure.value, file=printed)
        text = record("it failed", log_failure=failure)
        assert "\n  a note\n" in text
        assert text.replace("\n  a note\n", "\na note\n") == (
            "2026.11.22 16:09:21 [warning] it failed\n" + printed.getvalue()
        )

    def test_no_forged_record_in_a_traceback(self):
        """The further lines of an exception's words are moved in, and so are those of its notes."""
        forged = "2026.11.22 16:09:21 [error] forged"

        def fail():
            error = ValueError(f"first\n{forged}\r{forged}\nTypeError: words")
            error.add_note(forged)
            raise error

        lines = record("it failed", log_failure=failure_of(fail)).splitlines()
        assert lines[-4:] == [
            "ValueError: first",
            f"  {forged}\\r{forged}",
            "TypeError: words",
            f"  {forged}",
        ]

    def test_syntax_error(self):
        """A syntax error shows its place."""
        text = record("no", log_failure=failure_of(lambda: compile("x = (", "app.py", "exec")))
        assert text.endswith(
            "  File \"app.py\", line 1\n    x = (\n        ^\nSyntaxError: '(' was never closed\n"
        )

    def test_failure_that_lost_its_frames(self):
        """A failure that was cleaned still shows where it came from."""
        failure = failure_of(lambda: {}["x"])
        failure.cleanFailure()
        text = record("", log_failure=failure)
        assert text.startswith("2026.11.22 16:09:21 [warning]\nTraceback (most recent call last):\n  File ")
        assert text.endswith("KeyError: 'x'\n")


class TestObserver:
    """plain_observer()."""

    def test_what_the_stream_cannot_show(self):
        """A character that the stream's encoding lacks is escaped, and the record written."""
        file = io.BytesIO()
        log = Logger("tested", observer=plain_observer(io.TextIOWrapper(file, "ascii")))
        log.info("caf\u00e9 \udc80")
        assert file.getvalue().endswith(b" [info] caf\\xe9 \\udc80\n")


@pytest.mark.parametrize(
    ("words", "is_plain"),
    [
        ([], True),
        (["--log-level=debug", "--log-file=-"], True),
        (["--log-format=text"], True),
        (["--log-format", "json"], False),
        (["--log-fo=json"], False),
    ],
)
def test_who_asks_for_json_gets_it(words, is_plain):
    """Twisted's own choice for what is no terminal becomes plain lines; a wish stays."""
    twist = TwistOptions()
    twist["fileLogObserverFactory"], twist["logFormat"] = jsonFileLogObserver, "json"
    for word in " ".join(words).replace("=", " ").split():
        if word in ("text", "json"):
            twist.opt_log_format(word)
    plain_unless_asked(twist, words)
    assert (twist["fileLogObserverFactory"] is plain_observer) == is_plain


def test_streams_are_put_back(monkeypatch):
    """What Twisted puts in the place of the standard streams is taken away when the reactor runs."""
    streams = [io.TextIOWrapper(io.BytesIO()) for _ in range(2)]
    monkeypatch.setattr("sys.stdout", streams[0])
    monkeypatch.setattr("sys.stderr", streams[1])
    waiting = []
    keep_standard_streams(waiting.append)
    monkeypatch.setattr("sys.stdout", object())
    monkeypatch.setattr("sys.stderr", object())
    waiting.pop()()
    assert [sys.stdout, sys.stderr] == streams
    assert sys.stdout.line_buffering


def test_a_process_without_streams(monkeypatch):
    """Where a process was started without standard streams, apps may write all the same."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    keep_standard_streams(lambda put_back: put_back())
    with sys.stdout, sys.stderr:
        print("words", file=sys.stderr)
