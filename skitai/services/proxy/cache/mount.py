"""The cache of one mount: what is answered from it, and what is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skitai.net.trust import TrustedProxies
from skitai.services.proxy.cache.entry import Entry, selecting_values
from skitai.services.proxy.cache.errand import Errand
from skitai.services.proxy.cache.flight import Flight
from skitai.services.proxy.cache.serving import serve
from skitai.services.proxy.cache.store import IN_MEMORY
from skitai.services.proxy.cache.visit import Changing, Passing, Visit
from skitai.services.proxy.cache.wants import NOTHING, PLAIN_CONNECTION, TOLD, Wants
from skitai.services.proxy.fields import FOR_OTHERS
from skitai.services.proxy.message import origin_form

if TYPE_CHECKING:
    from skitai.services.proxy.cache.keeper import Keeper
    from skitai.services.proxy.cache.memory import Key
    from skitai.services.proxy.cache.store import Store
    from skitai.services.proxy.seam import Follower

_READING = (b"GET", b"HEAD")
#: Methods that change nothing (RFC 9110, section 9.2.1).
_SAFE = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
PURGE = b"PURGE"
#: Targets whose replies could not be stored are remembered so many, and for so many seconds: nobody waits for
#: the reply to another request of them.
_UNSTORED_MAX, _UNSTORED_SECONDS = 4096, 120.0
_DETAIL = "The request says only-if-cached, and nothing fresh is stored."


class MountCache:
    """Answers requests of the mount ``name`` from ``store``, or goes with them to the members.

    ``wall_clock`` gives seconds since the epoch, ``call_later`` is that of the reactor. All methods are
    called in the reactor thread.
    """

    ask: Callable[[Any, Follower], object]

    def __init__(
        self,
        name: str,
        store: Store,
        keeper: Keeper,
        wall_clock: Callable[[], float],
        call_later: Callable[..., Any],
    ) -> None:
        self.name = name
        self.store = store
        self.keeper = keeper
        self.wall_clock = wall_clock
        self.call_later = call_later
        self.wait_max = store.settings.wait_max
        #: Requests by how they were answered, as X-Cache-Lookup says it.
        self.counts: Counter[str] = Counter()
        self._memory = store.memory
        self._purgers = TrustedProxies(store.settings.purge_clients)
        self._flights: dict[Key, Flight] = {}
        self._unstored: dict[Key, float] = {}

    # -- requests ------------------------------------------------------------------------------------------

    def take(self, request: Any) -> None:
        """Answer ``request``, or have the members asked."""
        method, uri = request.method, request.uri
        if method not in _READING or request.body_length != 0 or not uri.startswith(b"/"):
            self._take_other(request)
            return
        wants = NOTHING
        for name, value in request.headers:
            if name in TOLD and (name != b"connection" or value.lower() not in PLAIN_CONNECTION):
                wants = Wants(request.headers)
                break
        key = (request.connection.secure, request.authority, uri)
        if wants is NOTHING:  # the short way, which most requests for the same go
            found = self._memory.get(key)
            if found is not None:
                entry, now = found[0], self.wall_clock()
                if now < entry.fresh_until and not entry.vary and entry.way == self.name:
                    self._memory.used(key)
                    self.counts[IN_MEMORY] += 1
                    assert entry.body is not None
                    request.respond(entry.status, entry.fields_at(now, IN_MEMORY), entry.body)
                    return
        self._look(request, key, wants, alone=False)

    def follow(self, request: Any) -> Follower:
        """Return what goes with a request that is no plain GET or HEAD."""
        self.count(request, "PASSED")
        if request.method in _SAFE:
            return Passing(request)
        return Changing(self, request, (request.connection.secure, request.authority, origin_form(request)))

    def _take_other(self, request: Any) -> None:
        if request.method == PURGE and self._purgers:
            self._purge(request)
        else:
            self.ask(request, self.follow(request))

    def _purge(self, request: Any) -> None:
        is_known = self._purgers.trusts(request.connection.client)
        # Who comes through a proxy that is not trusted is nobody we know.
        came_over_others = request.connection.client == request.connection.peer and any(
            name in FOR_OTHERS for name, _ in request.headers
        )
        if not is_known or came_over_others:
            request.fail(403, detail="Who may use PURGE stands in purge_clients in [cache].")
            return
        self.count(request, "PURGE")
        target = origin_form(request)
        self.keeper.forget([(request.authority, target)])
        # Nobody knows whether some worker has it. Who has mistaken the host or the query sees it here.
        body = b"Purged %b%b\n" % (request.authority, target)
        request.respond("200 OK", [("Content-Type", "text/plain")], body)

    # -- what is stored ------------------------------------------------------------------------------------

    def _look(self, request: Any, key: Key, wants: Wants, *, alone: bool) -> None:
        """Answer from what is stored, or ask; with ``alone`` without waiting for another request."""
        if wants.passes or b"@" in request.authority:
            self.count(request, "PASSED")
            self.ask(request, Passing(request))
            return
        now = self.wall_clock()
        entry, where = self.store.find(key, self.name, request, now, private=wants.private)
        if entry is not None:
            if _may_serve(entry, wants, now):
                self.serve(request, entry, wants, where if now < entry.fresh_until else "STALE")
                return
            if _may_serve_meanwhile(entry, wants, now):
                self._refresh(request, key, wants)
                self.serve(request, entry, wants, "STALE")
                return
        if "only-if-cached" in wants.directives:
            if entry is not None:
                entry.close()
            request.fail(504, detail=_DETAIL)
            return
        self._ask(request, key, wants, entry, alone=alone)

    def _ask(self, request: Any, key: Key, wants: Wants, entry: Entry | None, *, alone: bool) -> None:
        flight = None
        may_share = not alone and not wants.fresh_only and (entry is not None or not wants.private)
        if may_share and not self._is_unstored(key):
            flight = self._flights.get(key)
            if flight is not None:
                if entry is not None:
                    entry.close()
                flight.join(request, wants)
                return
            is_whole = entry is not None or not (wants.conditional or wants.partial)
            if request.method == b"GET" and is_whole:
                flight = self._flights[key] = Flight(self, key)
        self.ask(request, Visit(self, request, key, wants, entry, flight))

    def _refresh(self, request: Any, key: Key, wants: Wants) -> None:
        """Have a stored reply brought up to date, unless somebody is at it: nobody waits for that."""
        if key not in self._flights:
            errand = Errand(request)
            entry, _ = self.store.find(key, self.name, request, self.wall_clock(), private=wants.private)
            flight = self._flights[key] = Flight(self, key)
            self.ask(errand, Visit(self, errand, key, wants, entry, flight))

    def serve(self, request: Any, entry: Entry, wants: Wants, lookup: str) -> None:
        """Respond with a stored reply."""
        self.count(request, lookup)
        if request.gone or isinstance(request, Errand):
            entry.close()
        else:
            serve(request, entry, wants, self.wall_clock(), lookup)

    def go_on(
        self, request: Any, key: Key, wants: Wants, *, alone: bool, served: tuple[Entry, str] | None
    ) -> None:
        """Answer a request that has waited."""
        if served is not None:
            entry, lookup = served
            is_meant = entry.selected == selecting_values(entry.vary, request)
            if is_meant and (entry.public or not wants.private):
                self.serve(request, entry, wants, lookup)
                return
        self._look(request, key, wants, alone=alone)

    def ask_anew(self, request: Any, key: Key, wants: Wants) -> None:
        """Ask for the whole reply: what was stored is of no use."""
        self.ask(request, Visit(self, request, key, wants, None, None))

    # -- what is remembered --------------------------------------------------------------------------------

    def count(self, request: Any, lookup: str) -> None:
        """Count a client's request by how it was answered."""
        if not isinstance(request, Errand):
            self.counts[lookup] += 1

    def end_flight(self, key: Key, flight: Flight) -> None:
        """Forget a flight, for which nobody waits any more."""
        if self._flights.get(key) is flight:
            del self._flights[key]

    def remember_unstored(self, key: Key) -> None:
        """Remember that the reply could not be stored."""
        if len(self._unstored) >= _UNSTORED_MAX:
            self._unstored.clear()
        self._unstored[key] = self.wall_clock() + _UNSTORED_SECONDS

    def remember_stored(self, key: Key) -> None:
        """Undo ``remember_unstored``."""
        self._unstored.pop(key, None)

    def _is_unstored(self, key: Key) -> bool:
        until = self._unstored.get(key)
        if until is None:
            return False
        if until > self.wall_clock():
            return True
        del self._unstored[key]
        return False


def _may_serve(entry: Entry, wants: Wants, now: float) -> bool:
    """Whether a stored reply answers a request as it is (RFC 9111, sections 4 and 5.2.1)."""
    told = wants.directives
    if not told:
        return now < entry.fresh_until
    if wants.fresh_only:
        return False
    max_age = told.get("max-age")
    if max_age is not None and now - entry.born > max_age:
        return False
    ends = entry.fresh_until - (told.get("min-fresh") or 0)
    if entry.freshness.stale:
        ends += told.get("max-stale") or 0
    return now < ends


def _may_serve_meanwhile(entry: Entry, wants: Wants, now: float) -> bool:
    """Whether a stale reply may be used while it is validated (RFC 5861, section 3)."""
    asks_for_more = not wants.directives.keys().isdisjoint(("no-cache", "max-age", "min-fresh"))
    return not asks_for_more and now < entry.fresh_until + entry.freshness.while_revalidate
