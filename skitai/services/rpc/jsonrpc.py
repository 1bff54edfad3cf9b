"""JSON-RPC 2.0 as a codec (jsonrpc.org/specification)."""

from __future__ import annotations

import json
from typing import Any

from skitai.formats.jsonrpc import VERSION, dump, is_marked
from skitai.formats.jsontext import read_json
from skitai.services.rpc.codec import Codec, Reader
from skitai.services.rpc.faults import JSONRPCError

# Each call has an HTTP request of its own, so one number is enough. It makes equal calls equal for the cache.
_ID = 1
#: Either of these tells a response, also one of version 1.0, from what a proxy or another API may send.
_MEMBERS = frozenset(("id", "result"))
#: Characters of the message for an error that has none.
_WORDS_MAX = 500


class JSONRPC(Codec):
    """Arguments by position or by name (section 4.2), not both."""

    name = "JSON-RPC"
    service = "jsonrpc"
    media_types = ("application/json", "application/json-rpc", "application/jsonrequest")

    def encode(self, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return a request object; raise TypeError or ValueError for a value that JSON cannot express."""
        if args and kwargs:
            raise TypeError(
                f"{method}() has arguments by position and by name: JSON-RPC takes one or the other"
            )
        request = {"jsonrpc": VERSION, "method": method, "params": kwargs or args, "id": _ID}
        try:
            return dump(request)
        except TypeError as error:
            raise TypeError(f"params: {error}") from error
        except ValueError as error:
            raise ValueError(f"params: {error}") from error

    def reader(self) -> Reader:
        """Return the reader of a response object."""
        return _ResponseReader()


class _ResponseReader:
    """Collects a response, checks it (section 5) and unwraps its result."""

    def __init__(self) -> None:
        self._body = bytearray()

    def feed(self, data: bytes) -> None:
        self._body += data

    def close(self) -> Any:
        """Return the result, or raise the error: whatever its form, it is what the server says.

        Servers of version 1.0 have both members, one of them null, and no ``jsonrpc``.
        """
        response = read_json(bytes(self._body))
        if not is_marked(response) and not (isinstance(response, dict) and _MEMBERS & response.keys()):
            raise ValueError(f"not a response object of JSON-RPC: {_written(response)}")
        error = response.get("error")
        if error or (error is not None and response.get("result") is None):
            raise _fault_of(error)
        if "result" not in response:
            raise ValueError("not a JSON-RPC response: it must hold either a result or an error")
        answered = response.get("id")
        if type(answered) is not int or answered != _ID:
            raise ValueError(f"the JSON-RPC response is for id {answered!r:.100}, not {_ID}")
        return response["result"]


def _fault_of(error: Any) -> JSONRPCError:
    """Return the fault that the ``error`` of a response stands for.

    It should be an object with a code and a message. Anything else is told in its own words.
    """
    if isinstance(error, str):
        return JSONRPCError(None, error)
    if not isinstance(error, dict):
        return JSONRPCError(None, _written(error), error)
    code, message = error.get("code"), error.get("message")
    number = code if type(code) is int else None
    if isinstance(message, str) and number is not None:
        return JSONRPCError(number, message, error.get("data"))
    return JSONRPCError(number, message if isinstance(message, str) else _written(error), error)


def _written(value: Any) -> str:
    """Return a JSON value as text, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _WORDS_MAX else f"{text[:_WORDS_MAX]}..."
