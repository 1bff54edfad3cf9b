"""What ``was.cluster("@name")`` shows."""

from __future__ import annotations

from typing import Literal

import attrs

#: ``up``; ``resting`` after a failure; ``probing``: one request at a time, until it answers.
State = Literal["up", "resting", "probing"]


@attrs.frozen(kw_only=True)
class MemberView:
    """One member at one moment.

    ``rests_for`` is how many seconds are left of its pause; ``requests`` and ``failures`` count since the
    start; ``latency`` is a moving average of its answers in seconds, None before the first.
    """

    label: str
    weight: int
    state: State
    rests_for: float
    in_flight: int
    requests: int
    failures: int
    latency: float | None

    def __str__(self) -> str:
        resting = f" for {self.rests_for:.1f} s" if self.state == "resting" else ""
        return f"{self.label} {self.state}{resting}"


@attrs.frozen(repr=False)
class ClusterView:
    """One cluster at one moment: ``name`` without the ``@``, ``members`` in the order of the config."""

    name: str
    type: str
    members: tuple[MemberView, ...]

    def __repr__(self) -> str:
        return f"<{self.type} cluster @{self.name}: {', '.join(map(str, self.members))}>"
