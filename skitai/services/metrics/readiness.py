"""Whether the server is ready for requests, for those who send them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skitai.processes import State

if TYPE_CHECKING:
    from skitai.interfaces import IInstance


class Readiness:
    """Says what keeps ``instance`` from being ready. ``clusters`` are names of those that it needs.

    It speaks for the whole server: while some worker is ready, the server is. Called in the reactor thread.
    """

    def __init__(self, instance: IInstance, clusters: Sequence[str]) -> None:
        self._instance = instance
        self._clusters = clusters

    def obstacles(self) -> list[str]:
        """Return the reasons why the server is not ready; none if it is."""
        states = {slot.state for slot in self._instance.board.taken()}
        reasons = []
        if State.READY not in states and not self._instance.others_serve:
            reasons.append("the server stops" if State.DRAINING in states else "the server starts")
        dispatcher = self._instance.services.dispatcher
        for name in self._clusters:
            # After its rest a member gets one request, to see if it is back: for that, somebody must send it.
            if all(member.state == "resting" for member in dispatcher.cluster(name).members):
                reasons.append(f"no member of @{name} is up")
        return reasons
