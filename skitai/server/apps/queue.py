"""The order in which apps are loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall


#: Begins to load an app, and returns a Deferred that fires when that is over.
Load = Callable[[], "Deferred[Any]"]

#: Seconds that a load runs alone. If it takes longer, or blocks, it only delays its own directory.
_ALONE_SECONDS = 1.0


class LoadQueue:
    """Loads apps one after the other, in the order in which they were added.

    All apps share the import system. The order decides which of two modules with one name is the public one,
    so it must be the same at each start. And no app sees a module half loaded that waits for ``was``. After a
    second, a load lets those of other directories begin. ``call_later`` is the reactor's. All methods are
    called in the reactor thread.
    """

    def __init__(self, call_later: Callable[[float, Callable[[], None]], IDelayedCall]) -> None:
        self._call_later = call_later
        self._waiting: list[_Entry] = []
        #: The directories of the loads under way.
        self._busy: set[Hashable] = set()
        #: The load that runs alone at the moment.
        self._alone: _Entry | None = None

    def add(self, directory: Hashable, load: Load) -> Deferred[Any]:
        """Call ``load`` in its turn. Return a Deferred that fires with its outcome.

        Two loads in one ``directory`` never run at the same time.
        """
        entry = _Entry(directory, load)
        self._waiting.append(entry)
        self._begin_next()
        return entry.loaded

    def _begin_next(self) -> None:
        if self._alone is not None:
            return
        for entry in self._waiting:
            if entry.directory not in self._busy:
                self._waiting.remove(entry)
                self._begin(entry)
                return

    def _begin(self, entry: _Entry) -> None:
        self._alone = entry
        self._busy.add(entry.directory)
        timer = self._call_later(_ALONE_SECONDS, lambda: self._make_way(entry))

        def end(outcome: Any) -> Any:
            if timer.active():
                timer.cancel()
            self._busy.discard(entry.directory)
            self._make_way(entry)
            return outcome

        maybeDeferred(entry.load).addBoth(end).chainDeferred(entry.loaded)

    def _make_way(self, entry: _Entry) -> None:
        if self._alone is entry:
            self._alone = None
        self._begin_next()


@attrs.frozen(eq=False)
class _Entry:
    """A load that is waiting or under way."""

    directory: Hashable
    load: Load
    loaded: Deferred[Any] = attrs.field(factory=Deferred)
