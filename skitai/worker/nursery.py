"""The process that loads a server once, and forks a worker whenever its supervisor orders one.

Nothing runs in it: no reactor, no thread, no request. So a fork copies nothing but what was loaded, and the
workers share the memory of that.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import NoReturn, Self

import attrs

from skitai.config import Config
from skitai.config.describe import mounted
from skitai.config.places import logs_kept
from skitai.loop import native
from skitai.net.sockets import ListenError, Opened
from skitai.processes import Board
from skitai.processes.family import end_with_parent
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import (
    BLOCKED,
    BROKEN,
    CANNOT,
    CLOSE,
    FORKED,
    GONE,
    HELLO,
    LOADED,
    NURSERY_VARIABLE,
    Wishes,
)
from skitai.processes.rotation import RotatedLog
from skitai.processes.signals import ignored_from_start
from skitai.processes.streams import flush_streams

#: Signals that the supervisor acts on: workers leave them alone, or have their own ways.
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_READ = 1
#: Requests, apps and plugins have their time one after the other, and each a little more.
_ENDS, _END_SECONDS = 3, 2.0


@attrs.frozen
class Place:
    """What a worker has of its ``supervisor``: its slot on the ``board``, a line, and a pipe for stacks."""

    supervisor: int
    board: Board
    slot: int
    link: Link
    stacks: int


@attrs.frozen
class _Child:
    """A worker that was forked."""

    pid: int
    slot: int


class Nursery:
    """What makes this process a nursery: ``link`` is its line to the process ``supervisor``."""

    def __init__(self, link: Link, supervisor: int) -> None:
        self._link = link
        self._supervisor = supervisor
        self._ignored = {*_IGNORED, *ignored_from_start()}
        self._board: Board | None = None
        self._sockets: list[Opened] = []
        #: Waits for orders, and for the end of workers by a descriptor of each (pidfd_open(2)).
        self._selector = native.DefaultSelector()

    @classmethod
    def of(cls, environ: MutableMapping[str, str]) -> Self | None:
        """Return this process as a nursery, if ``environ`` says that it is one. Called as soon as may be.

        The variable that says so is removed: children are none.
        """
        words = environ.pop(NURSERY_VARIABLE, "").split()
        if not words:
            return None
        descriptor, supervisor = map(int, words)
        os.set_inheritable(descriptor, False)
        nursery = cls(Link.at(descriptor), supervisor)
        for number in BLOCKED:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        return nursery

    def introduce(self, wishes: Wishes) -> list[Opened]:
        """Tell the supervisor what the config wants; return the sockets to serve.

        Raises ListenError where the supervisor cannot listen.
        """
        self._link.send({"kind": HELLO, "wishes": wishes.as_message()})
        try:
            message, descriptors = self._link.receive()
        except LinkClosedError:
            _end()
        if message["kind"] == CANNOT:
            raise ListenError(message["key"], message["reason"])
        board, *sockets = descriptors
        self._board = Board(board)
        pairs = zip(sockets, message["tls"], strict=True)
        self._sockets = [Opened(socket.socket(fileno=descriptor), tls) for descriptor, tls in pairs]
        return self._sockets

    def broken(self, reason: str) -> None:
        """Tell the supervisor why this server cannot serve."""
        with suppress(LinkClosedError):
            self._link.send({"kind": BROKEN, "reason": reason})

    def serve(self, failed: Sequence[str]) -> Place:
        """Fork workers as ordered; return in a worker only. The process itself ends with its supervisor.

        ``failed`` says which apps cannot be loaded.
        """
        gc.collect()
        gc.freeze()  # or the first collection in each worker would write to, and so copy, all that was loaded
        try:
            end_with_parent(self._supervisor, signal.SIGKILL)
            self._link.send({"kind": LOADED, "failed": list(failed)})
        except (LinkClosedError, ProcessLookupError):
            _end()
        selector = self._selector
        selector.register(self._link, _READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    self._reap(key.data, key.fd)
                    continue
                try:
                    order, descriptors = self._link.receive()
                except LinkClosedError:
                    _end()
                if order["kind"] == CLOSE:
                    self._let_go()
                    continue
                place = self._fork(order["slot"], descriptors)
                if place is not None:
                    return place

    def _let_go(self) -> None:
        for opened in self._sockets:
            opened.socket.close()

    def _fork(self, slot: int, descriptors: Sequence[int]) -> Place | None:
        """Fork the worker of ``slot``; return its place in the worker itself, and None in this process."""
        flush_streams()
        mother = os.getpid()
        # A signal for the child that comes before it can take it must wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
        try:
            pid = native.fork()
        except OSError as error:
            reason = f"it cannot be forked: {error.strerror}"
            self._say({"kind": GONE, "slot": slot, "status": None, "reason": reason})
            pid = -1
        if pid == 0:
            return self._become_worker(mother, slot, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        if pid > 0:
            self._selector.register(os.pidfd_open(pid), _READ, _Child(pid, slot))
            self._say({"kind": FORKED, "slot": slot, "pid": pid})
        return None

    def _become_worker(self, mother: int, slot: int, descriptors: Sequence[int]) -> Place:
        for sibling in list(self._selector.get_map().values()):
            if sibling.data is not None:
                os.close(sibling.fd)
        self._selector.close()
        self._link.close()
        for number in BLOCKED:
            signal.signal(number, signal.SIG_IGN if number in self._ignored else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)
        try:
            end_with_parent(mother, signal.SIGTERM)
        except ProcessLookupError:
            _end()
        link, stacks = descriptors
        assert self._board is not None
        return Place(self._supervisor, self._board, slot, Link.at(link), stacks)

    def _reap(self, child: _Child, descriptor: int) -> None:
        """Take note that a worker has ended."""
        self._selector.unregister(descriptor)
        os.close(descriptor)
        _, status = native.waitpid(child.pid, 0)
        self._say({"kind": GONE, "slot": child.slot, "status": status, "reason": None})

    def _say(self, message: dict[str, object]) -> None:
        with suppress(LinkClosedError):  # the next order will not come either
            self._link.send(message)


def wishes_of(config: Config, logs: Sequence[RotatedLog] = (), mail: Sequence[str] = ()) -> Wishes:
    """Return what ``config`` wants of a supervisor, which also rotates ``logs`` and runs ``mail``."""
    server = config.server
    return Wishes(
        name=server.name,
        processes=server.processes,
        endpoints=tuple(map(str, server.endpoints)),
        worker_timeout=server.worker_timeout,
        end_seconds=_ENDS * (server.stop_seconds + _END_SECONDS),
        max_requests=server.max_requests,
        max_memory=server.max_memory,
        logs=tuple((str(log.path), log.period) for log in logs),
        logs_kept=logs_kept(config.places),
        mail=tuple(mail),
        mounted=mounted(config.hosts),
    )


def threads_besides() -> list[str]:
    """Return the names of threads other than this one: a fork does not copy them."""
    me = threading.current_thread()
    return [thread.name for thread in threading.enumerate() if thread is not me]


def _end() -> NoReturn:
    """End a process that has nothing to lose, and nobody to serve."""
    os._exit(0)
