"""What the person who waits is told, and what goes wrong meanwhile."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.process import ServerFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.report import Results


@contextmanager
def failures_noted(results: Results, what: str) -> Iterator[None]:
    """Note what goes wrong in the block, so that the others are still measured."""
    try:
        yield
    except (ServerFailedError, OSError, subprocess.SubprocessError) as error:
        # Other errors may name paths, which the report should not.
        reason = str(error) if isinstance(error, ServerFailedError) else type(error).__name__
        results.failures[what] = reason
        say(what, str(error))


def say(what: str, figure: str) -> None:
    """Tell the person who waits."""
    print(f"  {what}: {figure}", file=sys.stderr, flush=True)
