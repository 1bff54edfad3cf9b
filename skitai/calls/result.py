"""The results of calls: what ``getwait`` returns."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NoReturn, Self, overload

from skitai.calls.cache import DEFAULT_SECONDS, Cacheable
from skitai.calls.raising import fresh
from skitai.errors import CODE_EXCEPTION, FAILED, NORMAL, TIMEOUT, OperationError, OperationTimeout

#: What a result has that other processes have not.
_OF_THIS_PROCESS = frozenset(("node", "error", "target", "is_cached", "cache_place"))


class Result(Cacheable):
    """The outcome of one operation on one node.

    ``status`` is 1 (timeout), 2 (exception) or 3 (normal). ``code`` is the service's code, such as the HTTP
    status (700-719 if no reply came), ``msg`` its text, ``data`` what came back. ``node`` is the node that
    was asked last (None if there was none), ``error`` the exception behind a failure, or None. Services may
    add attributes in a subclass. A result with ``is_cached`` came from the cache and is shared by all that
    got it, in any thread, so it must not be changed.
    """

    #: The ``data`` if nothing came back.
    empty: Any = b""

    #: The class that holds the results of several nodes.
    results_type: type[Results]

    #: The target as the app wrote it, for the exception that a failure raises.
    target: str | None = None

    def __init__(
        self,
        data: Any = b"",
        *,
        status: int = NORMAL,
        code: int = 200,
        msg: str = "OK",
        node: Any = None,
        error: BaseException | None = None,
    ) -> None:
        self.status = status
        self.code = code
        self.msg = msg
        self.data = data
        self.node = node
        self.error = error

    @classmethod
    def failed(cls, error: BaseException, node: Any = None, target: str | None = None) -> Self:
        """Return the result for an exception, with the code and status that it carries.

        ``node`` was asked, ``target`` is what the app wrote; both are set on an OperationError that has none.
        """
        if isinstance(error, OperationError):
            status, code, msg = error.status, error.code, error.message
            error.node = node = error.node or node
            error.url = error.url or target
        else:
            status, code, msg = FAILED, CODE_EXCEPTION, f"{type(error).__name__}: {error}"
        result = cls(cls.empty, status=status, code=code, msg=msg, node=node, error=error)
        result.target = target
        return result

    def reraise(self) -> None:
        """Raise the failure; do nothing if the status is 3.

        Raises ``OperationTimeout`` or ``OperationError``, with the cause chained. It is a new exception each
        time: its traceback has the frames of who has called, and of nobody else.
        """
        if self.status != NORMAL:
            self._raise()

    def _raise(self) -> NoReturn:
        if isinstance(self.error, OperationError):
            raise fresh(self.error, None)
        where: dict[str, Any] = {"code": self.code, "node": self.node, "url": self.target}
        if self.status == TIMEOUT:
            raise OperationTimeout(self.msg, **where) from self.error
        raise OperationError(self.msg, status=self.status, **where) from self.error

    @property
    def is_keepable(self) -> bool:
        """Whether the cache may keep it: only if the status is 3."""
        return self.status == NORMAL

    def as_kept(self) -> Result:
        """Return the copy that the cache keeps."""
        kept = copy.copy(self)
        kept.data = copy.deepcopy(self.data)  # the app may change its own
        kept.is_cached = True
        return kept

    def plain(self) -> dict[str, Any]:
        """Return what another process needs to make the same result."""
        return {name: value for name, value in vars(self).items() if name not in _OF_THIS_PROCESS}

    @classmethod
    def of_plain(cls, fields: dict[str, Any]) -> Self:
        """Return the result that ``plain`` described. Raises ValueError for what no result has."""
        result = cls(cls.empty)
        if not isinstance(fields, dict) or not vars(result).keys() - _OF_THIS_PROCESS <= fields.keys():
            raise ValueError("these are not the fields of a result")
        vars(result).update(fields)
        return result

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)  # what copy() does by a longer way
        return twin

    def __iter__(self) -> Iterator[Any]:
        """Iterate over ``data``, as the README's examples do."""
        return iter(self.data)

    def __repr__(self) -> str:
        label = getattr(self.node, "label", None)
        return f"<{type(self).__name__} {self.status} {self.code} {self.msg!r} from {label}>"


class Results(Sequence[Result], Cacheable):
    """The outcomes of one operation on several nodes, in the order of the cluster's members.

    Or those of several operations, in the order of the arguments of ``was.gather``; then ``cache`` keeps each
    by itself.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = tuple(results)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Result]: ...
    def __getitem__(self, index: int | slice) -> Result | Sequence[Result]:
        return self._results[index]

    def __len__(self) -> int:
        return len(self._results)

    @property
    def status(self) -> list[int]:
        """The status of each result."""
        return [result.status for result in self._results]

    @property
    def code(self) -> list[int]:
        """The code of each result."""
        return [result.code for result in self._results]

    @property
    def data(self) -> list[Any]:
        """The data of each result."""
        return [result.data for result in self._results]

    def reraise(self) -> None:
        """Raise the first failure in the order of the results; do nothing if every status is 3."""
        for result in self._results:
            result.reraise()

    @property
    def is_keepable(self) -> bool:
        """Whether the cache may keep them: only if every status is 3."""
        return all(result.status == NORMAL for result in self._results)

    def as_kept(self) -> Results:
        """Return the copy that the cache keeps."""
        kept = type(self)([result.as_kept() for result in self._results])
        kept.is_cached = True
        return kept

    def cache(self, seconds: float = DEFAULT_SECONDS) -> None:
        """Keep them for ``seconds``, all or none; see ``Result.cache``."""
        if self.cache_place is not None:
            super().cache(seconds)
            return
        for result in self._results:
            result.cache(seconds)

    def expire(self) -> None:
        """Have the cache forget them."""
        super().expire()
        for result in self._results:
            result.expire()

    def __await__(self) -> Generator[Any, Any, Results]:
        """Return itself at once, so that ``await was.gather(...)`` works wherever a coroutine runs."""
        yield from ()
        return self

    def __repr__(self) -> str:
        return f"<Results {list(self._results)!r}>"


def together(results: Sequence[Result]) -> Results:
    """Return the results of one operation on several nodes, as their class wants them."""
    return type(results[0]).results_type(results)


#: What holds several results of the class; set here, because that class comes second.
Result.results_type = Results
