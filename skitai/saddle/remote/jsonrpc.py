"""JSON-RPC 2.0 on the server's side (jsonrpc.org/specification)."""

from __future__ import annotations

import math
import re
from typing import Any
from xmlrpc.client import Fault

from skitai.formats.jsonrpc import INTERNAL_ERROR, INVALID_REQUEST, VERSION, dump, is_marked
from skitai.saddle.remote.methods import CALLS_MAX, EXCEPTION, HIDDEN, Methods

_MARK = re.compile(rb'"jsonrpc"\s*:\s*"%b"' % re.escape(VERSION.encode()))
_RESULT = b'{"jsonrpc":"' + VERSION.encode() + b'","result":%b,"id":%b}'


def has_mark(body: bytes) -> bool:
    """Whether a body mentions the version of JSON-RPC; it may still be something else."""
    return _MARK.search(body) is not None


def any_is_marked(request: Any) -> bool:
    """Whether a request, or one of a batch, names the version of JSON-RPC."""
    members = request if isinstance(request, list) else [request]
    return any(is_marked(member) for member in members)


def answer_request(request: Any, methods: Methods) -> bytes:
    """Return the response, or the responses to a batch; nothing for notifications only."""
    if not isinstance(request, list):
        return _answer_one(request, methods)
    if not request:  # section 6
        return dump_error(INVALID_REQUEST, "Invalid Request: the batch is empty")
    if len(request) > CALLS_MAX:
        return dump_error(INVALID_REQUEST, f"Invalid Request: a batch has at most {CALLS_MAX} calls")
    responses = [response for each in request if (response := _answer_one(each, methods))]
    return b"[%b]" % b",".join(responses) if responses else b""


def dump_error(code: int, message: str, request_id: Any = None, data: str | None = None) -> bytes:
    """Return the response with an error. The id is None if that of the request cannot be read."""
    error: dict[str, Any] = {"code": code, "message": message}
    if data is not None:
        error["data"] = data
    return dump({"jsonrpc": VERSION, "error": error, "id": request_id})


def _answer_one(request: Any, methods: Methods) -> bytes:
    if not _is_request(request):
        return dump_error(INVALID_REQUEST, "Invalid Request")
    params = request.get("params", [])
    args, kwargs = ((), params) if isinstance(params, dict) else (tuple(params), {})
    try:
        result = methods.run(request["method"], args, kwargs)
    except Fault as fault:
        response = _dump_fault(fault, request.get("id"))
    else:
        response = _RESULT % (result, dump(request.get("id")))
    return response if "id" in request else b""  # section 4.1: a notification is not answered


def _dump_fault(fault: Fault, request_id: Any) -> bytes:
    if fault.faultCode == EXCEPTION:
        told = fault.faultString if fault.faultString != HIDDEN else None
        return dump_error(INTERNAL_ERROR, "Internal error", request_id, told)
    return dump_error(fault.faultCode, fault.faultString, request_id)


def _is_request(request: Any) -> bool:
    """Whether this is a request object (section 4)."""
    return (
        is_marked(request)
        and isinstance(request.get("method"), str)
        and isinstance(request.get("params", []), list | dict)
        and _is_id(request.get("id"))
    )


def _is_id(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # 1e999 is JSON, but there is no way to send it back
    return value is None or (isinstance(value, str | int) and not isinstance(value, bool))
