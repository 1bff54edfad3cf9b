"""A reactor that was made before a fork, and has not run, made fit to run in the child.

Parent and child share what a descriptor names: with one epoll object and one pipe to wake the reactor, each
would get what is meant for the other. Timers, triggers and what is to be read stay.
"""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure


def renew(reactor: Any) -> None:
    """Give ``reactor`` an epoll object and a waker of its own. Called in the child, before it runs."""
    readers = [reader for reader in reactor.getReaders() if reader is not reactor.waker]
    writers = reactor.getWriters()
    if hasattr(reactor, "_poller") and hasattr(reactor._poller, "close"):
        _renew_epoll(reactor)
    else:  # it asks the system anew each time (poll, select)
        for reader in (reactor.waker, *readers):
            reactor.removeReader(reader)
        for writer in writers:
            reactor.removeWriter(writer)
    reactor._internalReaders.discard(reactor.waker)
    reactor.waker.connectionLost(Failure(OSError("the process was forked")))  # type: ignore[no-untyped-call]
    reactor.waker = None
    reactor.installWaker()
    for reader in readers:
        reactor.addReader(reader)
    for writer in writers:
        reactor.addWriter(writer)


def _renew_epoll(reactor: Any) -> None:
    # To remove a reader from the object would remove it in the parent, too, and in its later children.
    for known in (reactor._reads, reactor._writes, reactor._selectables):
        known.clear()
    poller = reactor._poller
    if hasattr(poller, "renew"):  # the one of skitai.loop.cooperative
        poller.renew()
    else:
        poller.close()
        reactor._poller = type(poller)()
