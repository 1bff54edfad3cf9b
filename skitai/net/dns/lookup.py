"""What a question for a name comes to."""

from __future__ import annotations

import attrs


class NoAnswerError(Exception):
    """Nobody said whether the name exists."""


@attrs.frozen
class LookupResult:
    """The addresses of a name, none where it has none, and for how many seconds they hold."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0
