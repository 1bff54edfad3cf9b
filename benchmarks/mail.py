"""How fast spooled mail leaves, beside a bare loop of smtplib, and what `send()` costs the app."""

from __future__ import annotations

import os
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.progress import failures_noted, say
from benchmarks.report import Results, times, verdict

if TYPE_CHECKING:
    import argparse

    from benchmarks.process import Placement

MAIL = "mail"
MAILS, QUICK_MAILS, SENDS = 5000, 500, 200
RATE_SHARE, SEND_FACTOR = 0.5, 1.5
ENDS_AFTER = 300.0  # seconds; then something is wrong
SENDER, RECIPIENT = "from@example.com", "to@example.com"
#: 1 KB, what a password reminder has.
TEXT = "\r\n".join(
    [
        f"From: {SENDER}",
        f"To: {RECIPIENT}",
        "Subject: A benchmark",
        "",
        *["A line of text, like others."] * 30,
        "",
    ]
).encode()
TEN_KB = "A line of text, of which there are many here.\n" * 222


@dataclass(frozen=True)
class Mails:
    """Mails a second by the loop and by the agent; milliseconds of `send()` and of two writes with fsync."""

    loop: float
    agent: float
    send_ms: float
    writes_ms: float


def measured(results: Results, placement: Placement, options: argparse.Namespace) -> Mails | None:
    """Measure all of it, if it is wanted."""
    if MAIL not in options.only:
        return None
    with failures_noted(results, MAIL), tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        count = QUICK_MAILS if options.quick else MAILS
        with sink(placement) as port:
            loop = by_loop(port, count)
            say("mail by a loop of smtplib", f"{loop:,.0f} a second")
            agent = by_agent(folder, port, count, placement)
            say("mail by the agent", f"{agent:,.0f} a second")
        send_ms, writes_ms = send_beside_writes(folder)
        say("send() of 10 KB", f"{send_ms:.2f} ms; two writes with fsync {writes_ms:.2f} ms")
        return Mails(loop, agent, send_ms, writes_ms)
    return None


@contextmanager
def sink(placement: Placement) -> Iterator[int]:
    """Run an SMTP server that takes all and keeps nothing, on the client's core; yield its port."""
    command = ["taskset", "-c", str(placement.client_core), sys.executable, "-m", "benchmarks.mail_sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def by_loop(port: int, count: int) -> float:
    """Return the mails a second of one connection that is told one mail after the other."""
    began = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as server:
        for _ in range(count):
            server.sendmail(SENDER, [RECIPIENT], TEXT)
    return count / (time.perf_counter() - began)


def by_agent(folder: Path, port: int, count: int, placement: Placement) -> float:
    """Return the mails a second of `twist skitai-mail` over a full spool, from the first that it takes."""
    from skitai.daemon.mail.settings import read_settings
    from skitai.mail.envelope import Envelope, new_id
    from skitai.mail.spool import Spool

    config = folder / "site.conf"
    config.write_text(f"[global]\nvar_path = var\n[smtpda]\nsmtpserver = 127.0.0.1:{port}\n")
    spool = Spool(read_settings(config).spool)
    for _ in range(count):
        spool.write(Envelope(new_id(time.time()), SENDER, (RECIPIENT,), time.time()), TEXT)
    command = [
        placement.python,
        "-m",
        "twisted",
        "--log-file",
        folder / "log",
        "skitai-mail",
        "--config",
        config,
    ]
    with subprocess.Popen(command) as process:
        try:
            return _rate(spool, count)
        finally:
            process.terminate()


def _rate(spool, count: int) -> float:
    gives_up = time.monotonic() + ENDS_AFTER
    while len(spool.ids()) == count:
        time.sleep(0.001)
    began, first = time.perf_counter(), count - len(spool.ids())
    while left := len(spool.ids()):
        if time.monotonic() > gives_up:
            raise TimeoutError(f"{left} mails have not left")
        time.sleep(0.02)
    return (count - first) / (time.perf_counter() - began)


def send_beside_writes(folder: Path) -> tuple[float, float]:
    """Return the median milliseconds of `send()` of 10 KB, and of two bare writes with fsync."""
    import skitai

    config = folder / "app.conf"
    config.write_text("[global]\nvar_path = var-of-app\n[smtpda]\nsmtpserver = 127.0.0.1:25\n")
    data = TEN_KB.encode()
    with skitai.standalone(str(config)) as was:

        def send() -> None:
            mail = was.email("A benchmark", SENDER, RECIPIENT)
            mail.add_text(TEN_KB)
            mail.send()

        def write() -> None:
            for number in range(2):
                with open(folder / f"bare{number}", "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())

        rounds = [(_ms(send), _ms(write)) for _ in range(SENDS)]
    sends, writes = zip(*rounds, strict=True)
    return statistics.median(sends), statistics.median(writes)


def _ms(action: Callable[[], None]) -> float:
    began = time.perf_counter()
    action()
    return (time.perf_counter() - began) * 1000


def mail_section(found: Mails | None) -> Iterator[str]:
    """Yield the lines on mail."""
    yield from ("## Mail", "")
    if found is None:
        yield from ("Not measured.", "")
        return
    rate, send = found.agent / found.loop, found.send_ms / found.writes_ms
    yield (
        f"- {MAILS:,} spooled mails, at least {RATE_SHARE:.0%} of the rate of a bare loop of smtplib:"
        f" {found.agent:,.0f} a second beside {found.loop:,.0f}: {times(rate)}, {verdict(rate >= RATE_SHARE)}"
    )
    yield (
        f"- `send()` of 10 KB, at most {SEND_FACTOR} times two bare writes with fsync: {found.send_ms:.2f} ms"
        f" beside {found.writes_ms:.2f}: {times(send)}, {verdict(send <= SEND_FACTOR)}"
    )
    yield ""
