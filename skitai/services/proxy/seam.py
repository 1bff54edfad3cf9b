"""Where a cache takes part: it is asked before a member, and told of each reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from skitai.services.http.result import HTTPResult


class Copy(Protocol):
    """Takes the body of a reply as it goes to the client. It must not raise."""

    def write(self, data: bytes) -> None:
        """Take a piece."""

    def end(self, error: BaseException | None) -> None:
        """End: the body is complete, or broke off with ``error``."""


class ReplyCache(Protocol):
    """Answers in the place of members. All of it is called in the reactor thread."""

    def answers(self, request: Any) -> bool:
        """Answer ``request``, now or later, and return True; or return False, and a member is asked."""

    def replied(self, request: Any, reply: HTTPResult) -> Copy | None:
        """Take the head of a member's reply; return what takes its body, or None.

        It may change ``reply.headers``, which the client gets.
        """
