"""The engine of PostgreSQL: statements over pools of connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from zope.interface import implementer

from skitai import DB_PGSQL
from skitai.errors import NORMAL, OperationError, UnsentError
from skitai.services.db.clusterkeys import CLUSTER_KEYS
from skitai.services.db.interfaces import IEngine, ISession, RefusedError, TransactionOptions
from skitai.services.db.timing import StatementTimes
from skitai.services.postgresql.connecting import NEEDED, connect, has_driver
from skitai.services.postgresql.listening import Listeners
from skitai.services.postgresql.node import OPTIONS, PLACE, PGNode, check_files, node_of, node_of_member
from skitai.services.postgresql.pool import Pool
from skitai.services.postgresql.running import Running
from skitai.services.postgresql.session import Session, begin_statement

if TYPE_CHECKING:
    from skitai.calls.outcome import Outcome
    from skitai.interfaces import IConnector
    from skitai.services.db.interfaces import Subscription
    from skitai.services.db.query import Query
    from skitai.services.postgresql.driver import Connection
    from skitai.services.postgresql.limits import Limits
    from skitai.services.postgresql.pool import PoolLimits


#: From this many on, databases that are not used any more are forgotten.
_DATABASES_KEPT = 100


@implementer(IEngine)
class PostgreSQL:
    """The databases of PostgreSQL that an instance asks, a pool for each.

    ``folder`` is that of the config. A slow statement is one that takes more than ``slow`` seconds.
    """

    dbtype = DB_PGSQL
    cluster_keys = OPTIONS | PLACE | frozenset(CLUSTER_KEYS)

    def __init__(
        self,
        reactor: Any,
        connector: IConnector,
        folder: Path,
        pool_limits: PoolLimits,
        limits: Limits,
        slow: float,
    ) -> None:
        self._reactor = reactor
        self._connector = connector
        self._folder = folder
        self._pool_limits = pool_limits
        self._limits = limits
        self._pools: dict[PGNode, Pool] = {}
        self._listeners: dict[PGNode, Listeners] = {}
        self._closed = False
        self.times = StatementTimes(slow)

    # -- nodes ----------------------------------------------------------------------------------------------

    def node(self, server: str, dbname: str | None, user: str | None, password: str | None) -> PGNode:
        """Return the node for the arguments of ``was.db``; raise ValueError. Called in the app's thread."""
        return node_of(server, dbname, user, password, self._folder)

    def member(self, address: str, options: Mapping[str, str]) -> PGNode:
        """Return the node of a cluster's member; raise ValueError, also without the driver or a file."""
        if not has_driver():
            raise ValueError(NEEDED)
        node = node_of_member(address, options, self._folder)
        check_files(node, options)
        return node

    # -- statements -----------------------------------------------------------------------------------------

    def run(self, node: Any, query: Query) -> Outcome:
        """Execute a statement; see ``IEngine.run``."""
        running = Running(self._pool(node), query, self.times, self._reactor.seconds)
        running.start()
        return running

    def begin(self, node: Any, options: TransactionOptions) -> Deferred[ISession]:
        """Begin a transaction; see ``IEngine.begin``."""
        return Deferred.fromCoroutine(self._begin(self._pool(node), options))

    async def _begin(self, pool: Pool, options: TransactionOptions) -> ISession:
        while (connection := pool.take()) is not None:
            try:
                return await self._session(pool, connection, options)
            except OperationError:
                if not connection.closed:
                    raise
                # The server had closed it a moment ago, and maybe the others that were idle, too.
        return await self._session(pool, await pool.acquire(), options)

    async def _session(self, pool: Pool, connection: Connection, options: TransactionOptions) -> Session:
        begun = False
        try:
            result = await connection.run(begin_statement(options))
            begun = result.status == NORMAL
        except OperationError as error:  # no statement of the app was executed
            raise UnsentError(error.message, code=error.code) from None
        finally:
            if not begun:
                pool.release(connection)
        if not begun:
            raise RefusedError(result)
        return Session(pool, connection)

    def listen(self, node: Any, subscription: Subscription) -> Deferred[Callable[[], None]]:
        """Listen to notifications; see ``IEngine.listen``."""
        return self._listeners_of(node).add(subscription)

    # -- what there is of each database ----------------------------------------------------------------------

    def _pool(self, node: PGNode) -> Pool:
        pool = self._pools.get(node)
        if pool is None:
            _make_room(self._pools)
            pool = Pool(self._reactor, node.label, self._pool_limits, lambda: self._connect(node))
            self._pools[node] = pool
            if self._closed:
                pool.close()
            else:
                pool.open()
        return pool

    def _listeners_of(self, node: PGNode) -> Listeners:
        listeners = self._listeners.get(node)
        if listeners is None:
            _make_room(self._listeners)
            listeners = Listeners(self._reactor, node.label, lambda: self._connect(node))
            self._listeners[node] = listeners
            if self._closed:
                listeners.close()
        return listeners

    def _connect(self, node: PGNode) -> Deferred[Connection]:
        return connect(self._reactor, self._connector, node, self._limits)

    def close(self) -> Deferred[Any]:
        """Close every connection, and fire then; what is asked later fails with code 705.

        Called at the stop.
        """
        self._closed = True
        for listeners in self._listeners.values():
            listeners.close()
        return DeferredList([pool.close() for pool in self._pools.values()])

    def statistics(self) -> list[dict[str, Any]]:
        """Return the state of the pools, as a table for the status page."""
        return [pool.statistics() for pool in self._pools.values()]


def _make_room(parts: dict[PGNode, Any]) -> None:
    """Forget the databases that are not used any more, if there are many."""
    if len(parts) >= _DATABASES_KEPT:
        for node in [node for node, part in parts.items() if part.is_unused]:
            del parts[node]
