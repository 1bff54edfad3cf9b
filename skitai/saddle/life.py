"""The life of an app: it begins once and ends once, however many requests arrive at the same time."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

import greenlet

from skitai.context import wait_until_over
from skitai.loop.bridge import Pending


class Life:
    """Whether an app has begun. All methods may wait; they are called in a thread or a greenlet.

    While ``begin`` or ``end`` is under way, another caller waits for its end. A call from within its own
    ``action`` returns at once.
    """

    def __init__(self) -> None:
        #: Whether the app has begun and not ended.
        self.has_begun = False
        self._looking = Lock()
        self._change: Pending | None = None
        self._changer: greenlet.greenlet | None = None

    def begin(self, action: Callable[[], None]) -> None:
        """Call ``action()`` unless the app has begun. If ``action`` raises, it has still not begun."""
        self._change_to(True, action)

    def end(self, action: Callable[[], None]) -> None:
        """Call ``action()`` if the app has begun. After that, the app can begin again."""
        self._change_to(False, action)

    def _change_to(self, has_begun: bool, action: Callable[[], None]) -> None:
        mine = self._may_change_to(has_begun)
        if mine is None:
            return
        self.has_begun = False
        try:
            action()
            self.has_begun = has_begun
        finally:
            self._change = self._changer = None
            mine.end()

    def _may_change_to(self, has_begun: bool) -> Pending | None:
        """Return a ``Pending`` to end after the change, or None if there is nothing to change."""
        me = greenlet.getcurrent()  # a thread without greenlets has one of its own, too
        while True:
            with self._looking:
                change = self._change
                if change is None:
                    if self.has_begun is has_begun:
                        return None
                    self._change, self._changer = Pending(), me
                    return self._change
                if self._changer is me:
                    return None
            wait_until_over(change)
