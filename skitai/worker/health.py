"""Asks the members of clusters for their health: ``health = /ping every 5``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.calls.cluster import Cluster, Member
from skitai.calls.result import Result
from skitai.errors import NORMAL

if TYPE_CHECKING:
    from skitai.calls.operation import Operation
    from skitai.interfaces import IService

_log = Logger()

#: The key of a cluster's section.
KEY = "health"
#: Seconds that an answer may take at most.
_PATIENCE = 5.0
#: A member rests for so many rounds: it is asked again before that is over.
_RESTS_ROUNDS = 2.5
#: The first status that is no good answer.
_BAD = 400
_WRITTEN = re.compile(r"(?P<path>/\S*)\s+every\s+(?P<seconds>[0-9]{1,5}(?:\.[0-9]{1,3})?)\s*s?")


@attrs.frozen
class Health:
    """What to ask for, and how often."""

    path: str
    seconds: float


def read_health(text: str) -> Health:
    """Return what ``/ping every 5`` says. Raises ValueError for anything else."""
    found = _WRITTEN.fullmatch(text.strip())
    if found is None or not float(found["seconds"]):
        raise ValueError(f"{text!r} is not PATH every SECONDS, such as /ping every 5")
    return Health(found["path"], float(found["seconds"]))


class HealthCheck:
    """Asks each member of ``cluster`` now and then. All methods are called in the reactor thread.

    ``service`` performs ``operation``, which asks for what ``health`` says. A member that does not answer
    with a status below 400 in time rests until it does.
    """

    def __init__(
        self, reactor: Any, cluster: Cluster, service: IService, operation: Operation, health: Health
    ) -> None:
        self._reactor = reactor
        self._cluster = cluster
        self._service = service
        self._operation = operation
        self._seconds = health.seconds
        #: What messages call the question: a query may hold a secret.
        self._question = f"GET {health.path.partition('?')[0]}"
        self._asked: dict[Member, Deferred[Any]] = {}
        self._unwell: set[Member] = set()
        self._loop = LoopingCall(self._ask_all)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin, with the first round at once."""
        self._loop.start(self._seconds)

    def stop(self) -> None:
        """End; what is under way is cancelled."""
        if self._loop.running:
            self._loop.stop()
        for asked in list(self._asked.values()):
            asked.cancel()

    def _ask_all(self) -> None:
        for member in self._cluster.members:
            if member not in self._asked:
                self._ask(member)
        self._unwell.intersection_update(self._cluster.members)

    def _ask(self, member: Member) -> None:
        asked = maybeDeferred(self._service.perform, member.node, self._operation)
        asked.addTimeout(min(self._seconds, _PATIENCE), self._reactor)
        self._asked[member] = asked
        asked.addBoth(self._answered, member)

    def _answered(self, outcome: Any, member: Member) -> None:
        self._asked.pop(member, None)
        if not self._loop.running:
            return
        if isinstance(outcome, Result) and outcome.status == NORMAL and outcome.code < _BAD:
            self._cluster.is_well(member)
            self._tell(member in self._unwell, self._unwell.discard, member, "is well again", _log.info)
            return
        self._cluster.is_unwell(member, _RESTS_ROUNDS * self._seconds)
        problem = f" gave {outcome.code}" if isinstance(outcome, Result) else f": {_words(outcome.value)}"
        text = f"is unwell: {self._question}{problem} ({KEY} in [@{self._cluster.name}])"
        self._tell(member not in self._unwell, self._unwell.add, member, text, _log.warn)

    def _tell(
        self,
        is_news: bool,
        note: Callable[[Member], None],
        member: Member,
        text: str,
        log: Callable[..., None],
    ) -> None:
        note(member)
        if is_news:
            name, label = self._cluster.name, member.node.label
            log("cluster @{name}: {label} {text}", name=name, label=label, text=text)


def _words(error: BaseException) -> str:
    return getattr(error, "message", "") or "no answer in time"
