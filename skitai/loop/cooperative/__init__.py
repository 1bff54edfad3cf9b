"""Code that blocks in the standard library lets others go on: with gevent, in the reactor's own thread.

This package alone knows of gevent. ``host`` patches the standard library and has gevent's hub run beside the
reactor. From then on a greenlet that waits in ``time.sleep``, for a lock or for a socket holds up nobody.

``hub`` is gevent's hub as Skitai's own, and ``reactor`` lets it run. ``patching`` patches; ``locks`` and
``children`` are what it puts in the place of gevent's. Names with an underscore are used where gevent,
Twisted or Python have no others. The tests of this package find out when one of them is gone.
"""

from __future__ import annotations

import sys
from typing import Any


class CannotCooperateError(Exception):
    """The standard library cannot be patched here; the text says why, and what to do."""


def host(reactor: Any) -> None:
    """Patch the standard library, and have ``reactor`` run in the main greenlet of gevent's hub.

    It cannot be undone. Called in the main thread, before the reactor runs and before plugins and apps are
    imported. Raises CannotCooperateError if gevent is missing, if somebody has patched already (gevent's own
    locks may be in use then), or if the reactor does not use epoll.
    """
    try:
        from gevent import monkey  # imported only where it is wanted: nobody else pays for it
    except ImportError as error:
        raise CannotCooperateError(f"needs gevent: pip install 'skitai[gevent]' ({error})") from error
    if any(map(monkey.is_module_patched, ("threading", "time", "socket"))):
        raise CannotCooperateError("needs a standard library that nobody has patched yet: Skitai does that")
    if not _uses_epoll(reactor):
        name = type(reactor).__name__
        raise CannotCooperateError(f"needs the reactor that uses epoll (Linux), not {name}")

    from skitai.loop.cooperative.patching import patch
    from skitai.loop.cooperative.reactor import take_over

    patch()
    take_over(reactor)


def _uses_epoll(reactor: Any) -> bool:
    try:
        from twisted.internet.epollreactor import EPollReactor
    except ImportError:  # the system has no epoll
        return False
    return isinstance(reactor, EPollReactor)


def is_patched() -> bool:
    """Return whether gevent has patched the standard library, whoever asked it to. Called in any thread."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("time"))  # among the first that it patches
