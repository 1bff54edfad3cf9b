"""What callers and servers of JSON-RPC 2.0 share (jsonrpc.org/specification)."""

from __future__ import annotations

import json
from typing import Any, Final

#: The value of ``jsonrpc`` in each request and response (section 4).
VERSION: Final = "2.0"

# The codes of errors (section 5.1). They come from XML-RPC, whose servers had agreed on them.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
UNKNOWN_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603


def is_marked(message: Any) -> bool:
    """Whether ``message`` is an object with the version of JSON-RPC."""
    return isinstance(message, dict) and message.get("jsonrpc") == VERSION


def dump(message: Any) -> bytes:
    """Return a request, a response or a part of one as ASCII.

    Raises TypeError or ValueError for values that JSON does not have.
    """
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")
    except RecursionError as error:
        raise ValueError("the value is nested too deep for JSON") from error
