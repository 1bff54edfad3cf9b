"""``was.db`` over the engine of PostgreSQL and a real server, without the rest of an instance."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from serving import eventually
from skitai import DB_PGSQL
from skitai.config.keys import Key
from skitai.net.connector import Connector
from skitai.services.db.service import DatabaseService
from skitai.services.postgresql.engine import PostgreSQL
from skitai.services.postgresql.settings import KEYS, limits, pool_limits
from skitai.testing import ServiceHarness


class World:
    """``db`` is ``was.db``, called in the test's thread; ``keys`` are those of ``[postgresql]``."""

    def __init__(self, reactor_thread, clusters=None, **keys):
        self._loop = reactor_thread
        values = {name: keys.pop(name, key.default) for name, key in KEYS.items() if isinstance(key, Key)}
        assert not keys
        self._before = self.holds()

        def make():
            connector = Connector(reactor_thread.reactor)
            arguments = (Path(), pool_limits(values), limits(values), values["slow_statement"])
            self.engine = PostgreSQL(reactor_thread.reactor, connector, *arguments)
            service = DatabaseService()
            service.add(self.engine)
            service.member = self.engine.member
            self.harness = ServiceHarness(service, reactor_thread.reactor, clusters=clusters)
            for cluster in self.harness.clusters.values():
                cluster.type_name = DB_PGSQL

        reactor_thread.call(make)
        self.db = self.harness.call

    def ask(self, uri, sql, params=None, timeout=10):
        """Return the result of one statement."""
        s = self.db(uri)
        s.execute(sql, params)
        return s.getwait(timeout)

    def pool(self):
        """Return the state of the one pool."""
        (pool,) = self._loop.call(self.engine.statistics)
        return pool

    def holds(self):
        """Return how many descriptors and threads this process has."""
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    def close(self):
        """End, and check that nothing is left."""
        self._loop.call(self.harness.stop)
        self._loop.call(self.engine.close)
        eventually(
            lambda: all(now <= then for now, then in zip(self.holds(), self._before, strict=True)), "the end"
        )
