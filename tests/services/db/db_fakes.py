"""An engine without a database: it notes what it is asked, and answers when it is told to."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred, succeed

from skitai.errors import UnsentError
from skitai.services.db.interfaces import RefusedError
from skitai.services.db.result import DBResult
from skitai.services.db.rows import rows_of


@attrs.frozen
class FakeNode:
    label: str
    dbtype: str = "postgresql"
    read_only: bool = False


class FakeSession:
    """Answers at once what ``answers`` has for a statement; what it lacks waits in ``waiting``."""

    outlives_cancelling = True

    def __init__(self, engine, options):
        self.engine, self.options, self.lost = engine, options, False
        self.log = engine.log

    def run(self, query):
        return self.engine.run(None, query)

    def commit(self):
        self.log.append("COMMIT")
        return self.engine.answer("COMMIT")

    def rollback(self):
        self.log.append("ROLLBACK")
        return succeed(None)


class FakeEngine:
    cluster_keys = frozenset({"read_only"})

    def __init__(self, dbtype="postgresql"):
        self.dbtype = dbtype
        self.log, self.nodes, self.answers, self.waiting, self.sessions = [], [], {}, {}, []
        self.listening = {}

    def node(self, server, dbname, user, password):
        self.nodes.append((server, dbname, user, password))
        return FakeNode(f"{server}/{dbname}" if dbname else server, self.dbtype)

    def member(self, address, options):
        return FakeNode(address, self.dbtype, options.get("read_only") == "yes")

    def answer(self, text):
        if text not in self.answers:
            deferred = self.waiting[text] = Deferred()
            return deferred
        answer = self.answers[text]
        if isinstance(answer, Exception):
            return Deferred.fromCoroutine(_raise(answer))
        return succeed(answer)

    def run(self, node, query):
        self.log.append(query.sql if node is None else (node.label, query.sql))
        if query.rows is not None:
            self.log.append(query.rows)
        return self.answer(query.sql)

    def begin(self, node, options):
        self.log.append(f"BEGIN {node.label}")
        began = self.answer(f"BEGIN {node.label}")
        return began.addCallback(self._session, options)

    def _session(self, _, options):
        self.sessions.append(FakeSession(self, options))
        return self.sessions[-1]

    def listen(self, node, subscription):
        if self.dbtype != "postgresql":
            raise RefusedError(refused("no notifications"))
        self.log.append(f"LISTEN {subscription.channel}")
        began = self.answer(f"LISTEN {node.label}")
        self.listening[subscription.channel] = subscription

        def stop():
            self.log.append(f"UNLISTEN {subscription.channel}")
            del self.listening[subscription.channel]

        return began.addCallback(lambda _: stop)


async def _raise(error):
    raise error


def found(*values, column="n"):
    """Return a result with one column."""
    return DBResult(rows_of([column], [(value,) for value in values]), rowcount=len(values))


class DriverError(Exception):
    """What a driver raises."""


def refused(text="refused"):
    """Return the result of a statement that the database refuses."""
    return DBResult.of_statement_error(DriverError(text), text)


def unreached():
    """Return the failure of a node that cannot be reached."""
    return UnsentError("refused the connection")
