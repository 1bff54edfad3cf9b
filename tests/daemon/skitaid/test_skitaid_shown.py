"""What people see of skitaid: its table, and its logs."""

import io
import os

import pytest

from skitai.daemon.skitaid.logfiles import TAIL_BYTES, follow, tail
from skitai.daemon.skitaid.shown import duration, table


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (3661, "1 h 1 min"),
        (90_000, "1 d 1 h"),
        (9e6, "104 d 4 h"),
    ],
)
def test_duration(seconds, text):
    """The two largest units tell enough."""
    assert duration(seconds) == text


def test_table():
    """Each child is a line; what is not known of it is a dash."""
    children = [
        {"name": "cron", "state": "running", "pid": 7, "uptime": 3.0, "restarts": 0},
        {
            "name": "sample", "state": "running", "pid": 1234, "uptime": 75, "restarts": 2, "workers": 4,
            "memory": 50 << 20, "requests_per_second": 1234.56, "connections": 9, "queued": 0,
        },
        {"name": "x", "state": "down", "pid": None, "uptime": None, "restarts": 0},
    ]  # fmt: skip
    shown = table({"pid": 6, "uptime": 80, "children": children})
    assert shown == (
        "skitaid (pid 6) runs since 1 min 20 s\n"
        "\n"
        "NAME    STATE     PID  WORKERS      UPTIME   MEMORY   REQ/S  CONNECTIONS  QUEUED  RESTARTS\n"
        "cron    running     7        -         3 s        -       -            -       -         0\n"
        "sample  running  1234        4  1 min 15 s  50.0 MB  1234.6            9       0         2\n"
        "x       down        -        -           -        -       -            -       -         0\n"
    )


class TestLogs:
    """The end of a log, and what comes behind it."""

    def test_tail(self, tmp_path):
        """The last 16 KB are shown, from the start of a line."""
        log = tmp_path / "a.log"
        log.write_bytes(b"one\ntwo\n")
        output = io.BytesIO()
        assert tail(log, output) == 8
        assert output.getvalue() == b"one\ntwo\n"
        log.write_bytes(b"".join(b"line %d\n" % number for number in range(10_000)))
        output = io.BytesIO()
        tail(log, output)
        lines = output.getvalue().splitlines()
        assert TAIL_BYTES - 20 < len(output.getvalue()) <= TAIL_BYTES
        assert lines[-1] == b"line 9999"
        assert all(line.startswith(b"line ") for line in lines)

    def test_follow(self, tmp_path):
        """What is added is shown, also when the file was moved away or cut meanwhile."""
        log = tmp_path / "a.log"
        log.write_bytes(b"old\n")
        output = io.BytesIO()

        def add(data, mode="ab"):
            with open(log, mode) as file:
                file.write(data)

        def move():
            add(b"two\n")
            os.rename(log, tmp_path / "a-20261129.log")

        steps = iter(
            [lambda: add(b"one\n"), move, lambda: add(b"three\n"), lambda: add(b"4\n", "wb"), lambda: 1]
        )

        def pause(seconds):
            try:
                next(steps)()
            except StopIteration:
                raise KeyboardInterrupt from None

        with pytest.raises(KeyboardInterrupt):
            follow(log, 4, output, pause)
        assert output.getvalue() == b"one\ntwo\nthree\n4\n"
