"""The members of a cluster: which is asked next, how busy they are, and which have failed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import count

import attrs

from skitai.calls.clusterview import ClusterView, MemberView, State
from skitai.interfaces import INode

#: The first pause of a member that failed, and the longest, in seconds; each failure in a row doubles it.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
#: How many time-outs in a row, without an answer between them, are a failure; and the least seconds until a
#: time-out counts, because an app that only checks for a result says nothing about the member.
TIMEOUTS_MAX, _LEAST_PATIENCE = 3, 0.1
#: How much the newest answer counts in a member's latency.
_NEWEST_SHARE = 0.2


@attrs.define(eq=False)
class Member:
    """One node of a cluster, with its share of the work and its recent failures.

    ``failures`` and ``timeouts`` are those in a row; ``requests`` and ``all_failures`` count since the start.
    Until ``unwell_until`` it rests because it has said so itself, whatever becomes of requests.
    ``probed`` says whether a request is under way that tests whether the member is back. ``share`` grows with
    each request, more slowly with a greater weight: of equally busy members the smallest share is next.
    ``latency`` is a moving average in seconds, None before the first answer.
    """

    node: INode
    weight: int = 1
    in_flight: int = 0
    failures: int = 0
    timeouts: int = 0
    paused_until: float = 0.0
    unwell_until: float = 0.0
    last_picked: int = 0
    share: float = 0.0
    probed: bool = False
    requests: int = 0
    all_failures: int = 0
    latency: float | None = None

    def state(self, now: float) -> State:
        """Return ``up``, ``resting`` during a pause, or ``probing`` after it until an answer."""
        if not self.failures:
            return "up"
        return "resting" if self.paused_until > now else "probing"


class Cluster:
    """The members behind one ``@name`` of the config.

    ``type_name`` says which services may ask it; ``seconds`` is the clock. Members may come and go; if
    ``follows`` is false there must be some: otherwise ValueError is raised. All methods but ``view`` are
    called in the reactor thread.
    """

    def __init__(
        self,
        name: str,
        type_name: str,
        members: Sequence[Member],
        seconds: Callable[[], float],
        *,
        follows: bool = False,
    ) -> None:
        if not members and not follows:
            raise ValueError(f"cluster @{name} has no members")
        self.name = name
        self.type_name = type_name
        self.members = tuple(members)
        self._seconds = seconds
        self._picks = count(1)
        #: The share of the member picked last. A member that comes back starts here, so that it does not get
        #: all requests until it has caught up.
        self._share = 0.0

    def change(self, members: Sequence[Member]) -> None:
        """Have ``members`` from now on. One with the node of a present one is that one, with its state.

        What is under way at one that is gone goes on.
        """
        present = {member.node: member for member in self.members}
        for member in members:
            if member.node in present:
                present[member.node].weight = member.weight
        self.members = tuple(present.get(member.node, member) for member in members)

    def pick(self, tried: Collection[Member] = ()) -> Member | None:
        """Return a member that is among the least busy and not in ``tried``, or None.

        A member is among the least busy if it has less work for its weight than any other would have with one
        more request. These take turns, as often as their weights say. A member that failed is passed over
        until its pause ends, and then gets one request at a time until it answers; unless there is no other.
        """
        now = self._seconds()
        candidates = [member for member in self.members if member not in tried]
        ready = [
            member
            for member in candidates
            if not member.failures or (member.paused_until <= now and not member.probed)
        ]
        if not candidates:
            return None
        best = min(_least_busy(ready or candidates), key=self._place)
        best.last_picked = next(self._picks)
        self._share = max(best.share, self._share)
        best.share = self._share + 1 / best.weight
        return best

    def _place(self, member: Member) -> tuple[float, int]:
        return max(member.share, self._share), member.last_picked

    def begin(self, member: Member) -> bool:
        """Count a request to ``member``; return whether it is the one that tests if the member is back."""
        member.in_flight += 1
        member.requests += 1
        if member.probed or member.state(self._seconds()) != "probing":
            return False
        member.probed = True
        return True

    def end(self, member: Member, probe: bool) -> None:
        """Count the end of a request, with or without success; ``probe`` is what ``begin`` returned."""
        member.in_flight -= 1
        if probe:
            member.probed = False

    def succeeded(self, member: Member, latency: float | None = None) -> None:
        """Count an answer that took ``latency`` seconds: the member is well, unless it has said otherwise."""
        member.timeouts = 0
        if member.unwell_until <= self._seconds():
            member.failures = 0
            member.paused_until = 0.0
        if latency is not None:
            before = latency if member.latency is None else member.latency
            member.latency = before + _NEWEST_SHARE * (latency - before)

    def timed_out(self, member: Member, probe: bool, seconds: float) -> None:
        """Count a request that timed out after ``seconds``; ``probe`` is what ``begin`` returned.

        The app may have waited too short a time. So one time-out says nothing about a member that is up, but
        several in a row do. A member that was being tested is not back.
        """
        if seconds >= _LEAST_PATIENCE:
            member.timeouts += 1
        if probe or member.timeouts >= TIMEOUTS_MAX:
            member.timeouts = 0
            self.failed(member)

    def failed(self, member: Member) -> None:
        """Count a failure: the member rests, longer each time.

        Failures while it rests do not prolong the rest: those requests were under way when it failed.
        """
        member.all_failures += 1
        now = self._seconds()
        if member.paused_until > now:
            return
        pause = min(FIRST_PAUSE * 2 ** min(member.failures, 30), LONGEST_PAUSE)
        member.failures += 1
        member.paused_until = now + pause

    def is_unwell(self, member: Member, seconds: float) -> None:
        """Have a member rest for ``seconds`` at least: it has said that it cannot answer."""
        if not member.failures:
            member.failures = 1
        member.unwell_until = self._seconds() + seconds
        member.paused_until = max(member.paused_until, member.unwell_until)

    def is_well(self, member: Member) -> None:
        """End the rest of a member: it has said that it can answer."""
        member.unwell_until = 0.0
        if member.failures:
            self.succeeded(member)

    def view(self) -> ClusterView:
        """Return the present state of the members. Called in any thread."""
        now = self._seconds()
        return ClusterView(self.name, self.type_name, tuple(_view(member, now) for member in self.members))


def _least_busy(members: Sequence[Member]) -> list[Member]:
    least = min((member.in_flight + 1) / member.weight for member in members)
    return [member for member in members if member.in_flight / member.weight < least]


def _view(member: Member, now: float) -> MemberView:
    state = member.state(now)
    return MemberView(
        label=member.node.label,
        weight=member.weight,
        state=state,
        rests_for=max(member.paused_until - now, 0.0) if state == "resting" else 0.0,
        in_flight=member.in_flight,
        requests=member.requests,
        failures=member.all_failures,
        latency=member.latency,
    )
