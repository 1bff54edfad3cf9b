"""What a plugin gives to ``was.db``: an engine for one kind of database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import attrs
from zope.interface import Attribute, Interface

from skitai import DB_PGSQL, DB_SQLITE3
from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.calls.outcome import Outcome
    from skitai.interfaces import INode
    from skitai.services.db.query import Query
    from skitai.services.db.result import DBResult

#: What ``was.db`` takes in the place of ``dbname`` as the kind of database.
DBTYPES = (DB_SQLITE3, DB_PGSQL)
#: The isolation levels of SQL, as apps write them.
ISOLATION_LEVELS = ("read uncommitted", "read committed", "repeatable read", "serializable")


@attrs.frozen
class TransactionOptions:
    """How a transaction begins.

    ``isolation`` is one of ``ISOLATION_LEVELS``, None for the default of the database. With ``readonly`` the
    database refuses to write.
    """

    isolation: str | None = None
    readonly: bool = False


class Subscription(Protocol):
    """What wants the notifications of a channel. All of it is used in the reactor thread."""

    channel: str

    def notified(self, payload: str, pid: int) -> None:
        """Take a notification; ``pid`` is that of the server's process which sent it."""

    def resumed(self) -> None:
        """Note that the connection was lost and is back: some notifications may have been missed."""


class RefusedError(SkitaiError):
    """A database is well and refuses to begin: ``result`` is what it says, as for a statement."""

    def __init__(self, result: DBResult) -> None:
        self.result = result
        super().__init__(result.msg)


class ISession(Interface):
    """A connection that one transaction has to itself. All of it is called in the reactor thread.

    Its user runs one statement at a time, and ends it exactly once, with ``commit`` or ``rollback``. When a
    statement was cancelled, the next call may come while the database still ends it, and waits for that.
    """

    lost: bool = Attribute("Whether the connection was lost, so that nothing can be executed any more.")

    outlives_cancelling: bool = Attribute(
        "Whether a statement that is cancelled leaves the transaction open."
    )

    def run(query: Query) -> Deferred[DBResult]:
        """Execute a statement; see ``IEngine.run``. What it changes is seen by others after ``commit``."""

    def commit() -> Deferred[None]:
        """Commit, and give the connection back.

        Fails with the driver's exception if the database refuses, and has rolled back. Fails with
        OperationError if the connection is lost, or if the Deferred is cancelled: whether the database has
        committed is unknown then.
        """

    def rollback() -> Deferred[None]:
        """Roll back, and give the connection back. It never fails: a connection that cannot is closed."""


class IEngine(Interface):
    """One kind of database. Its nodes have an attribute ``dbtype``."""

    dbtype: str = Attribute("Its name as ``dbtype`` and as the ``type`` of clusters.")

    cluster_keys: frozenset[str] = Attribute("The keys that its ``[@cluster]`` sections may have.")

    def node(server: str, dbname: str | None, user: str | None, password: str | None) -> INode:
        """Return the node for the arguments of ``was.db``; raise ValueError. Called in the app's thread."""

    def member(address: str, options: Mapping[str, str]) -> INode:
        """Return the node of a cluster's member; see ``IService.member``."""

    def run(node: INode, query: Query) -> Deferred[DBResult] | Outcome:
        """Execute a statement (all executions of ``query.rows``, or none) and commit it.

        Fires with a result, also of status 2 if the database is well and refuses the statement. Fails with
        UnsentError if it was not executed, or with OperationError if that is unknown, because the connection
        was lost: with CommitUnknownError, if that was during a COMMIT of its own. Cancelling ends the
        statement in the database, too. Called in the reactor thread.
        """

    def begin(node: INode, options: TransactionOptions) -> Deferred[ISession]:
        """Begin a transaction; called in the reactor thread.

        Fails with UnsentError if the database cannot be reached, with RefusedError if it refuses.
        """

    def listen(node: INode, subscription: Subscription) -> Deferred[Callable[[], None]]:
        """Listen to notifications for ``subscription``: fire when that has begun, with a function to end it.

        When the connection is lost later, the engine connects again, with pauses, and then calls
        ``subscription.resumed()``. Fails with UnsentError if the database cannot be reached, with
        RefusedError if it refuses or has no notifications. Called in the reactor thread.
        """
