"""Which machine is asked next: a cluster's members, how busy they are, and which seem dead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count

import attrs

from skitai.interfaces import INode

#: The first pause of a member that failed, and the longest, in seconds; each failure in a row doubles it.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0


@attrs.define(eq=False)
class Member:
    """One node of a cluster with its share of the work and its recent luck."""

    node: INode
    weight: int = 1
    in_flight: int = 0
    failures: int = 0
    paused_until: float = 0.0
    last_picked: int = 0


class Cluster:
    """The members behind one ``@name`` of the config. All methods are called in the reactor thread.

    ``type_name`` says which services may ask it; ``seconds`` is the clock. Raises ValueError without members.
    """

    def __init__(
        self, name: str, type_name: str, members: Sequence[Member], seconds: Callable[[], float]
    ) -> None:
        if not members:
            raise ValueError(f"cluster @{name} has no members")
        self.name = name
        self.type_name = type_name
        self.members = tuple(members)
        self._seconds = seconds
        self._picks = count(1)

    def pick(self, tried: Collection[Member] = ()) -> Member | None:
        """Return the member with the least work for its weight that is not in ``tried``, or None.

        Ties go to the one picked longest ago. Members that failed lately are passed over until their pause
        ends, unless only such are left.
        """
        now = self._seconds()
        candidates = [member for member in self.members if member not in tried]
        alive = [member for member in candidates if member.paused_until <= now]
        best = min(
            alive or candidates,
            key=lambda member: ((member.in_flight + 1) / member.weight, member.last_picked),
            default=None,
        )
        if best is not None:
            best.last_picked = next(self._picks)
        return best

    def succeeded(self, member: Member) -> None:
        """Count an answer: the member is well."""
        member.failures = 0
        member.paused_until = 0.0

    def failed(self, member: Member) -> None:
        """Count a failure: the member rests, longer each time.

        Failures while it rests count no more: they are what was under way when it broke.
        """
        now = self._seconds()
        if member.paused_until > now:
            return
        pause = min(FIRST_PAUSE * 2 ** min(member.failures, 30), LONGEST_PAUSE)
        member.failures += 1
        member.paused_until = now + pause
