"""How the time of a parser grows with what it reads, by processor time: a busy machine does not matter."""

import contextlib
import time

#: How many times as long as the short input the long one is.
TIMES = 8
#: Of a linear parser about 8; of one that reads the rest anew at each place 64.
RATIO_MAX = 20
#: How often both are measured before it is the parser's fault: what else runs may slow down one of them.
ATTEMPTS = 5
#: Seconds. Less is not measured against: there the clock and the caches decide.
NOISE = 0.0005


def seconds(parse, text, tries, refusals=()):
    """Return the shortest time that ``parse(text)`` takes; it may raise ``refusals``."""
    best = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        with contextlib.suppress(*refusals):
            parse(text)
        best = min(best, time.thread_time() - began)
    return best


def check_growth(parse, made_of, short, long, refusals=()):
    """Fail if ``long``, which is TIMES as long as ``short``, takes ``parse`` much more than TIMES as long."""
    if seconds(parse, long, 1, refusals) < NOISE * RATIO_MAX:
        return
    for _ in range(ATTEMPTS):
        before = max(seconds(parse, short, 5, refusals), NOISE)
        took = seconds(parse, long, 1, refusals)
        if took < RATIO_MAX * before:
            return
    raise AssertionError(f"{made_of}: {before:.4f} s, then {took:.4f} s")
