"""Transactions in a ``FakeWas``: the script of the test answers their statements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from skitai.services.db.interfaces import ISession
from skitai.services.db.query import Query
from skitai.services.db.result import DBResult


@implementer(ISession)
class RehearsedSession:
    """Takes the result of each statement from ``reply()``; savepoints and the end always succeed."""

    lost = False
    outlives_cancelling = True

    def __init__(self, reply: Callable[[], Deferred[Any]]) -> None:
        self._reply = reply

    def run(self, query: Query) -> Deferred[DBResult]:
        """Return what the script has for the next statement."""
        if query.internal:
            return succeed(DBResult())
        return self._reply().addCallback(_result)

    def commit(self) -> Deferred[None]:
        """Succeed."""
        return succeed(None)

    def rollback(self) -> Deferred[None]:
        """Succeed."""
        return succeed(None)


def _result(outcome: Any) -> DBResult:
    return outcome if isinstance(outcome, DBResult) else DBResult(outcome)
