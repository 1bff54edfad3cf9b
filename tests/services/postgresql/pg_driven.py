"""A connection of the driver to a real server, used from the test's thread."""

from __future__ import annotations

import gc
import os

from twisted.internet.defer import Deferred

from skitai.services.db.query import query, query_of_many
from skitai.services.postgresql.driver import Connection
from skitai.services.postgresql.limits import Limits

LIMITS = {"rows_max": 10_000, "bytes_max": 1 << 20}


def parameters(postgres, name, **more):
    """Return libpq's parameters for a database."""
    place = {"host": postgres.host, "hostaddr": postgres.host, "port": str(postgres.port)}
    return {**place, "dbname": name, "user": postgres.user, **more}


class Driven:
    """``run`` and ``run_many`` wait for results; ``begin`` returns the Deferred of one."""

    def __init__(self, loop, options, **limits):
        self.loop = loop
        self.lost = []
        self.notes = []
        self.connection = loop.call(Connection.connect, loop.reactor, options, Limits(**{**LIMITS, **limits}))
        self.connection.on_lost = lambda: self.lost.append(True)
        self.connection.on_notify = lambda *note: self.notes.append(note)
        self.pid = self.run("select pg_backend_pid()").scalar()

    def run(self, sql, params=None):
        return self.loop.call(self.connection.run, query(sql, params))

    def run_many(self, sql, rows):
        return self.loop.call(self.connection.run, query_of_many(sql, rows))

    def scalar(self, sql, params=None):
        result = self.run(sql, params)
        assert result.status == 3, result.msg
        return result.scalar()

    def begin(self, sql, params=None):
        """Send a statement; return what waits for its outcome."""
        return Begun(self, query(sql, params))

    def when_idle(self):
        return self.loop.call(self.connection.when_idle)

    def begin_when_idle(self):
        """Return a list that gets what ``when_idle`` fires with."""
        fired = []
        self.loop.call(lambda: self.connection.when_idle().addBoth(fired.append) and None)
        return fired

    def close(self):
        self.loop.call(self.connection.close)


class Begun:
    """A statement under way."""

    def __init__(self, driven, asked):
        self._driven = driven
        self._outcomes = []

        def run():
            self._running = driven.connection.run(asked)
            self._running.addBoth(self._outcomes.append)

        driven.loop.call(run)

    def cancel(self):
        self._driven.loop.call(self.cancel_now)

    def cancel_now(self):
        """Cancel it from the reactor thread."""
        self._running.cancel()

    @property
    def over(self):
        return bool(self._outcomes)

    @property
    def outcome(self):
        """The result, or the exception."""
        (outcome,) = self._outcomes
        return getattr(outcome, "value", outcome)


def open_descriptors():
    """Return how many descriptors this process has."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def failure_of(loop, function, *args):
    """Return the exception with which the Deferred of ``function`` fails."""
    outcome = Deferred()

    def run():
        function(*args).addBoth(lambda outcome_: outcome.callback([outcome_]))
        return outcome

    (failure,) = loop.call(run)
    return failure.value
