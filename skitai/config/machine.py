"""What the machine offers."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

#: How much processor time a container may use: ``QUOTA PERIOD``, or ``max PERIOD`` (cgroup v2).
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(quota: Path = _QUOTA) -> int:
    """Return how many cores this process may use, at least 1; ``quota`` is where a container says so."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = (os.cpu_count() or 1) if affinity is None else len(affinity(0))
    try:
        allowed, period = quota.read_text("ascii").split()
        cores = min(cores, ceil(int(allowed) / int(period)))
    except (OSError, ValueError):  # there is no quota
        pass
    return max(cores, 1)
