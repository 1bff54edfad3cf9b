"""A room in which somebody of this process is: its members, and what the bus brings for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import time
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.errors import CODE_CLOSED, OperationError
from skitai.interfaces import IBusSubscriber
from skitai.messaging import Position, Published, Recent
from skitai.services.rooms.catchup import caught_up, start_of
from skitai.services.rooms.fanout import Line
from skitai.services.rooms.messages import Notice, Outgoing, OutgoingMessage, has_reached, position_of

if TYPE_CHECKING:
    from skitai.services.rooms.house import House
    from skitai.services.rooms.members import Member, Owner

_log = Logger()


@implementer(IBusSubscriber)
class LiveRoom:
    """One room of ``house``. All of it: reactor thread."""

    def __init__(self, house: House, name: str) -> None:
        self._house = house
        self._bus = house.bus
        self._channel = house.channel(name)
        self.name = name
        self._members: dict[Owner, Member] = {}
        #: Those that read the history. Dicts stand for ordered sets.
        self._reading: dict[Member, None] = {}
        #: The others; None: somebody has come or gone.
        self._audience: tuple[Member, ...] | None = None
        self._line = Line(self._recover)
        self._subscribed = False
        #: Where the members are: None before the first message that has a position. And where the first of
        #: them began that knows its own.
        self._position: Position | None = None
        self._beginning: Position | None = None
        #: What came while the room reads what it may have missed; None: it does not.
        self._held: list[Published] | None = None
        self._lost_again = False

    def __len__(self) -> int:
        return len(self._members)

    # -- coming and going ----------------------------------------------------------------------------------

    async def join(self, member: Member, last: str | None, data: bytes | None) -> None:
        """Let ``member`` in, with the history after ``last`` and with ``data`` for the presence.

        An owner that is in already gets other data only, unless it has a ``last``. Raises OperationError if
        the bus cannot be reached; then the member is in, and gets what this process sends.
        """
        present = self._members.get(member.owner)
        steps: list[Callable[[], Awaitable[None]]] = []
        if present is not None and last is None:
            member = present
        else:
            self._let_in(member, present)
            steps.append(self._subscribe)
            if last is not None:
                steps.append(partial(self._read_history, member, last))
        if data is not None:
            steps.append(partial(self._enter, member, data))
        failures = []
        for step in steps:
            try:
                await step()
            except OperationError as error:
                failures.append(error)
            except CancelledError:
                self.remove(member)
                raise
        if failures:
            raise failures[0]
        if not member.active:
            raise OperationError("it left before it had joined", code=CODE_CLOSED)

    def _let_in(self, member: Member, present: Member | None) -> None:
        member.came = time()
        if present is not None:  # it begins anew, and nobody sees it go
            member.came, member.presence = present.came, present.presence
            self._take_out(present)
        self._members[member.owner] = member
        if member.follows:
            member.backlog = deque()
            self._reading[member] = None
        self._audience = None
        member.owner.at_close(self, partial(self.remove, member))

    def _take_out(self, member: Member) -> None:
        member.active = False
        del self._members[member.owner]
        self._reading.pop(member, None)
        self._audience = None

    def remove(self, member: Member) -> Deferred[None] | None:
        """Have ``member`` leave; return what fires when the bus knows it, None if it need not."""
        if not member.active:
            return None
        self._take_out(member)
        member.owner.not_at_close(self)
        left = None
        if member.presence is not None:
            left = self._bus.leave(self._channel, member.presence)
            left.addErrback(_pass_over)
        if not self._members:
            self._bus.unsubscribe(self._channel, self)
            self._house.forget(self)
        return left

    def __contains__(self, owner: Owner) -> bool:
        return owner in self._members

    def leave(self, owner: Owner) -> Deferred[None] | None:
        """Have ``owner`` leave, if it is here; see ``remove``."""
        member = self._members.get(owner)
        return None if member is None else self.remove(member)

    async def _subscribe(self) -> None:
        # Each that joins asks for itself: to subscribe twice is to subscribe once.
        if not self._subscribed:
            await self._bus.subscribe(self._channel, self)
            self._subscribed = True

    async def _enter(self, member: Member, data: bytes) -> None:
        if member.active:
            if member.presence is None:
                member.presence = self._house.new_presence()
            # With the time, so that those who are there have an order.
            await self._bus.enter(self._channel, member.presence, b"[%.3f,%s]" % (member.came, data))

    # -- the history of one who comes ----------------------------------------------------------------------

    async def _read_history(self, member: Member, last: str) -> None:
        """Have ``member`` get what came after ``last``; after the subscribing, so that nothing is lost."""
        since = position_of(last)
        try:
            recent = await self._recent(since)
        except OperationError:
            self._welcome(member, [Notice(None, missed=since is not None)])
            raise
        if self._house.settings.history:
            member.floor = recent.position
            self._beginning = self._beginning or recent.position
        history = map(OutgoingMessage, recent.messages)
        self._welcome(member, [Notice(start_of(recent), missed=not recent.complete), *history])

    async def _recent(self, since: Position | None) -> Recent:
        recent = await self._bus.recent(self._channel, since)
        if since is not None and not self._house.settings.history:
            return attrs.evolve(recent, complete=False)  # messages have no positions, so nobody knows
        return recent

    def _welcome(self, member: Member, history: Iterable[Outgoing]) -> None:
        Deferred.fromCoroutine(self._catch_up(member, deque(history))).addErrback(_log_failure)

    async def _catch_up(self, member: Member, history: deque[Outgoing]) -> None:
        if await caught_up(member, history, self._house.bridge):
            member.backlog = None
            self._reading.pop(member, None)
            self._audience = None

    # -- what the bus brings -------------------------------------------------------------------------------

    def published(self, message: Published) -> None:
        """Take a message from the bus."""
        if self._held is None and self._is_gap(message.position):
            self._recover()
        if self._held is None:
            self._take(message)
        else:
            self._held.append(message)

    def interrupted(self, channel: str) -> None:  # noqa: ARG002 - it has one
        """Note that messages may have been missed."""
        self._recover()

    def _is_gap(self, position: Position | None) -> bool:
        """Whether something is missing before ``position``."""
        here = self._position
        if here is None or position is None or self._line.is_full:
            return False
        return position.epoch != here.epoch or position.offset > here.offset + 1

    def _take(self, message: Published) -> None:
        """Give ``message`` to the members, unless they have it."""
        # If they cannot be served so fast, what they miss is read when they have the rest.
        if self._line.is_full or has_reached(self._position, message.position):
            return
        self._position = message.position or self._position
        self._give(OutgoingMessage(message))
        self._house.messages += 1

    def _give(self, outgoing: Outgoing) -> None:
        for member in self._reading:
            assert member.backlog is not None
            member.backlog.append(outgoing)
        if self._audience is None:
            self._audience = tuple(member for member in self._members.values() if member.backlog is None)
        self._house.fanout.add(self._line, outgoing, self._audience)

    # -- what was missed -----------------------------------------------------------------------------------

    def _recover(self) -> None:
        """Read what was missed, and hold what comes meanwhile."""
        if self._held is not None:
            self._lost_again = True
            return
        self._held = []
        Deferred.fromCoroutine(self._read_missed()).addErrback(_log_failure)

    async def _read_missed(self) -> None:
        since = self._position or self._beginning
        while True:
            self._lost_again = False
            try:
                recent = await self._recent(since)
            except OperationError:  # the bus is lost once more; when it is back, it says so
                recent = None
            if not self._lost_again:
                break
        held, self._held = self._held or [], None
        if recent is None or since is None:
            self._give(Notice(None if recent is None else recent.position, missed=True))
        else:
            self._position = start_of(recent)
            self._give(Notice(self._position, missed=not recent.complete))
            held[:0] = recent.messages
        for message in held:
            self._take(message)


def _pass_over(failure: Failure) -> None:
    failure.trap(OperationError)  # type: ignore[no-untyped-call]  # without a bus it disappears by itself, soon


def _log_failure(failure: Failure) -> None:
    _log.failure("a room failed", failure, level=LogLevel.error)
