"""JSON-RPC 2.0 as a codec (jsonrpc.org/specification)."""

from __future__ import annotations

from typing import Any, NoReturn

from skitai.formats.jsonrpc import VERSION, dump, is_marked
from skitai.formats.jsontext import read_json
from skitai.services.rpc.codec import Codec, Reader
from skitai.services.rpc.faults import JSONRPCError

# Each call has an HTTP request of its own, so one number is enough. It makes equal calls equal for the cache.
_ID = 1


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
        response = read_json(bytes(self._body))
        if not is_marked(response):
            raise ValueError("not a response object of JSON-RPC 2.0")
        if ("result" in response) == ("error" in response):
            raise ValueError("not a JSON-RPC response: it must hold either a result or an error")
        # Section 5: the id of an error is null where the server could not read the request's.
        answered = response.get("id")
        if answered is None and "error" in response:
            answered = _ID
        if type(answered) is not int or answered != _ID:
            raise ValueError(f"the JSON-RPC response is for id {answered!r:.100}, not {_ID}")
        if "error" in response:
            _raise_error(response["error"])
        return response["result"]


def _raise_error(error: Any) -> NoReturn:
    if not isinstance(error, dict):
        raise ValueError("the error of the JSON-RPC response is not an object")
    code, message = error.get("code"), error.get("message")
    if type(code) is not int or not isinstance(message, str):
        raise ValueError("the error of the JSON-RPC response lacks its code or its message")
    raise JSONRPCError(code, message, error.get("data"))
