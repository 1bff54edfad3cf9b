"""What goes with a request to the members: it stores what comes back, and knows what may stand for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from wsgiref.handlers import format_date_time

import attrs

from skitai.http.cachecontrol import Directives, cache_directives
from skitai.http.references import resolve
from skitai.services.proxy.cache.entry import LOOKUP, Entry, selecting_values, varying_names
from skitai.services.proxy.cache.freshness import ERRORS, Freshness
from skitai.services.proxy.cache.policy import freshened_fields, joined, storable_fields
from skitai.services.proxy.cache.recording import Recording
from skitai.services.proxy.cache.wants import Wants, whole_request

if TYPE_CHECKING:
    from skitai.services.http.result import HTTPResult
    from skitai.services.proxy.cache.disk import Spool
    from skitai.services.proxy.cache.flight import Flight
    from skitai.services.proxy.cache.memory import Key
    from skitai.services.proxy.cache.mount import MountCache
    from skitai.services.proxy.seam import Copy, Fields

#: Replies that are not the whole one.
_PARTIAL = frozenset((206, 304))
#: Errors after which there is nothing any more.
_OUTDATING = frozenset((404, 410))


class Passing:
    """Goes with a request that has nothing to do with what is stored."""

    def __init__(self, request: Any) -> None:
        self.headers: Sequence[tuple[bytes, bytes]] = request.headers

    def instead(self, code: int, fields: Fields) -> None:
        """Return None: each reply is passed on."""

    def passed(self, reply: HTTPResult, fields: Fields) -> tuple[Fields, Copy | None]:  # noqa: ARG002 - seam
        """Say that the cache was not asked."""
        return marked(fields, "PASSED"), None

    def failed(self, error: BaseException) -> None:
        """Return None: the error page is right."""

    def left(self) -> None:
        """Do nothing."""


class Changing(Passing):
    """Goes with a request that may change things: what is stored of its target is outdated then.

    So is what Location and Content-Location name on the same host (RFC 9111, section 4.4).
    """

    def __init__(self, mount: MountCache, request: Any, key: Key) -> None:
        super().__init__(request)
        self._mount = mount
        self._key = key

    def passed(self, reply: HTTPResult, fields: Fields) -> tuple[Fields, Copy | None]:
        """Forget what the request may have changed, unless it has failed."""
        if 200 <= reply.code < 400:
            _, host, target = self._key
            targets = {target}
            for name, value in fields:
                if name.lower() in ("location", "content-location"):
                    targets.update(_same_host(host, target, value))
            self._mount.keeper.forget((host, each) for each in targets)
        return super().passed(reply, fields)


def _same_host(host: bytes, target: bytes, reference: str) -> Sequence[bytes]:
    """Return the target that ``reference`` names, if it is on the same host."""
    name = host.decode("latin-1")
    try:
        parts = urlsplit(resolve(f"http://{name}{target.decode('latin-1')}", reference))
    except ValueError:
        return ()
    if parts.scheme not in ("http", "https") or parts.netloc != name:
        return ()
    query = f"?{parts.query}" if parts.query else ""
    return (f"{parts.path or '/'}{query}".encode("latin-1", "replace"),)


class Visit:
    """Goes with a GET or HEAD for which nothing stored is fresh.

    ``entry`` is a stored reply that is stale, or None. If it has a validator, members are asked whether it
    still holds. ``flight`` are those who wait for the reply, if it may be for others, too.
    """

    def __init__(
        self,
        mount: MountCache,
        request: Any,
        key: Key,
        wants: Wants,
        entry: Entry | None,
        flight: Flight | None,
    ) -> None:
        #: Whether what is on its way is older than what is known.
        self.outdated = False
        #: Whether what is served may be served to those who wait.
        self._is_shared = True
        self._mount = mount
        self._request = request
        self._key = key
        self._wants = wants
        self._entry = entry
        self._flight = flight
        self._asked = mount.wall_clock()
        etag = modified = ""
        if entry is not None:
            etag, modified = entry.value("etag"), entry.value("last-modified")
        self._validates = bool(etag or modified)
        self.headers = whole_request(request.headers, etag, modified) if entry else request.headers
        mount.store.begin(key, self)

    # -- what stands for a reply ---------------------------------------------------------------------------

    def instead(self, code: int, fields: Fields) -> Callable[[], object] | None:
        """Use the stored reply after a 304, or in the place of an error that may be hidden."""
        entry = self._entry
        if code == 304 and entry is not None and self._validates:
            kept = freshened_fields(entry.code, entry.fields, fields)
            if kept is None:  # it is about something else: ask for the whole
                self._mount.store.drop((self._key,))
                self._end(alone=True)
                return partial(self._mount.ask_anew, self._request, self._key, self._wants)
            entry = self._confirmed(entry, kept, joined(fields))
            return partial(self._serve, entry, "REVALIDATED")
        if code in ERRORS:
            return self._instead_of_error()
        return None

    def failed(self, error: BaseException) -> Callable[[], object] | None:  # noqa: ARG002 - of the seam
        """Use the stored reply if it may stand for an error; those who wait try by themselves."""
        answer = self._instead_of_error()
        if answer is None:
            self._end(alone=True)
        return answer

    def left(self) -> None:
        """Let somebody else ask."""
        self._end()

    def _instead_of_error(self) -> Callable[[], object] | None:
        entry, now = self._entry, self._mount.wall_clock()
        if entry is None or self._wants.fresh_only or now >= entry.fresh_until + entry.freshness.if_error:
            return None
        return partial(self._serve, entry, "STALE")

    def _confirmed(self, entry: Entry, kept: Fields, told: dict[str, str]) -> Entry:
        now = self._mount.wall_clock()
        if "date" not in told:
            kept = [pair for pair in kept if pair[0].lower() != "date"]
            kept.append(("Date", format_date_time(now)))
        values = joined(kept)
        if "age" in told:
            values["age"] = told["age"]
        directives = cache_directives(values.get("cache-control", ""))
        freshness = self._freshness(entry.code, values, directives, now)
        vary = varying_names(values)
        selected = selecting_values(vary, self._request)
        entry = attrs.evolve(entry, fields=tuple(kept), freshness=freshness, vary=vary, selected=selected)
        if storable_fields(entry.code, kept, values, directives, private=self._wants.private) is None:
            self._mount.store.drop((self._key,))
            self._is_shared = False
        elif not self.outdated:  # else it is good for this once
            self._mount.store.put(self._key, entry)
        return entry

    def _serve(self, entry: Entry, lookup: str) -> None:
        """Answer with ``entry``, the client and those who wait."""
        self._entry = None  # it is closed by whoever serves it
        is_shared = self._is_shared and entry.file is None
        self._mount.serve(self._request, entry, self._wants, lookup)
        self._end(alone=True, served=(entry, lookup) if is_shared else None)

    # -- a reply that is passed on -------------------------------------------------------------------------

    def passed(self, reply: HTTPResult, fields: Fields) -> tuple[Fields, Copy | None]:
        """Store the reply while it goes to the client, if it may be stored and is not too long."""
        self._mount.count(self._request, "MISS")
        copy = self._copy_of(reply, fields)
        if copy is None:
            self._note_unstored(reply.code)
            self._end(alone=True)
        return marked(fields, "MISS"), copy

    def _note_unstored(self, code: int) -> None:
        """Forget what is stored, if the members say something else now that is not for keeping."""
        is_whole = self._request.method == b"GET" and code not in _PARTIAL
        if is_whole and not self._wants.private and (code < 400 or code in _OUTDATING):
            self._mount.store.drop((self._key,))
            self._mount.remember_unstored(self._key)

    def _copy_of(self, reply: HTTPResult, fields: Fields) -> Recording | None:
        if self.outdated or self._request.method != b"GET" or reply.code in _PARTIAL:
            return None
        values = joined(fields)
        directives = cache_directives(values.get("cache-control", ""))
        kept = storable_fields(reply.code, fields, values, directives, private=self._wants.private)
        length = _length_of(reply)
        if kept is None or length is None or length > self._mount.store.settings.object_max:
            return None
        now = self._mount.wall_clock()
        if "date" not in values:
            kept.append(("Date", format_date_time(now)))
        freshness = self._freshness(reply.code, values, directives, now)
        if not freshness.lifetime and values.keys().isdisjoint(("etag", "last-modified")):
            return None  # it would be asked for each time
        vary = varying_names(values)
        entry = Entry(
            way=self._mount.name,
            code=reply.code,
            reason=reply.msg,
            fields=tuple(kept),
            vary=vary,
            selected=selecting_values(vary, self._request),
            freshness=freshness,
            length=0,
        )
        return Recording(self, entry, self._mount.store)

    def _freshness(self, code: int, values: dict[str, str], directives: Directives, now: float) -> Freshness:
        return Freshness.of(
            code,
            values,
            directives,
            self._mount.store.settings,
            asked=self._asked,
            now=now,
            has_query=b"?" in self._key[2],
        )

    def recorded(self, entry: Entry | None, spool: Spool | None) -> None:
        """Store a reply that is complete; None: it is not, or cannot be stored."""
        if entry is None or self.outdated:
            if spool is not None:
                spool.drop()
            self._end(alone=entry is not None)
            return
        self._mount.store.put(self._key, entry, spool)
        self._mount.remember_stored(self._key)
        self._end(alone=True)

    def too_long(self) -> None:
        """Let those who wait ask by themselves: the reply is passed on only, and what is stored is older."""
        self._mount.store.drop((self._key,))
        self._mount.remember_unstored(self._key)
        self._end(alone=True)

    def _end(self, *, alone: bool = False, served: tuple[Entry, str] | None = None) -> None:
        self._mount.store.end(self._key, self)
        if self._entry is not None:
            self._entry.close()
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.land(alone=alone, served=served)


def marked(fields: Fields, lookup: str) -> Fields:
    """Return the fields with what the cache says of itself."""
    return [*(pair for pair in fields if pair[0].lower() != LOOKUP.lower()), (LOOKUP, lookup)]


def _length_of(reply: HTTPResult) -> int | None:
    """Return the length that a reply has at least; None if its end is that of the connection.

    Nobody could tell whether such a one is complete (RFC 9111, section 3.3).
    """
    if reply.code == 204:
        return 0
    if reply.get_header("transfer-encoding") is not None:
        return 0
    length = reply.get_header("content-length")
    return int(length) if length is not None and length.isascii() and length.isdigit() else None
