"""The outcome of looking up a name."""

from __future__ import annotations

import attrs


class NoAnswerError(Exception):
    """No server said whether the name exists."""


@attrs.frozen
class LookupResult:
    """The addresses of a name, which may be none, and for how many seconds they are valid."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0
