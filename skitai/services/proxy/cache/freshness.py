"""How old a reply is, and how long it is fresh (RFC 9111, section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import attrs

from skitai.http.cachecontrol import Directives, delta_seconds
from skitai.http.ranges import http_date
from skitai.services.proxy.cache.settings import Settings

#: The share of the time since the last change for which a reply is taken to be fresh (section 4.2.2).
_HEURISTIC_SHARE = 0.1
#: RFC 9110, section 15.1.
_HEURISTIC_CODES = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))
#: What may be answered with an old reply instead (RFC 5861, section 4).
ERRORS = frozenset(
    (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    )
)


@attrs.frozen
class Freshness:
    """When a reply was new, in seconds since the epoch, and for how many seconds it is fresh.

    ``while_revalidate`` and ``if_error`` are the seconds after that in which it may still be used. ``stale``
    says whether a client may be given it stale because it asks for that. ``public`` is the directive.
    """

    born: float
    lifetime: float
    while_revalidate: float
    if_error: float
    stale: bool
    public: bool

    @classmethod
    def of(
        cls,
        code: int,
        values: Mapping[str, str],
        directives: Directives,
        settings: Settings,
        *,
        asked: float,
        now: float,
        has_query: bool,
    ) -> Freshness:
        """Return that of a reply: ``values`` are its fields by name, in lower case.

        ``directives`` are those of its Cache-Control. It was ``asked`` for and came ``now``, both in seconds
        since the epoch. A heuristic is used for targets without a query only, as caches always have (section
        4.2.2).
        """
        date = http_date(values.get("date", "").encode("latin-1"))
        apparent = 0.0 if date is None else max(0.0, now - date)
        first = values.get("age", "").partition(",")[0]  # of several (section 5.1)
        told = delta_seconds(first.strip()) or 0
        born = now - max(apparent, told + (now - asked))
        heuristic = (
            settings.heuristic_max
            if not has_query and (code in _HEURISTIC_CODES or "public" in directives)
            else 0.0
        )
        strict = not directives.keys().isdisjoint(("no-cache", "must-revalidate", "proxy-revalidate"))
        # A shared lifetime forbids all but what the same reply allows by name, as every CDN reads it.
        shared = "s-maxage" in directives

        def stale_for(name: str, default: float) -> float:
            seconds = directives.get(name)
            if strict or (seconds is None and shared):
                return 0.0
            return default if seconds is None else float(seconds)

        return cls(
            born=born,
            lifetime=_lifetime(directives, values, date, now, heuristic),
            while_revalidate=stale_for("stale-while-revalidate", settings.stale_while_revalidate),
            if_error=stale_for("stale-if-error", settings.stale_if_error),
            stale=not strict and not shared,
            public="public" in directives,
        )


def _lifetime(
    directives: Directives, values: Mapping[str, str], date: int | None, now: float, heuristic: float
) -> float:
    if "no-cache" in directives:
        return 0.0
    for name in ("s-maxage", "max-age"):
        seconds = directives.get(name)
        if seconds is not None:
            return float(seconds)
    if "expires" in values:
        expires = http_date(values["expires"].encode("latin-1"))
        return 0.0 if expires is None else max(0.0, expires - (now if date is None else date))
    modified = http_date(values.get("last-modified", "").encode("latin-1"))
    if modified is None or not heuristic:
        return 0.0
    return min(heuristic, max(0.0, ((now if date is None else date) - modified) * _HEURISTIC_SHARE))
