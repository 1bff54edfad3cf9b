"""What became of a spooled mail so far: lines of JSON in a file beside it. Who has claimed it adds some."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import attrs

Verdict = Literal["sent", "refused", "deferred"]
_VERDICTS = get_args(Verdict)


@attrs.frozen
class RecipientOutcome:
    """What the server said about one recipient.

    ``sent``: it took the mail. ``refused``: it never will (5yz). ``deferred``: it may later (4yz, or no
    answer). ``code`` is that of the reply, 0 without one; ``reply`` its text, or what went wrong.
    """

    address: str
    verdict: Verdict
    code: int
    reply: str


@attrs.frozen
class State:
    """What the file says.

    ``tries`` counts finished tries, ``next_at`` is when the next is due (None: now), in seconds since the
    epoch. ``outcomes`` are the last for each recipient, ``size`` is how many bytes of the file count.
    """

    tries: int = 0
    next_at: float | None = None
    outcomes: Mapping[str, RecipientOutcome] = attrs.field(factory=dict)
    size: int = 0

    def pending(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """Return those of ``recipients`` who have neither got the mail nor been refused."""
        return tuple(address for address in recipients if not self._is_settled(address))

    def _is_settled(self, address: str) -> bool:
        outcome = self.outcomes.get(address)
        return outcome is not None and outcome.verdict != "deferred"


def try_lines(outcomes: Sequence[RecipientOutcome], next_at: float | None, now: float) -> bytes:
    """Return the lines of one try, which ended at ``now``.

    Each outcome has its line, so that a crash in the midst of writing costs no more than one.
    """
    said = [{"at": round(now, 3), **attrs.asdict(outcome)} for outcome in outcomes]
    return _lines([*said, {"at": round(now, 3), "tried": True, "next_at": next_at}])


def retry_line(now: float, *, refused: bool) -> bytes:
    """Return the line that makes a mail due at once; with ``refused``, for who was refused, too."""
    return _lines([{"at": round(now, 3), "retry": "refused" if refused else "now"}])


def _lines(contents: Iterable[Mapping[str, Any]]) -> bytes:
    # ASCII: a reply may hold what UTF-8 cannot encode.
    return "".join(json.dumps(content) + "\n" for content in contents).encode("ascii")


def state_from(data: bytes) -> State:
    """Return what the lines say.

    A last line that does not end is what a crash left, and does not count. Raises ValueError, with a sentence
    for people, for any other line that nobody here has written: who has got the mail is not known then.
    """
    tries, next_at = 0, None
    outcomes: dict[str, RecipientOutcome] = {}
    # A power failure may leave zeros in place of the line that was not synced.
    lines = data.rstrip(b"\0").split(b"\n")
    torn = lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            if "verdict" in content:
                outcome = _outcome(content)
                outcomes[outcome.address] = outcome
            elif "retry" in content:
                next_at = None
                if content["retry"] == "refused":
                    tries = 0
                    outcomes = {key: value for key, value in outcomes.items() if value.verdict == "sent"}
            else:
                next_at = _time(content["next_at"])
                tries += 1
        except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
            raise ValueError(f"line {number} of the state is malformed: {line[:80]!r}") from None
    return State(tries, next_at, outcomes, len(data.rstrip(b"\0")) - len(torn))


def _outcome(content: Mapping[str, Any]) -> RecipientOutcome:
    outcome = RecipientOutcome(*(content[field.name] for field in attrs.fields(RecipientOutcome)))
    texts = (outcome.address, outcome.reply)
    if (
        outcome.verdict not in _VERDICTS
        or type(outcome.code) is not int
        or not all(isinstance(text, str) for text in texts)
    ):
        raise ValueError
    return outcome


def _time(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise TypeError
    return float(value)
