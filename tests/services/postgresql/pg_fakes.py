"""Connections to PostgreSQL that do what a test says."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from skitai.errors import OperationError, UnsentError
from skitai.services.db.result import DBResult


class FakeConnection:
    """Keeps what it is to execute in ``statements``; ``answer`` ends the oldest that is under way."""

    def __init__(self):
        self.closed = self.busy = self.in_transaction = False
        self.on_lost = self.on_notify = None
        self.statements = []
        self.ends_at_a_look = False
        self._ended = None
        self._until_idle = []

    def look(self):
        if self.ends_at_a_look:
            self.lose()

    def run(self, query):
        outcome = Deferred(lambda _: self.cancel())
        self.start(query, lambda result: _fire(outcome, result))
        return outcome

    def start(self, query, ended):
        """Execute: until ``answer`` or ``lose``. One that is cancelled stays under way in the server."""
        assert not self.busy
        if self.closed:
            ended(OperationError("the connection is closed"))
            return
        self.statements.append(query.sql)
        self.busy = True
        self._ended = ended

    def cancel(self):
        self._ended = None

    def answer(self, result=None):
        """Let the statement under way end."""
        self._end(result or DBResult(), True)

    def fail(self, error):
        """Let the statement under way fail."""
        self._end(error, not self.closed)

    def lose(self):
        """The server closes the connection."""
        self.closed = True
        if self.busy:
            self.fail(OperationError("lost"))
        elif self.on_lost is not None:
            self.on_lost()

    def when_idle(self):
        self._until_idle.append(Deferred())
        return self._until_idle[-1]

    def close(self):
        if not self.closed:
            self.closed = True
            self.fail(OperationError("closed"))

    def _end(self, result, usable):
        ended, self._ended = self._ended, None
        waiting, self._until_idle = self._until_idle, []
        self.busy = False
        if ended is not None:
            ended(result)
        for deferred in waiting:
            deferred.callback(usable)


def _fire(outcome, result):
    (outcome.errback if isinstance(result, OperationError) else outcome.callback)(result)


class FakeServer:
    """Makes connections when a test says; ``connect`` is for what is tested.

    With ``refuses_at_once`` no attempt waits for the test.
    """

    def __init__(self):
        self.connecting = []
        self.refuses_at_once = False
        self.refused = 0

    def connect(self):
        if self.refuses_at_once:
            self.refused += 1
            assert self.refused < 100
            return fail(UnsentError("no descriptors"))
        self.connecting.append(Deferred())
        return self.connecting[-1]

    def accept(self):
        """Let the oldest attempt succeed, and return its connection."""
        connection = FakeConnection()
        self.connecting.pop(0).callback(connection)
        return connection

    def refuse(self, text="refused"):
        """Let the oldest attempt fail."""
        self.connecting.pop(0).errback(UnsentError(text))
