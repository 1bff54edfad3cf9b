"""What may be stored, and what a 304 changes: hishel decides (RFC 9111, sections 3 and 4.3.4).

On top of that come the rules of our own: cookies that a reply sets are never stored, and the reply to a
request that names a user only if it says ``public``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from uuid import uuid4

from hishel import (
    CacheMiss,
    CacheOptions,
    Entry,
    Headers,
    NeedRevalidation,
    NeedToBeUpdated,
    Request,
    Response,
    StoreAndUse,
)
from twisted.logger import Logger

from skitai.http.cachecontrol import Directives
from skitai.http.fields import split_list

_log = Logger()
_OPTIONS = CacheOptions(shared=True, supported_methods=["GET"], allow_stale=False)
#: What is said anew each time a stored reply is sent.
_COMPUTED = frozenset(("age", "content-length", "x-cache-lookup"))
_URL = "http://stored/"
#: These are about one client (RFC 6585).
_NEVER_STORED = frozenset((428, 429, 431, 511))
#: What the proxy tells members of one client, which has not said it: no other request shows whether it would
#: get the same.
_TOLD_TO_MEMBERS = frozenset(("*", "client-cert", "forwarded", "x-forwarded-for", "x-request-id"))
_REMEMBERED = 1024

Fields = Sequence[tuple[str, str]]


def storable_fields(
    code: int, fields: Fields, values: Mapping[str, str], directives: Directives, *, private: bool
) -> list[tuple[str, str]] | None:
    """Return the fields of a reply to a GET that may be stored; None if it may not be stored.

    ``values`` are ``fields`` as ``joined`` returns them, and ``directives`` those of its Cache-Control.
    ``private``: the request named a user.
    """
    if not directives.keys().isdisjoint(("no-store", "private")) or code in _NEVER_STORED:
        return None
    if not _TOLD_TO_MEMBERS.isdisjoint(split_list(values.get("vary", "").lower())):
        return None
    if private and "public" not in directives:
        return None
    kept = _kept_names(code, values.get("cache-control", ""), tuple(values))
    if kept is None or "set-cookie" in kept:
        return None
    return [(name, value) for name, value in fields if name.lower() in kept]


@lru_cache(_REMEMBERED)
def _kept_names(code: int, cache_control: str, names: tuple[str, ...]) -> frozenset[str] | None:
    """Return which of its fields are stored of a reply; None if it may not be stored.

    Remembered, because hishel takes longer than all the rest of the proxy, and apps say the same each time.
    """
    headers = dict.fromkeys(names, "0") | {"cache-control": cache_control}
    try:
        state = CacheMiss(request=Request("GET", _URL), options=_OPTIONS).next(
            Response(code, Headers(headers))
        )
    except Exception:  # noqa: BLE001 - what it cannot read is passed on, and not stored
        _log.failure("hishel cannot decide on a reply, which is not stored")
        return None
    return frozenset(state.response.headers) - _COMPUTED if isinstance(state, StoreAndUse) else None


def freshened_fields(code: int, stored: Fields, confirmed: Fields) -> list[tuple[str, str]] | None:
    """Return the fields of a stored reply after a 304 with the fields ``confirmed``.

    None if the 304 is not about the stored reply.
    """
    request = Request("GET", _URL)
    entry = Entry(uuid4(), request, Response(code, _headers(stored)))
    state = NeedRevalidation(
        request=request, original_request=request, revalidating_entries=[entry], options=_OPTIONS
    )
    try:
        then = state.next(Response(304, _headers(confirmed)))
    except Exception:  # noqa: BLE001 - as above
        _log.failure("hishel cannot decide on a 304: the stored reply is not used")
        return None
    if not isinstance(then, NeedToBeUpdated):
        return None
    headers = then.updating_entries[-1].response.headers
    names = {name.lower(): name for name, _ in (*confirmed, *stored)}
    return [
        (names[name], value)
        for name in headers
        if name not in _COMPUTED and name != "set-cookie"
        for value in headers.get_list(name) or ()
    ]


def joined(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return fields by name, in lower case; lines of the same name are joined by commas."""
    found: dict[str, str] = {}
    for name, value in fields:
        lower = name.lower()
        found[lower] = f"{found[lower]}, {value}" if lower in found else value
    return found


def _headers(fields: Fields) -> Headers:
    lists: dict[str, str | list[str]] = {}
    for name, value in fields:
        values = lists.setdefault(name.lower(), [])
        assert isinstance(values, list)
        values.append(value)
    return Headers(lists)
