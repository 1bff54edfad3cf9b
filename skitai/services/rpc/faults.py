"""The faults that the server may return instead of a value, in either protocol."""

from __future__ import annotations

from typing import Any
from xmlrpc.client import Fault

from skitai.errors import SkitaiError


class JSONRPCError(SkitaiError):
    """An error of JSON-RPC 2.0 (section 5.1): ``code``, ``message`` and ``data`` are the server's.

    ``code`` is None where the server gave no number.
    """

    def __init__(self, code: int | None, message: str, data: Any = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(code, message, data)

    def __str__(self) -> str:
        return self.message if self.code is None else f"{self.message} (code: {self.code})"


#: What a remote procedure raised: the server works, but refused the call.
FAULTS = (Fault, JSONRPCError)


def code_and_words(fault: Fault | JSONRPCError) -> tuple[Any, str]:
    """Return the number and the message that the server gave a fault."""
    if isinstance(fault, Fault):
        return fault.faultCode, str(fault.faultString)
    return fault.code, fault.message
