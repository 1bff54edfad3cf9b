"""Request early, use late: ask every machine at once, and note when what happened."""

import hashlib
import time
from dataclasses import dataclass

from machines import MACHINES, neighbourhood

from skitai import was

#: Seconds that the page waits for a machine that it cannot do without.
PATIENCE = 5.0

#: The values of ``result.status``.
TIMEOUT, FAILED, NORMAL = 1, 2, 3


@dataclass(frozen=True)
class Step:
    """One bar of the picture. Every time is in seconds since the page began.

    ``asked`` to ``collected`` is the call as the page saw it, ``start`` to ``end`` the time in which the
    machine was at work (all of it when no answer says so), and ``alone`` what it would have cost on its own.
    """

    name: str
    status: int
    text: str
    asked: float
    start: float
    end: float
    collected: float
    alone: float


@dataclass(frozen=True)
class Report:
    """Everything that the page did: its own work, and the steps in the order of picking up."""

    work: Step
    steps: tuple[Step, ...]

    @property
    def all_steps(self):
        """The page's own work, then the calls."""
        return (self.work, *self.steps)

    @property
    def total(self):
        """The seconds from the first request to the last answer picked up."""
        return max(step.collected for step in self.all_steps)

    @property
    def one_by_one(self):
        """The seconds that the same would have taken, one after the other."""
        return sum(step.alone for step in self.all_steps)


def gather(adverts_patience):
    """Ask all the machines and return the ``Report``; wait for the adverts that many seconds at most."""
    began = time.monotonic()
    asked = {}
    for name in MACHINES:
        asked[name] = time.monotonic() - began, was.get(neighbourhood.url(name))  # the request leaves here

    work = _work(began)

    steps = []
    for name, (when, call) in asked.items():
        patience = adverts_patience if name == "adverts" else PATIENCE
        result = call.getwait(patience)  # the page waits here
        steps.append(_step(name, result, began, when, patience))
    report = Report(work, tuple(steps))
    was.log(f"timeline: {report.total:.3f} s instead of {report.one_by_one:.3f} s", "info")
    return report


def _work(began):
    """Do what a page does by itself, while the machines do what they do."""
    start = time.monotonic() - began
    hashlib.pbkdf2_hmac("sha256", b"open sesame", b"salt", 80_000)
    end = time.monotonic() - began
    return Step("this page", NORMAL, "checks a password", start, start, end, end, end - start)


def _step(name, result, began, asked, patience):
    """Return the step for the result that was just picked up."""
    collected = time.monotonic() - began
    if result.status == TIMEOUT:
        return Step(name, TIMEOUT, "no answer in time", asked, asked, collected, collected, patience)
    if result.status != NORMAL or result.code != 200:
        text = f"{result.code} {result.msg}"
        return Step(name, FAILED, text, asked, asked, collected, collected, collected - asked)
    said = was.fromjson(result.data)
    start, end = said["received"] - began, said["answered"] - began
    return Step(name, NORMAL, said["answer"], asked, start, end, collected, said["delay"])
