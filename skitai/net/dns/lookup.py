"""The outcome of looking up a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from twisted.python.failure import Failure


class NoAnswerError(Exception):
    """No server said whether the name exists."""


@runtime_checkable
class FailingReceiver(Protocol):
    """A receiver of addresses that wants to know that a search has failed, and has not just found none."""

    def resolution_failed(self, reason: Failure) -> None:
        """Take why there was no search; nothing follows."""


@attrs.frozen
class LookupResult:
    """The addresses of a name, which may be none, and for how many seconds they are valid."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0
