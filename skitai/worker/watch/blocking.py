"""When code counts as blocking: the reactor has no turn, and is in one and the same call all the time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from skitai.loop.epolling import ShortReactor

#: Places that are remembered. Code that is made at run time may have any number of them.
_PLACES_MAX = 512


class Places:
    """The places of which something was said: it is said once."""

    def __init__(self) -> None:
        self._said: set[Hashable] = set()

    def is_new(self, place: Hashable) -> bool:
        """Return whether ``place`` is asked for the first time."""
        if place in self._said:
            return False
        if len(self._said) >= _PLACES_MAX:
            self._said.clear()
        self._said.add(place)
        return True


#: The unit of a reactor that nothing holds.
_FREE = object()


@attrs.define
class Hold:
    """Tells a call that holds the reactor from many short ones, by looking again and again.

    A turn of the reactor may be long because it serves many requests. So the time counts that it has been in
    one ``unit``: in one request, or outside of requests in one place, without the end of its turn.
    """

    unit: Hashable = _FREE
    since: float = 0.0
    #: Whether something was said of this hold.
    is_said: bool = False

    def look(self, unit: Hashable, now: float) -> float:
        """Return for how many seconds the reactor has been in ``unit``, as far as was seen until ``now``."""
        if unit != self.unit:
            self.unit, self.since, self.is_said = unit, now, False
        return now - self.since

    def end(self) -> None:
        """Take note that the reactor has had a turn, or waits for something to do."""
        self.unit = _FREE


class Question:
    """What ``reactor`` is asked to see whether it has a turn: it answers in the next one."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        #: Whether it was asked, and has not answered.
        self.is_open = False

    def ask(self) -> None:
        """Ask. Called in any thread."""
        self.is_open = True
        self._reactor.callFromThread(self._answer)

    def _answer(self) -> None:
        self.is_open = False


class SilentQuestion:
    """The same to a ``reactor`` that counts how often it has waited: it need not be woken to answer."""

    def __init__(self, reactor: ShortReactor) -> None:
        self._reactor = reactor
        self._asked_at = -1

    @property
    def is_open(self) -> bool:
        """Whether it is still in the turn in which it was asked."""
        return self._asked_at == self._reactor.waits and not self._reactor.is_waiting

    def ask(self) -> None:
        """Ask. Called in any thread."""
        self._asked_at = self._reactor.waits
