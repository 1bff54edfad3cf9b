"""The generations of a server: each is a nursery, the sockets that it serves, and what its config wants."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from twisted.logger import Logger

from skitai.daemon.supervisor.crew import Poll
from skitai.daemon.supervisor.nurseries import Nursery, Stage, give_sockets, logical_folder, start_nursery
from skitai.daemon.supervisor.sockets import Sockets
from skitai.processes import Board
from skitai.processes.link import Link, LinkClosedError
from skitai.processes.orders import (
    BROKEN,
    CLOSE,
    EXIT_BROKEN,
    EXIT_CONFIG,
    FORKED,
    GONE,
    HELLO,
    LOADED,
    Wishes,
)

_log = Logger()

#: Seconds that a load may take before a newer one takes its place.
_PATIENCE_SECONDS = 10.0


class Owner(Protocol):
    """Is told what becomes of generations."""

    def loaded(self, nursery: Nursery) -> None:
        """Take note that a nursery can fork."""

    def refused(self, generation: int, reason: str, status: int) -> None:
        """Take note that one cannot be loaded. ``status`` is that of a server which has no other one."""

    def lost(self, generation: int, reason: str) -> None:
        """Take note that a nursery which had loaded has ended."""

    def forked(self, slot: int, pid: int) -> None:
        """Take note that the worker of ``slot`` has the process ``pid``."""

    def gone(self, slot: int, generation: int, status: int | None, reason: str | None) -> None:
        """Take note that the worker of ``slot`` has ended."""


class Generations:
    """Starts nurseries by ``command``, and hears them; ``owner`` is told what they say."""

    def __init__(
        self, command: Sequence[str], sockets: Sockets, board: Board, poll: Poll, owner: Owner
    ) -> None:
        #: The last one of which was said that it serves.
        self.announced = 0
        self._command = command
        self._folder = logical_folder()
        self._sockets = sockets
        self._board = board
        self._poll = poll
        self._owner = owner
        self._last = 0
        #: Whether another one is to be loaded when the present one is done.
        self._is_due = False
        self._nurseries: dict[int, Nursery] = {}

    @property
    def is_loading(self) -> bool:
        """Whether a nursery is being loaded."""
        return any(nursery.stage is Stage.LOADING for nursery in self._nurseries.values())

    def look(self, now: float) -> None:
        """Say once of a generation that it takes long: a module may wait for ever while it is imported."""
        for nursery in self._nurseries.values():
            is_late = nursery.stage is Stage.LOADING and now - nursery.began >= _PATIENCE_SECONDS
            if is_late and not nursery.is_slow:
                nursery.is_slow = True
                _log.warn(
                    "the apps are still being loaded after {seconds:.0f} s",
                    seconds=now - nursery.began,
                )

    def link(self, generation: int) -> Link:
        """Return the line to the nursery of a generation that was not dropped."""
        return self._nurseries[generation].link

    def load(self) -> None:
        """Begin with a new generation: now, or when the one that is being loaded is done.

        One that has been loading for long may never be done; the new one takes its place.
        """
        loading = [nursery for nursery in self._nurseries.values() if nursery.stage is Stage.LOADING]
        self._is_due = any(monotonic() - nursery.began < _PATIENCE_SECONDS for nursery in loading)
        if self._is_due:
            return
        self.stop_loading()
        self._last += 1
        try:
            nursery = start_nursery(self._last, self._command, self._folder)
        except OSError as error:
            self._owner.refused(self._last, f"cannot start {self._command[0]}: {error.strerror}", EXIT_BROKEN)
            return
        self._nurseries[nursery.generation] = nursery
        self._poll.watch(nursery.link, lambda: self._hear(nursery))

    def stop_loading(self) -> None:
        """Let go of what is being loaded."""
        self._is_due = False
        for nursery in list(self._nurseries.values()):
            if nursery.stage is Stage.LOADING:
                self.drop(nursery.generation)

    def drop(self, generation: int) -> None:
        """Let go of a generation that has no workers."""
        nursery = self._nurseries.get(generation)
        if nursery is not None and nursery.stage is not Stage.RETIRED:
            nursery.stage = Stage.RETIRED
            self._kill(nursery)
            self._close_unused()

    def _kill(self, nursery: Nursery) -> None:
        self._close(nursery)
        with suppress(ProcessLookupError):
            os.kill(nursery.pid, signal.SIGKILL)

    def _close(self, nursery: Nursery) -> None:
        self._poll.unwatch(nursery.link)
        nursery.link.close()

    def _close_unused(self) -> None:
        """Close what is listened on for former generations, and for those that were refused."""
        self._sockets.keep(
            [
                opened
                for nursery in self._nurseries.values()
                if nursery.stage is not Stage.RETIRED and nursery.generation >= self.announced
                for opened in nursery.sockets
            ]
        )

    # -- what nurseries say --------------------------------------------------------------------------------

    def _hear(self, nursery: Nursery) -> None:
        try:
            message, _ = nursery.link.receive()
        except BlockingIOError:
            return
        except LinkClosedError:  # it ends, and will be reaped
            self._poll.unwatch(nursery.link)
            return
        self._take(nursery, message)

    def _hear_out(self, nursery: Nursery) -> None:
        """Take what a nursery said before it ended."""
        with suppress(BlockingIOError, LinkClosedError, OSError):
            while True:
                self._take(nursery, nursery.link.receive()[0])

    def _take(self, nursery: Nursery, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == FORKED:
            self._owner.forked(message["slot"], message["pid"])
        elif kind == GONE:
            self._owner.gone(message["slot"], nursery.generation, message["status"], message["reason"])
        elif nursery.stage is not Stage.LOADING:
            return
        elif kind == HELLO:
            give_sockets(nursery, message, self._sockets, self._board)
        elif kind == LOADED:
            self._loaded(nursery, message["failed"])
        elif kind == BROKEN:
            self._refuse(nursery, message["reason"], EXIT_CONFIG)

    def _loaded(self, nursery: Nursery, failed: Sequence[str]) -> None:
        if failed and self.announced:
            self._refuse(nursery, "\n".join(failed), EXIT_CONFIG)
            return
        nursery.stage = Stage.LOADED
        self._owner.loaded(nursery)
        self._load_if_due()

    def _refuse(self, nursery: Nursery, reason: str, status: int) -> None:
        self.drop(nursery.generation)
        self._owner.refused(nursery.generation, reason, status)
        self._load_if_due()

    def _load_if_due(self) -> None:
        if self._is_due:
            self.load()

    # -- the end of generations ----------------------------------------------------------------------------

    def announce(self, generation: int) -> Wishes:
        """Say where ``generation`` serves, all of it, and return its wishes.

        What only former ones served is closed.
        """
        nursery = self._nurseries[generation]
        self.announced = generation
        self._close_unused()
        for former in self._nurseries.values():
            if former.generation < generation:
                self._let_go(former)
        assert nursery.wishes is not None
        _log.info(
            "Skitai serves {name} on {urls} with {workers}",
            name=nursery.wishes.name,
            urls=", ".join(opened.url for opened in nursery.sockets),
            workers="1 worker" if nursery.wishes.processes == 1 else f"{nursery.wishes.processes} workers",
        )
        _log.info("Mounted: {mounts}", mounts=nursery.wishes.mounted)
        return nursery.wishes

    def ended(self, pid: int, reason: str) -> None:
        """Take note that a child of this process has ended, if it is a nursery."""
        for nursery in list(self._nurseries.values()):
            if nursery.pid != pid:
                continue
            self._hear_out(nursery)
            stage, nursery.stage = nursery.stage, Stage.RETIRED
            del self._nurseries[nursery.generation]
            self._close(nursery)
            if stage is Stage.LOADING:
                said = f"its process ended while it was loaded: {reason}"
                self._owner.refused(nursery.generation, said, EXIT_BROKEN)
                self._load_if_due()
            elif stage is Stage.LOADED:
                self._owner.lost(nursery.generation, reason)

    def stop_listening(self) -> None:
        """Let go of the sockets: when the last worker does so, too, new clients are refused at once."""
        self._sockets.close()
        for nursery in self._nurseries.values():
            self._let_go(nursery)

    def _let_go(self, nursery: Nursery) -> None:
        with suppress(LinkClosedError, BlockingIOError, OSError):
            nursery.link.send({"kind": CLOSE})

    def close(self) -> None:
        """End all nurseries, none of which has a worker, and listen no longer."""
        self._sockets.close()
        for nursery in self._nurseries.values():
            self._kill(nursery)
        for nursery in self._nurseries.values():
            with suppress(ChildProcessError):
                os.waitpid(nursery.pid, 0)
