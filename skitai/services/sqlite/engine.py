"""What ``was.db`` asks for SQLite: the databases of an instance, and their threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from skitai import DB_SQLITE3
from skitai.config import yes_no
from skitai.errors import MisuseError, UnsentError, stopping
from skitai.loop.pool import ThreadPool
from skitai.services.db.clusterkeys import CLUSTER_KEYS
from skitai.services.db.interfaces import IEngine, RefusedError, Subscription, TransactionOptions
from skitai.services.db.timing import StatementTimes
from skitai.services.sqlite.connection import Settings
from skitai.services.sqlite.database import WAITING_MAX, Context, Database
from skitai.services.sqlite.errors import refused
from skitai.services.sqlite.node import SQLiteNode, node_of

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from skitai.services.db.query import Query
    from skitai.services.db.result import DBResult

#: After how many seconds without use the connections to a file are closed; how many files may be open.
IDLE_SECONDS, FILES_MAX = 60.0, 50


@implementer(IEngine)
class SQLiteEngine:
    """The SQLite databases of an instance.

    Relative paths count from ``folder``. ``clock`` is the reactor, which ``submit`` leads to from threads;
    there are at most ``threads``, so as many statements run at once. ``busy_timeout`` and ``slow_statement``
    are in seconds.
    """

    dbtype = DB_SQLITE3
    cluster_keys = frozenset(CLUSTER_KEYS)

    def __init__(
        self,
        folder: Path,
        clock: Any,
        submit: Callable[[Callable[[], Any]], object],
        *,
        threads: int,
        rows_max: int,
        busy_timeout: float,
        slow_statement: float,
        foreign_keys: bool,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._pool = ThreadPool(threads, WAITING_MAX, submit)
        self._times = StatementTimes(slow_statement)
        settings = Settings(rows_max, foreign_keys)
        self._context = Context(self._pool, clock, settings, busy_timeout, self._times)
        self._databases: dict[SQLiteNode, Database] = {}
        self._sweeping: IDelayedCall | None = None
        self._closed = False

    def node(self, server: str, dbname: str | None, user: str | None, password: str | None) -> SQLiteNode:
        """Return the node of the file ``server``; see ``IEngine.node``."""
        if dbname or user or password:
            raise ValueError("a SQLite database is a file: it has no dbname, user or password")
        return node_of(server, self._folder)

    def member(self, address: str, options: Mapping[str, str]) -> SQLiteNode:
        """Return the node of a file of a cluster; see ``IEngine.member``."""
        try:
            read_only = yes_no(options.get("read_only", "no"))
        except ValueError as error:
            raise ValueError(f"read_only: {error}") from None
        node = node_of(address, self._folder, read_only=read_only)
        folder = os.path.dirname(node.label)
        if not node.in_memory and not os.path.isdir(folder):
            raise ValueError(f"there is no folder {folder} for {address}")
        return node

    def run(self, node: Any, query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``IEngine.run``."""
        if self._closed:
            return fail(stopping(UnsentError))
        return self._database(node).run(query)

    def begin(self, node: Any, options: TransactionOptions) -> Deferred[Any]:
        """Begin a transaction; see ``IEngine.begin``. SQLite's are all serializable."""
        if self._closed:
            return fail(stopping(UnsentError))
        return self._database(node).begin(readonly=options.readonly)

    def listen(self, node: Any, subscription: Subscription) -> Deferred[Callable[[], None]]:
        """Refuse; see ``IEngine.listen``."""
        text = f"SQLite has no notifications: {node.label}, {subscription.channel}"
        return fail(RefusedError(refused(MisuseError(text))))

    # -- the databases --------------------------------------------------------------------------------------

    def _database(self, node: SQLiteNode) -> Database:
        database = self._databases.get(node)
        if database is None:
            self._make_room()
            database = self._databases[node] = Database(node, self._context)
            self._sweep_later()
        return database

    def _make_room(self) -> None:
        """Close the file that was not used for the longest time, if too many are open."""
        if len(self._databases) >= FILES_MAX and (closable := self._closable()):
            self._close(min(closable, key=lambda database: database.used_at))

    def _closable(self) -> list[Database]:
        return [
            database
            for database in self._databases.values()
            if not database.in_use and not database.node.in_memory
        ]

    def _close(self, database: Database) -> None:
        del self._databases[database.node]
        database.close()

    def _sweep_later(self) -> None:
        if self._sweeping is None:
            self._sweeping = self._clock.callLater(IDLE_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """Close the files that were not used for a while."""
        self._sweeping = None
        before = self._clock.seconds() - IDLE_SECONDS
        for database in self._closable():
            if database.used_at <= before:
                self._close(database)
        if self._databases:
            self._sweep_later()

    def statistics(self) -> dict[str, Any]:
        """Return what the status page shows: the files that are open, the threads, and the statements."""
        return {
            "SQLite": [database.statistics() for database in self._databases.values()],
            "SQLite, threads": self._pool.statistics(),
            "SQLite, by statement": self._times.statistics(),
        }

    async def close(self) -> None:
        """Close all files when the statements under way have ended; take no more."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._pool.when_done()
        # Who may not write goes first: the last one of a file has to write its log back.
        for database in sorted(self._databases.values(), key=lambda database: not database.node.read_only):
            await database.close()
        self._databases.clear()
        self._pool.stop()
