"""The order in which apps are loaded."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.context import Was

#: What a load is: where apps run, it gets a ``was`` of its own.
Load = Callable[["Was"], Any]

#: Seconds that a load has to itself. A module that takes longer, or blocks, holds up its own directory only.
_ALONE_SECONDS = 1.0


class LoadQueue:
    """Has apps loaded one after the other, in the order in which they were added.

    The import system is one for all apps: as long as they are loaded in order, it is the same each time which
    of two modules of one name is the public one, and a module that waits for ``was`` is not seen half done.
    A load that goes on for longer than a second lets those of other directories begin. ``run`` calls a
    function where apps run (``IInstance.run``), ``call_later`` is the reactor's. All methods are called in
    the reactor thread.
    """

    def __init__(
        self,
        run: Callable[[Load], Deferred[Any]],
        call_later: Callable[[float, Callable[[], None]], IDelayedCall],
    ) -> None:
        self._run = run
        self._call_later = call_later
        self._waiting: list[_Entry] = []
        #: The directories of what is being loaded.
        self._busy: set[Hashable] = set()
        #: What is being loaded and has its time to itself.
        self._alone: _Entry | None = None

    def add(self, directory: Hashable, load: Load) -> Deferred[Any]:
        """Have ``load`` run in its turn; return a Deferred of what it returns.

        Two loads of one ``directory`` are never under way together.
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

        maybeDeferred(self._run, entry.load).addBoth(end).chainDeferred(entry.loaded)

    def _make_way(self, entry: _Entry) -> None:
        if self._alone is entry:
            self._alone = None
        self._begin_next()


@attrs.frozen(eq=False)
class _Entry:
    """A load that waits or is under way."""

    directory: Hashable
    load: Load
    loaded: Deferred[Any] = attrs.field(factory=Deferred)
