"""What a ``FakeWas`` answers: a list that the test writes and the requests use up."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from skitai.calls.result import Result


@attrs.define
class Answer:
    """What ``was.<service>`` is told about ``target``, ``left`` more times.

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
    """Answers in the order in which they were added, each service and target on its own."""

    def __init__(self) -> None:
        self._answers: list[Answer] = []
        #: What was asked without an answer, as sentences.
        self.surprises: list[str] = []

    def add(self, answer: Answer) -> None:
        """Append an answer."""
        self._answers.append(answer)

    def take(self, service: str, target: str) -> Answer:
        """Use up the next answer; raise AssertionError, and remember it, when there is none."""
        for answer in self._answers:
            if answer.left and (answer.service, answer.target) == (service, target):
                answer.left -= 1
                return answer
        left = "\n  ".join(self._left()) or "nothing"
        surprise = (
            f"was.{service}({target!r}) was asked, but the script has no answer; it has left:\n  {left}"
        )
        self.surprises.append(surprise)
        raise AssertionError(surprise)

    def check_used_up(self) -> None:
        """Raise AssertionError unless all answers were asked for."""
        if left := self._left():
            raise AssertionError("scripted, but never asked for:\n  " + "\n  ".join(left))

    def check_no_surprise(self) -> None:
        """Raise AssertionError if something was asked that has no answer."""
        if self.surprises:
            raise AssertionError("\n".join(self.surprises))

    def _left(self) -> list[str]:
        return [str(answer) for answer in self._answers if answer.left]
