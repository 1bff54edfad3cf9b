"""A reactor that lets gevent's hub run where it would wait for the system.

The reactor runs in the main greenlet, so its code may block as anybody's may: only the reactor is late then.
While it has something to do it polls without waiting, as if it were alone. When it has nothing to do, the hub
waits for both: for all descriptors of the reactor at once, by the one of their epoll.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import gevent
import greenlet
from twisted.internet.base import DelayedCall
from twisted.internet.epollreactor import EPollReactor

from skitai.loop.cooperative.hub import GeventHub
from skitai.loop.epolling import ShortReactor

_READ = 1
#: Seconds that a busy reactor goes on before the hub gets a turn.
_TURN_SECONDS = 0.005


class CooperativeReactor(ShortReactor):
    """The epoll reactor beside gevent's hub.

    ``take_over`` turns an epoll reactor into one. What greenlets ask of it while it waits rouses it, because
    it was to wait for something else.
    """

    hub: GeventHub

    def callLater(self, delay: float, callable: Any, *args: object, **kw: object) -> DelayedCall:  # noqa: A002
        """Do as IReactorTime says. Called in the reactor thread, in any greenlet."""
        call = super().callLater(delay, callable, *args, **kw)
        if self.hub.reactor_waits:
            self._poller.rouse()
        return call

    def call_at_end(self, function: Callable[[], object]) -> None:
        """Do as ShortReactor says, also while the reactor waits. Called as ``callLater``."""
        super().call_at_end(function)
        if self.hub.reactor_waits:
            self._poller.rouse()

    def _moveCallLaterSooner(self, call: DelayedCall) -> None:
        super()._moveCallLaterSooner(call)
        if self.hub.reactor_waits:
            self._poller.rouse()


def take_over(reactor: EPollReactor) -> None:
    """Make ``reactor`` a CooperativeReactor: ``twist`` has chosen its class before the config is read."""
    reactor.__class__ = CooperativeReactor
    assert isinstance(reactor, CooperativeReactor)
    reactor.begin_anew()
    reactor.hub = GeventHub()
    reactor._poller = HostedPoller(reactor._poller, reactor.hub)


class HostedPoller:
    """An epoll object whose ``poll`` waits in the hub of ``hub``."""

    def __init__(self, epoll: Any, hub: GeventHub) -> None:
        self._hub = hub
        self._last_turn = 0.0
        self._waiting: greenlet.greenlet | None = None
        self._use(epoll)

    def _use(self, epoll: Any) -> None:
        self._epoll = epoll
        self._loop = self._hub.gevent.loop
        self._watcher = self._loop.io(epoll.fileno(), _READ)
        self.register, self.modify, self.unregister = epoll.register, epoll.modify, epoll.unregister
        self.fileno, self.close = epoll.fileno, epoll.close

    def renew(self) -> None:
        """Use an epoll object of its own: the process was forked by ``native.fork``. Called in the child."""
        self._watcher.close()
        gevent.reinit(self._hub.gevent)
        self._epoll.close()
        self._use(type(self._epoll)())

    def poll(self, timeout: float, maxevents: int) -> Any:
        """Return events as ``select.epoll.poll`` does. Called in the reactor's greenlet."""
        events = self._epoll.poll(0, maxevents)
        if events or timeout == 0:
            now = monotonic()
            if now - self._last_turn > _TURN_SECONDS:
                self._last_turn = now
                self._hub.give_way()
            return events
        self._wait(timeout)
        return self._epoll.poll(0, maxevents)

    def rouse(self) -> None:
        """Have ``poll`` return soon. Called in the reactor thread, in any greenlet."""
        assert self._waiting is not None
        self._hub.reactor_waits = False
        self._loop.run_callback(self._waiting.switch)

    def _wait(self, seconds: float) -> None:
        self._waiting = greenlet.getcurrent()
        timer = self._loop.timer(seconds) if seconds > 0 else None
        if timer is not None:
            timer.start(self._go_on)
        if not self._watcher.active:
            self._watcher.start(self._ready)
        self._hub.reactor_waits = True
        try:
            self._hub.let_run()
        finally:
            self._hub.reactor_waits = False
            if timer is not None:
                timer.close()
        self._last_turn = monotonic()

    def _ready(self) -> None:
        if self._hub.reactor_waits:
            self._go_on()
        else:
            # The reactor is busy, or blocked, and will look by itself: until then the hub would spin.
            self._watcher.stop()

    def _go_on(self) -> None:
        if self._hub.reactor_waits:
            self._hub.reactor_waits = False
            assert self._waiting is not None
            self._waiting.switch()
