"""How often garbage is collected while a server is loaded."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: New objects. A server without an app has 300,000 that stay; Python would look for garbage 200 times.
_MANY = 50_000


@contextmanager
def collecting_less() -> Iterator[None]:
    """Collect seldom within the block, in which modules are loaded: nearly nothing of them is garbage.

    What an app sets there, as it is imported, stays set.
    """
    before = gc.get_threshold()
    young, *older = before
    if 0 < young < _MANY:
        gc.set_threshold(_MANY, *older)
    during = gc.get_threshold()
    try:
        yield
    finally:
        if gc.get_threshold() == during:
            gc.set_threshold(*before)
