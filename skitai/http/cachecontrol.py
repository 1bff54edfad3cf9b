"""Cache-Control of requests and replies (RFC 9111, section 5.2, and RFC 5861)."""

from __future__ import annotations

from skitai.http.fields import split_list, unquoted

#: What a directive says: the seconds of one that has them, None for the others.
Directives = dict[str, int | None]

#: More seconds than these are the same for ever (RFC 9111, section 1.2.2).
SECONDS_MAX = 2**31
_DIGITS_MAX = 10
_TIMED = frozenset(
    ("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error", "max-stale", "min-fresh")
)
#: They may name fields, and then say nothing of the rest of the reply.
_NAMING = frozenset(("no-cache", "private"))


def cache_directives(value: str) -> Directives:
    """Return the directives of a field by name, in lower case.

    Seconds that are no number count as 0, and of two the fewer: such a reply is rather stale (section 4.2.1).
    ``no-cache`` and ``private`` with names of fields are left out. ``max-stale`` may have no seconds: then
    any staleness is meant. A directive of seconds that lacks them is otherwise malformed.
    """
    found: Directives = {}
    for member in split_list(value):
        name, equals, argument = member.partition("=")
        name = name.strip().lower()
        text = unquoted(argument.strip())
        if name in _TIMED:
            seconds = SECONDS_MAX if name == "max-stale" and not equals else delta_seconds(text) or 0
            before = found.get(name)
            found[name] = seconds if before is None else min(before, seconds)
        elif name not in _NAMING or not text.strip(" ,"):
            found[name] = None
    return found


def delta_seconds(text: str) -> int | None:
    """Return a number of seconds, at most ``SECONDS_MAX``; None if ``text`` is none."""
    if not (text.isascii() and text.isdigit()):
        return None
    return SECONDS_MAX if len(text) > _DIGITS_MAX else min(int(text), SECONDS_MAX)
