"""What ``threading`` joins its threads by, from Python 3.13 on.

gevent's own waits for the greenlet itself. That can be done in the thread of that greenlet only: in any other
the end of the greenlet is never heard of, and whoever joins it waits for ever. Up to Python 3.12 a lock is
waited for.
"""

from __future__ import annotations

from typing import Any

import gevent.thread
from gevent import Greenlet, getcurrent

from skitai.loop.cooperative.locks import Lock

#: gevent's, which knows no types. Versions before 24.10 have none; they do not run on Python 3.13.
_Handle: Any = getattr(gevent.thread, "_ThreadHandle", object)


class ThreadHandle(_Handle):  # type: ignore[misc]
    """The handle of a thread that is a greenlet. It may be joined in any thread, and in greenlets."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()
        self._runs = Lock()

    def _set_greenlet(self, thread: Any) -> None:
        super()._set_greenlet(thread)
        if isinstance(thread, Greenlet):
            self._runs.acquire()
            thread.rawlink(lambda _: self._runs.release())

    def join(self, timeout: float | None = -1) -> None:
        """Wait until the thread has ended, for ``timeout`` seconds at most, -1 or None for ever.

        Raises RuntimeError in the thread itself, and for one that was not started.
        """
        thread = self._get_greenlet()
        if thread is getcurrent() or not isinstance(thread, Greenlet):
            super().join(timeout)  # an error, a thread that has ended, or the main thread
        elif self._runs.acquire(timeout=-1 if timeout is None else timeout):
            self._runs.release()
