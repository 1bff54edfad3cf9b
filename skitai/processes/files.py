"""Files that several processes append to, and that are moved away while they do."""

from __future__ import annotations

import os


def begin_anew(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Have what is written to ``descriptor`` from now on go to a new file at ``path``, or the one there now.

    Whoever holds the descriptor notices nothing. Raises OSError, and then nothing has changed. Called in any
    thread.
    """
    fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.dup2(fresh, descriptor, inheritable=False)
    finally:
        os.close(fresh)
