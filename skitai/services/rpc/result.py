"""The result of a remote procedure call."""

from __future__ import annotations

from typing import Any, NoReturn

from skitai.calls.raising import fresh
from skitai.services.http.result import ReplyResult
from skitai.services.rpc.faults import FAULTS, code_and_words


class RPCResult(ReplyResult):
    """A reply: ``data`` is the value that the procedure returned, ``code`` the HTTP status 200.

    A fault gives status 2 and code 701, its message as ``msg`` and the fault itself as ``error``. The number
    that the server gave it is ``fault_code``, not ``code``, because it could be mistaken for an HTTP status.
    If there is no value, ``data`` is ``b""``, so that a loop over it does nothing.
    """

    @classmethod
    def failed(cls, error: BaseException, node: Any = None, target: str | None = None) -> RPCResult:
        """Return the result that stands for a fault, or for any other exception."""
        result = super().failed(error, node, target)
        assert isinstance(result, cls)
        if isinstance(error, FAULTS):
            result.msg = code_and_words(error)[1]
        return result

    @property
    def fault_code(self) -> Any:
        """The number that the server gave its fault; None if there was no fault."""
        return code_and_words(self.error)[0] if isinstance(self.error, FAULTS) else None

    def _raise(self) -> NoReturn:
        if isinstance(self.error, FAULTS):
            # The fault is an exception of its own, so it gets the attributes that an OperationError has.
            where = {"code": self.code, "node": self.node, "url": self.url}
            error = fresh(self.error, None)
            vars(error).update(where | vars(error))
            raise error
        super()._raise()
