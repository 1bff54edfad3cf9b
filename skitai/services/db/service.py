"""``was.db``: it turns an app's arguments into statements on nodes, and has engines execute them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from zope.interface import implementer

from skitai import DB_PGSQL, DB_SQLITE3
from skitai.calls.operation import Operation
from skitai.calls.outcome import Outcome
from skitai.calls.raising import called_as
from skitai.calls.service import Service
from skitai.calls.step import Step
from skitai.interfaces import INode, IServiceMethods
from skitai.services.db.interfaces import DBTYPES
from skitai.services.db.keys import cache_key
from skitai.services.db.listening import listen
from skitai.services.db.query import Query
from skitai.services.db.reading import reads_only
from skitai.services.db.result import DBResult
from skitai.services.db.statement import Statement
from skitai.services.db.transaction import transaction
from skitai.services.db.words import KEYWORDS

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.services.db.interfaces import IEngine


#: Other names of engines, which apps may give as ``dbtype``.
_TYPES = {"postgres": DB_PGSQL, "pgsql": DB_PGSQL, "postresql": DB_PGSQL, "sqlite": DB_SQLITE3}
#: How many databases are remembered with their arguments.
_PLACES = 256
#: What begins a URL, which says its kind of database itself.
_URLS = ("postgresql://", "postgres://")


@implementer(IServiceMethods)
class DatabaseService(Service):
    """``was.db`` over the engines that plugins add at the start."""

    result_type = DBResult

    def __init__(self) -> None:
        self._engines: dict[str, IEngine] = {}
        # Views ask the same few databases again and again, so each is looked up once.
        self._placed = lru_cache(_PLACES)(self.place)
        self.methods: Mapping[str, Callable[..., Any]] = {
            "transaction": partial(transaction, self),
            "listen": partial(listen, self),
        }

    def add(self, engine: IEngine) -> None:
        """Take the databases of ``engine``, too. Called at the start."""
        self._engines[engine.dbtype] = engine
        self.cluster_types = frozenset(self._engines)

    def engine_of(self, node: Any) -> IEngine:
        """Return the engine whose node this is."""
        return self._engines[node.dbtype]

    def begin(
        self,
        submit: Callable[[Operation], Any],
        /,
        *args: Any,
        use_cache: bool = True,
        filter: Any = None,  # noqa: A002 - the name that apps know
        **kwargs: Any,
    ) -> Statement:
        """Return the statement that is submitted when it is executed.

        The arguments are those of ``place``, then ``use_cache``, which may be given by position, as the
        README has it: ``was.db(server, dbname, user, password, dbtype, use_cache)``. Called in the app's
        thread.
        """
        if len(args) > 5:
            *args, use_cache = args  # type: ignore[assignment]
        try:
            target, node = self._placed(*args, **kwargs)
        except TypeError:  # for what cannot be remembered, such as a list, which place() names
            target, node = called_as("was.db()", self.place, KEYWORDS, *args, **kwargs)

        def start(query: Query) -> Any:
            return submit(
                Operation(
                    target,
                    query,
                    cache_key(node, query),
                    query.rows is None and reads_only(query.sql),
                    use_cache,
                    filter=filter,
                    node=node,
                    shareable=False,  # a statement sees what was committed before it
                )
            )

        return Statement(start)

    def place(
        self,
        server: str,
        dbname: str | None = None,
        user: str | None = None,
        password: str | None = None,
        dbtype: str = DB_PGSQL,
    ) -> tuple[str, INode | None]:
        """Return how messages name a database, and its node; None for ``server = "@name"``, a cluster.

        ``server`` is ``"host:port"``, a URL such as ``"postgresql://user:password@host:port/dbname"``, or
        with ``dbtype`` ``DB_SQLITE3`` a file. ``dbtype`` may stand in the place of ``dbname``, too:
        ``was.db("file.db", DB_SQLITE3)``. Raises TypeError or ValueError that names the wrong argument.
        """
        given = {"server": server, "dbname": dbname, "user": user, "password": password, "dbtype": dbtype}
        for name, value in given.items():
            if not isinstance(value, str) and (value is not None or name in ("server", "dbtype")):
                # Without the value, which may be a password, or have one.
                raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        if server.startswith("@"):
            if dbname is not None or user is not None or password is not None:
                raise TypeError(f"{server} is a cluster of the config, which has the database and the user")
            return server, None
        if dbname in DBTYPES and user is None:
            dbtype, dbname = dbname, None
        if server.startswith(_URLS):
            dbtype = DB_PGSQL
        node = self._engine(dbtype).node(server, dbname, user, password)
        # What has no password is named as the app writes it, which the tests of apps do, too.
        is_whole = dbname is None and user is None and "://" not in server and "@" not in server
        return server if is_whole else node.label, node

    def _engine(self, dbtype: str) -> IEngine:
        engine = self._engines.get(_TYPES.get(dbtype.lower(), dbtype.lower()))
        if engine is None:
            known = ", ".join(sorted(self._engines)) or "none"
            raise ValueError(f"dbtype {dbtype!r} is not one of those that plugins give: {known}")
        return engine

    def node(self, target: str) -> INode:
        """Refuse: every operation knows its node, or asks a cluster."""
        raise ValueError(f"{target!r} names no database")

    def perform(self, node: Any, operation: Operation) -> Deferred[Any] | Outcome:
        """Execute a statement, or what else a request does; see ``IService.perform``."""
        request = operation.request
        if isinstance(request, Query):
            return self._engines[node.dbtype].run(node, request)
        step: Step = request
        return step.perform(self, node)


class MembersOf(Service):
    """Reads the members of the clusters of one engine: what ``skitai_cluster_types`` returns."""

    result_type = DBResult

    def __init__(self, engine: IEngine) -> None:
        self._engine = engine
        self.cluster_types = frozenset({engine.dbtype})
        self.cluster_keys = engine.cluster_keys

    def member(self, address: str, options: Mapping[str, str]) -> INode:
        """Return the node of a member. Called once, before the server starts."""
        return self._engine.member(address, options)


def databases_of(instance: IInstance, engine: IEngine) -> Mapping[str, DatabaseService]:
    """Return the ``was.db`` of an instance, which all engines share, with ``engine`` added."""
    service: DatabaseService = instance.state(DatabaseService, DatabaseService)
    service.add(engine)
    return {"db": service}
