"""What parts of a request cost by themselves, in one process without a server: its context, and `was.run`."""

from __future__ import annotations

import timeit
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar
from dataclasses import dataclass

from greenlet import getcurrent

from benchmarks.report import GREENLETS, Results, times, verdict

CONTEXT_SHARE = 0.02
CONTEXTS, CALLS, ROUNDS = 20_000, 200, 30
VARIABLE: ContextVar[object] = ContextVar("benchmark")


@dataclass(frozen=True)
class Apart:
    """Microseconds of a context, of a function under `was.run`, and of one under a ThreadPoolExecutor."""

    context: float
    run: float
    submit: float


def measured() -> Apart:
    """Measure all of it. Best of many rounds that take turns: other work on the machine only ever adds."""
    import skitai

    with skitai.standalone() as was, ThreadPoolExecutor(1) as executor:
        ours, theirs = best_of(
            CALLS, lambda: was.run(nothing).getwait(10), lambda: executor.submit(nothing).result(10)
        )
    own, lasting = best_of(CONTEXTS, set_in_own, set_in_lasting)
    return Apart(own - lasting, ours, theirs)


def best_of(number: int, *functions) -> list[float]:
    """Return the microseconds of one call of each."""
    timers = [timeit.Timer(function) for function in functions]
    rounds = [[timer.timeit(number) for timer in timers] for _ in range(ROUNDS)]
    return [min(times) / number * 1e6 for times in zip(*rounds, strict=True)]


def set_in_own() -> None:
    """Do what an executor and `was` do for each task: give it a context, set a variable, take it away."""
    me = getcurrent()
    me.gr_context = Context()
    VARIABLE.set(me)
    me.gr_context = None


def set_in_lasting() -> None:
    """Do the same in a context that all tasks share."""
    me = getcurrent()
    VARIABLE.set(me)


def nothing() -> None:
    """Do nothing."""


def apart_section(found: Apart | None, results: Results) -> Iterator[str]:
    """Yield the lines on a context and on `was.run`."""
    yield from ("## A context and a thread by themselves", "")
    if found is None:
        yield from ("Not measured.", "")
        return
    yield _context(found, results)
    yield (
        f"- a function that does nothing, from `was.run(function)` to its result: {found.run:.0f} us;"
        f" with `concurrent.futures.ThreadPoolExecutor` {found.submit:.0f} us:"
        f" {times(found.run / found.submit)}"
    )
    yield ""


def _context(found: Apart, results: Results) -> str:
    text = f"- the context of a request: less than {CONTEXT_SHARE:.0%} of a hello's processor time: "
    if GREENLETS not in results.speeds:
        return f"{text}{found.context:.2f} us; the hello was not measured"
    hello = min(speed.cpu_us for speed in results.speeds[GREENLETS])  # of the quickest round, to be strict
    share = found.context / hello
    return (
        f"{text}{found.context:.2f} of {hello:.1f} us (`threads = 0`, quickest round), {share:.1%}:"
        f" {verdict(share < CONTEXT_SHARE)}"
    )
