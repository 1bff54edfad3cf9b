"""Where a cache takes part: it is asked before a member, and told of what becomes of each request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from skitai.services.http.result import HTTPResult

#: The fields of a reply as the client gets them.
Fields = list[tuple[str, str]]


class Copy(Protocol):
    """Takes the body of a reply as it goes to the client. It must not raise."""

    def write(self, data: bytes) -> None:
        """Take a piece."""

    def end(self, error: BaseException | None) -> None:
        """End: the body is complete, or broke off with ``error``."""


class Follower(Protocol):
    """Goes with one request to the members. It must not raise; all of it is called in the reactor thread.

    One of its methods is called last: ``instead`` or ``failed``, if they return something; ``left``; or
    ``end`` of the copy, if there is one, else ``passed``.
    """

    headers: Sequence[tuple[bytes, bytes]]
    """The fields that members are asked with."""

    def instead(self, code: int, fields: Fields) -> Callable[[], object] | None:
        """Return what answers in the place of a reply, whose body is dropped; None: it is passed on."""

    def passed(self, reply: HTTPResult, fields: Fields) -> tuple[Fields, Copy | None]:
        """Return the fields for the client of a reply that is passed on, and what takes its body, or None."""

    def failed(self, error: BaseException) -> Callable[[], object] | None:
        """Return what answers in the place of the error page, if anything: there is no reply."""

    def left(self) -> None:
        """Note that the client left before a reply came, or that no member can be asked."""


class ReplyCache(Protocol):
    """Answers in the place of members. All of it is called in the reactor thread."""

    ask: Callable[[Any, Follower], object]
    """Asks the members: set by who has a request taken."""

    def take(self, request: Any) -> None:
        """Answer ``request``, or have the members asked, now or later."""

    def follow(self, request: Any) -> Follower:
        """Return what goes with a request that is not taken, because its body is sent on as it comes."""
