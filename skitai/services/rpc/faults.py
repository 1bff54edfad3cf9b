"""The errors that the other side may answer instead of a value, in either protocol."""

from __future__ import annotations

from typing import Any
from xmlrpc.client import Fault

from skitai.errors import SkitaiError


class JSONRPCError(SkitaiError):
    """An error object of JSON-RPC 2.0 (section 5.1): ``code``, ``message`` and ``data`` are the server's."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(code, message, data)

    def __str__(self) -> str:
        return f"{self.message} (code: {self.code})"


#: The exceptions for what a remote procedure raised: the other side works, it only refused.
FAULTS = (Fault, JSONRPCError)


def code_and_words(fault: Fault | JSONRPCError) -> tuple[Any, str]:
    """Return the number that the far side gave a fault, and its sentence."""
    if isinstance(fault, Fault):
        return fault.faultCode, str(fault.faultString)
    return fault.code, fault.message
