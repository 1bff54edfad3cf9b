"""What a function returned or raised."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NoReturn, Self

from skitai.calls.raising import fresh
from skitai.calls.result import Result
from skitai.errors import CODE_EXCEPTION, FAILED, OperationError, words_of


class RunResult(Result):
    """The outcome of ``was.run``: ``data`` is the object that the function returned, not a copy.

    If the function raised, ``status`` is 2 and ``error`` is what it raised; ``code`` is that of an
    ``OperationError``, and 701 for anything else.
    """

    empty: Any = None

    _raised: BaseException | None = None
    _traceback: TracebackType | None = None

    @classmethod
    def raised(cls, error: BaseException) -> Self:
        """Return the result of a function that raised ``error``."""
        code = error.code if isinstance(error, OperationError) else CODE_EXCEPTION
        message = f"{type(error).__name__}: {words_of(error)}"
        result = cls(None, status=FAILED, code=code, msg=message, error=error)
        result._raised, result._traceback = error, error.__traceback__
        return result

    def _raise(self) -> NoReturn:
        if self._raised is None:  # the function did not come to its end in time, or did not begin
            super()._raise()
        raise fresh(self._raised, self._traceback)
