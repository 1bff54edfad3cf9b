"""A ``with`` or ``async with`` block whose statements are kept or undone together."""

from __future__ import annotations

from enum import Enum, auto
from types import TracebackType
from typing import TYPE_CHECKING, Self

from skitai.errors import MisuseError

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.result import Result


class Stage(Enum):
    """Where code is with a block."""

    NEW = auto()
    ENTERED = auto()
    #: Nothing more is executed in it.
    LEFT = auto()


class Block:
    """A block of statements that is kept as a whole or undone: a transaction, or one within another.

    ``_begin``, ``_keep`` and ``_undo`` are what subclasses do at its ends. Used by one thread, greenlet or
    coroutine.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._stage = Stage.NEW

    def _begin(self) -> None:
        """Start what the block is done in."""
        raise NotImplementedError

    def _keep(self) -> Call:
        """Start to keep what was done, and return the call that says whether it is kept."""
        raise NotImplementedError

    def _undo(self) -> None:
        """Start to undo what was done."""
        raise NotImplementedError

    def _check_kept(self, result: Result) -> None:
        """Raise what prevented that the block is kept."""
        result.reraise()

    def _enter(self) -> None:
        if self._stage is not Stage.NEW:
            raise MisuseError("a transaction is for one block: make another")
        self._stage = Stage.ENTERED
        self._begin()

    def _leave(self, error: BaseException | None) -> Call | None:
        self._stage = Stage.LEFT
        if error is None:
            return self._keep()
        self._undo()
        return None

    def _check_open(self) -> None:
        if self._stage is not Stage.ENTERED:
            raise MisuseError("a transaction executes within its block: with was.db.transaction(...) as tx:")

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        keeping = self._leave(error)
        if keeping is not None:
            try:
                self._check_kept(keeping.getwait(self._timeout))
            except BaseException:
                self._undo()
                raise

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        keeping = self._leave(error)
        if keeping is not None:
            try:
                self._check_kept(await keeping.awaitable(self._timeout))
            except BaseException:
                self._undo()
                raise
