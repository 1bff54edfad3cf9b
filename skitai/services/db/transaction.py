"""Transactions: ``with was.db.transaction("@name") as tx:``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count, takewhile
from typing import TYPE_CHECKING, Any, Never

import attrs
from twisted.internet.defer import Deferred

from skitai.calls.deadline import DEFAULT_TIMEOUT, checked_seconds
from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.step import Step
from skitai.errors import TIMEOUT, CommitUnknownError
from skitai.services.db.block import Block, Stage
from skitai.services.db.interfaces import ISOLATION_LEVELS, TransactionOptions
from skitai.services.db.pinned import Pinned, State
from skitai.services.db.query import Query, query, query_of_many
from skitai.services.db.rehearsal import RehearsedSession
from skitai.services.db.words import TRANSACTION_KEYWORDS

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.result import Result
    from skitai.context import Caller
    from skitai.interfaces import INode
    from skitai.services.db.result import DBResult
    from skitai.services.db.service import DatabaseService


@attrs.frozen
class Begin(Step):
    """The request of the operation that begins a transaction."""

    pinned: Pinned
    options: TransactionOptions

    def perform(self, service: DatabaseService, node: Any) -> Deferred[DBResult]:
        """Begin on ``node``. Called in the reactor thread."""
        return Deferred.fromCoroutine(self.pinned.begin(service.engine_of(node), node, self.options))

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[DBResult]:
        """Begin; statements get their results from ``reply()``."""
        return Deferred.fromCoroutine(self.pinned.adopt(RehearsedSession(reply)))


@attrs.frozen
class PinnedStep(Step):
    """The request of an operation within a transaction: ``take()`` is a coroutine of ``Pinned``.

    ``recorded`` is the statement, if it is one of the app.
    """

    take: Callable[[], Any]
    recorded: Query | None = None

    def perform(self, service: DatabaseService, node: Any) -> Deferred[DBResult]:  # noqa: ARG002
        """Take the step. Called in the reactor thread."""
        return Deferred.fromCoroutine(self.take())

    def rehearse(self, reply: Callable[[], Deferred[Any]]) -> Deferred[DBResult]:  # noqa: ARG002
        """Take the step: its connection has the replies."""
        return Deferred.fromCoroutine(self.take())


def transaction(
    service: DatabaseService,
    caller: Caller,
    server: str,
    dbname: str | None = None,
    user: str | None = None,
    password: str | None = None,
    *args: Any,
    isolation: str | None = None,
    readonly: bool = False,
    timeout: float = DEFAULT_TIMEOUT,
    **kwargs: Any,
) -> Transaction:
    """Return the transaction that a ``with`` or ``async with`` begins; the arguments are those of ``was.db``.

    Of a cluster one member is asked. ``isolation`` is a level of SQL, such as ``"serializable"``; with
    ``readonly`` the database refuses to write. The end of the block commits, within ``timeout`` seconds.
    Raises TypeError or ValueError that names the wrong argument. Called in the app's thread.
    """
    checked_seconds("timeout", timeout)
    if isolation is not None:
        level = isolation.lower().replace("_", " ") if isinstance(isolation, str) else isolation
        if level not in ISOLATION_LEVELS:
            raise ValueError(f"isolation {isolation!r} must be one of {', '.join(ISOLATION_LEVELS)}")
        isolation = level
    target, node = called_as(
        "was.db.transaction()",
        service.place,
        TRANSACTION_KEYWORDS,
        server,
        dbname,
        user,
        password,
        *args,
        **kwargs,
    )
    return Transaction(caller, target, node, TransactionOptions(isolation, readonly), timeout)


class Transaction(Block):
    """A transaction on one connection. Several statements may be under way: they are executed in order.

    The end of the block waits for them and commits; an exception rolls back, and so does the end of the
    request. After a statement that failed or timed out nothing more is executed, and the end raises that
    failure; within ``transaction()`` only that block is undone::

        with was.db.transaction("@main") as tx:
            tx.execute("update accounts set balance = balance - 10 where id = %s", (1,))
            tx.execute("update accounts set balance = balance + 10 where id = %s", (2,))
    """

    def __init__(
        self, caller: Caller, target: str, node: INode | None, options: TransactionOptions, timeout: float
    ) -> None:
        super().__init__(timeout)
        self._caller = caller
        self._target = target
        self._node = node
        self._options = options
        self._pinned = Pinned(target)
        #: The statements that are not over; those before them have been dropped, because they end in order.
        self._calls: deque[Call] = deque()
        self._names = count(1)
        self._forget: Callable[[], None] = lambda: None

    def execute(self, sql: str, params: Any = None, **others: Never) -> Call:
        """Execute a statement after those before it, and return its ``Call``; see ``Statement.execute``."""
        return self._execute(query(sql, params, others))

    def executemany(self, sql: str, rows: Iterable[Any], **others: Never) -> Call:
        """Execute ``sql`` once for the values of each row; see ``Statement.executemany``."""
        return self._execute(query_of_many(sql, rows, others))

    def transaction(self) -> Savepoint:
        """Return a transaction within this one, for a block of its own: a savepoint of SQL."""
        self._check_open()
        return Savepoint(self, f"skitai_{next(self._names)}", self._timeout)

    def _execute(self, statement: Query) -> Call:
        self._check_open()
        return self._keep_call(self._step(partial(self._pinned.run, statement), statement))

    def _keep_call(self, call: Call) -> Call:
        while self._calls and self._calls[0].over:
            self._calls.popleft()
        self._calls.append(call)
        return call

    def enter(self, name: str) -> Call:
        """Set a savepoint. For blocks within this one."""
        return self._keep_call(self._step(partial(self._pinned.savepoint, name), name="SAVEPOINT"))

    def keep(self, name: str) -> Call:
        """Keep what was done since a savepoint. For blocks within this one."""
        return self._step(partial(self._pinned.release, name), name="RELEASE SAVEPOINT")

    def undo(self, name: str, entered: Call) -> None:
        """Go back to a savepoint, and cancel the statements behind ``entered``; see ``enter``."""
        behind = list(takewhile(lambda call: call is not entered, reversed(self._calls)))
        self._submit(lambda: self._pinned.cancel_within(behind))
        self._step(partial(self._pinned.back_to, name), name="ROLLBACK TO SAVEPOINT")

    def _step(self, take: Callable[[], Any], statement: Query | None = None, name: str = "") -> Call:
        """Have ``take()``, a coroutine of ``Pinned``, run in its turn."""
        request = PinnedStep(take, statement)
        operation = Operation(
            self._target, request, use_cache=False, node=self._pinned, counted=False, name=name
        )
        started: Any = self._caller.submit(operation)
        return started  # type: ignore[no-any-return]

    def _begin(self) -> None:
        self._forget = self._caller.at_end(self._abandon)
        request = Begin(self._pinned, self._options)
        began: Any = self._caller.submit(
            Operation(self._target, request, idempotent=True, use_cache=False, node=self._node, name="BEGIN")
        )
        began.on_end(lambda: self._submit(lambda: self._pinned.not_begun(began.original)))

    def _keep(self) -> Call:
        return self._step(self._pinned.commit, name="COMMIT")

    def _undo(self) -> None:
        self._forget()
        for call in self._calls:
            call.cancel()
        self._submit(lambda: self._pinned.abandon("the transaction was rolled back"))

    def _check_kept(self, result: Result) -> None:
        self._forget()
        # Asked for in the reactor, because that may send COMMIT while the time runs out here.
        bridge = self._caller.bridge
        if result.status == TIMEOUT and bridge.ask(self._state, DEFAULT_TIMEOUT) is State.UNKNOWN:
            raise CommitUnknownError(
                f"COMMIT took more than {self._timeout:g} s, so whether the database has committed is"
                " unknown",
                code=result.code,
                node=self._node,
            )
        result.reraise()

    def _state(self) -> State:
        return self._pinned.state

    def _abandon(self) -> None:
        self._stage = Stage.LEFT
        self._submit(lambda: self._pinned.abandon("the request has ended"))

    def _submit(self, function: Callable[[], object]) -> None:
        self._caller.bridge.submit(function)


class Savepoint(Block):
    """A transaction within another: what it does is kept with that one, or undone alone."""

    def __init__(self, outer: Transaction, name: str, timeout: float) -> None:
        super().__init__(timeout)
        self._outer = outer
        self._name = name

    def execute(self, sql: str, params: Any = None, **others: Never) -> Call:
        """Execute a statement; see ``Transaction.execute``."""
        self._check_open()
        return self._outer.execute(sql, params, **others)

    def executemany(self, sql: str, rows: Iterable[Any], **others: Never) -> Call:
        """Execute ``sql`` for each row; see ``Transaction.executemany``."""
        self._check_open()
        return self._outer.executemany(sql, rows, **others)

    def transaction(self) -> Savepoint:
        """Return a transaction within this one."""
        self._check_open()
        return self._outer.transaction()

    def _begin(self) -> None:
        self._entered = self._outer.enter(self._name)

    def _keep(self) -> Call:
        return self._outer.keep(self._name)

    def _undo(self) -> None:
        self._outer.undo(self._name, self._entered)
