"""What a ``FakeWas`` answers: a list that the test writes and the requests use up."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from skitai.calls.result import Result


@attrs.define
class ScriptedReply:
    """What requests of ``was.<service>`` to ``target`` get, ``left`` more times.

    ``outcome()`` returns the result or raises the failure, ``delay`` seconds of the fake clock after the
    request (None: never).
    """

    service: str
    target: str
    outcome: Callable[[], Result]
    delay: float | None
    left: int

    def __str__(self) -> str:
        return f"was.{self.service}({self.target!r})" + (f" {self.left} times" if self.left > 1 else "")


class Script:
    """Replies in the order in which they were added, for each service and target on its own."""

    def __init__(self) -> None:
        self._replies: list[ScriptedReply] = []
        #: Requests for which there was no reply, as sentences.
        self.surprises: list[str] = []

    def add(self, reply: ScriptedReply) -> None:
        """Append a reply."""
        self._replies.append(reply)

    def take(self, service: str, target: str) -> ScriptedReply:
        """Use up the next reply; if there is none, raise AssertionError and remember it."""
        for reply in self._replies:
            if reply.left and (reply.service, reply.target) == (service, target):
                reply.left -= 1
                return reply
        left = "\n  ".join(self._left()) or "nothing"
        surprise = (
            f"was.{service}({target!r}) was asked, but the script has no answer; it has left:\n  {left}"
        )
        self.surprises.append(surprise)
        raise AssertionError(surprise)

    def has(self, service: str, target: str) -> bool:
        """Return whether there is a reply for such a request."""
        return any(
            reply.left and (reply.service, reply.target) == (service, target) for reply in self._replies
        )

    def check_used_up(self) -> None:
        """Raise AssertionError unless all replies were used up."""
        if left := self._left():
            raise AssertionError("scripted, but never asked for:\n  " + "\n  ".join(left))

    def check_no_surprise(self) -> None:
        """Raise AssertionError if there was no reply for some request."""
        if self.surprises:
            raise AssertionError("\n".join(self.surprises))

    def _left(self) -> list[str]:
        return [str(reply) for reply in self._replies if reply.left]
