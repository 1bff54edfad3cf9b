"""The results of statements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn, Self

from skitai.calls.raising import fresh
from skitai.calls.result import Result, Results
from skitai.errors import FAILED, NORMAL, SkitaiError
from skitai.services.db.rows import Row

#: The code of a statement that the database refused: the README's number.
CODE_STATEMENT = 501


class DBResults(Results):
    """The results of one statement on the members of a cluster."""

    def rows(self) -> list[Row]:
        """Return the rows of the results that succeeded, in the order of the members."""
        return [row for result in self if result.status == NORMAL for row in result.data]


class DBResult(Result):
    """The rows of a statement: ``data`` is a list of ``Row``, empty where the statement gives none.

    ``description`` has a tuple for each column, as PEP 249 says, and is None if the
    statement gives no rows. ``rowcount`` is how many rows were found or changed, -1 if that is unknown.

    If the database refused the statement, ``status`` is 2, ``code`` 501 and ``error`` the driver's exception,
    which ``reraise`` raises; ``diagnostics`` has what the server said of it, such as ``constraint_name``.

    Of a failed result ``data`` is empty, too. So a loop over the result, ``first`` and ``scalar`` raise what
    ``reraise`` raises then: no rows are not the same as no answer.
    """

    empty: Any = ()
    #: The class of what ``data`` has.
    row_type = Row
    results_type = DBResults
    diagnostics: Mapping[str, str] = MappingProxyType({})
    _refused = False

    def __init__(
        self,
        data: Any = (),
        *,
        description: Sequence[Sequence[Any]] | None = None,
        rowcount: int = -1,
        **fields: Any,
    ) -> None:
        super().__init__(data if type(data) is list else list(data), **fields)
        self.description = description
        self.rowcount = rowcount

    @classmethod
    def failed(cls, error: BaseException, node: Any = None, target: str | None = None) -> Self:
        """Return the result for an exception; see ``Result.failed``.

        One of Skitai's loses its frames, which would hold the connection.
        """
        if isinstance(error, SkitaiError):
            error.__context__ = None
            error = error.with_traceback(None)
        return super().failed(error, node, target)

    @classmethod
    def of_statement_error(
        cls, error: Exception, message: str, diagnostics: Mapping[str, str] | None = None
    ) -> DBResult:
        """Return the result of a statement that a healthy database refused.

        ``error`` is the driver's exception, which must hold neither its cursor nor its frames.
        """
        result = cls(status=FAILED, code=CODE_STATEMENT, msg=message, error=error)
        result.diagnostics = dict(diagnostics or {})
        result._refused = True
        return result

    @classmethod
    def of_plain(cls, fields: dict[str, Any]) -> Self:
        """Return the result that ``plain`` described; see ``Result.of_plain``."""
        result = super().of_plain(fields)
        result.data = list(map(Row, result.data))
        return result

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows; raise what ``reraise`` raises."""
        self.reraise()
        return iter(self.data)

    def first(self) -> Row | None:
        """Return the first row, or None if there is none; raise what ``reraise`` raises."""
        self.reraise()
        return self.data[0] if self.data else None

    def scalar(self) -> Any:
        """Return the first column of the first row, None without rows; raise what ``reraise`` raises."""
        row = self.first()
        return None if row is None else next(iter(row.values()), None)

    def _raise(self) -> NoReturn:
        if self._refused and self.error is not None:
            raise fresh(self.error, None)
        super()._raise()
