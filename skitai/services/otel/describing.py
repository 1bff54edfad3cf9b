"""What a span says of a call, by what the call asks for: names and attributes of the conventions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind

from skitai import DB_SQLITE3
from skitai.errors import (
    CODE_BAD_REPLY,
    CODE_BUSY,
    CODE_CLOSED,
    CODE_DNS,
    CODE_EXCEPTION,
    CODE_SHUTDOWN,
    CODE_SOCKET_ERROR,
    NORMAL,
    TIMEOUT,
    OperationError,
)
from skitai.services.db.query import Query
from skitai.services.db.transaction import Begin, PinnedStep
from skitai.services.http.request import HTTPRequest
from skitai.services.otel.statements import summary
from skitai.services.run.service import Run
from skitai.services.websocket.conversing import Conversation
from skitai.services.websocket.service import MessageRequest

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.operation import Operation
    from skitai.calls.result import Result

Attributes = dict[str, Any]
Description = tuple[str, SpanKind, Attributes]

_CLIENT_ERROR = 400
#: Characters of a statement.
_TEXT_MAX = 2000
_RPC = {"rpc": "xmlrpc", "jsonrpc": "jsonrpc"}
_WORDS = {
    CODE_CLOSED: "closed",
    CODE_DNS: "dns",
    CODE_SHUTDOWN: "cancelled",
    CODE_SOCKET_ERROR: "socket",
    CODE_BUSY: "refused",
    CODE_BAD_REPLY: "bad_reply",
}


def describe(call: Call) -> Description:
    """Return name, kind and first attributes of the span of ``call``."""
    operation = call.operation
    name, attributes = _DESCRIBE.get(type(operation.request), _other)(call.service, operation)
    attributes["skitai.service"] = f"was.{call.service}"
    cluster = operation.cluster
    if cluster is not None:
        attributes["skitai.cluster"] = f"@{cluster}"
    return name, SpanKind.INTERNAL if operation.local else SpanKind.CLIENT, attributes


def _other(service: str, _operation: Operation) -> tuple[str, Attributes]:
    return service or "call", {}


def _http(service: str, operation: Operation) -> tuple[str, Attributes]:
    method = operation.request.method
    if service not in _RPC:
        return method, {"http.request.method": method}
    called = operation.name
    return called or method, {
        "http.request.method": method,
        "rpc.system.name": _RPC[service],
        "rpc.method": called,
    }


def _query(_service: str, operation: Operation) -> tuple[str, Attributes]:
    return _statement(operation.request)


def _statement(query: Query) -> tuple[str, Attributes]:
    short = summary(query.sql)
    attributes: Attributes = {"db.query.summary": short}
    if query.params is not None or query.rows is not None:  # else the values may stand in the text
        attributes["db.query.text"] = query.sql[:_TEXT_MAX]
    if query.rows is not None and len(query.rows) > 1:
        attributes["db.operation.batch.size"] = len(query.rows)
    return short or "SQL", attributes


def _step(_service: str, operation: Operation) -> tuple[str, Attributes]:
    statement = operation.request.recorded
    if statement is not None:
        return _statement(statement)
    return operation.name or "SQL", {"db.operation.name": operation.name} if operation.name else {}


def _run(_service: str, operation: Operation) -> tuple[str, Attributes]:
    return operation.target, {"code.function.name": operation.target}


def _websocket(_service: str, _operation: Operation) -> tuple[str, Attributes]:
    return "websocket", {"network.protocol.name": "websocket"}


_DESCRIBE: dict[type, Callable[[str, Operation], tuple[str, Attributes]]] = {
    HTTPRequest: _http,
    Query: _query,
    Begin: _step,
    PinnedStep: _step,
    Run: _run,
    MessageRequest: _websocket,
    Conversation: _websocket,
}


def where(node: Any) -> Attributes:
    """Return the attributes of the node that was asked."""
    found: Attributes = {}
    host = getattr(node, "host", None)
    if host:
        found["server.address"] = host
        found["server.port"] = node.port
    dbtype = getattr(node, "dbtype", None)
    if dbtype is not None:
        found["db.system.name"] = "sqlite" if dbtype == DB_SQLITE3 else dbtype
        name = getattr(node, "dbname", None)
        if name:
            found["db.namespace"] = name
    return found


def outcome(call: Call, result: Result) -> Attributes:
    """Return the attributes of what came; with ``error.type`` if that is a failure."""
    found: Attributes = {}
    request = call.operation.request
    if type(request) is HTTPRequest:
        _add_reply(found, request, result)
    failed = result.status != NORMAL
    if failed:
        found["error.type"] = _error_type(result)
        state = getattr(result.error, "pgcode", None)
        if state:
            found["db.response.status_code"] = found["error.type"] = state
    if getattr(result, "is_cached", False):
        found["skitai.cached"] = True
    return found


def _add_reply(found: Attributes, request: HTTPRequest, result: Any) -> None:
    node = result.node
    if hasattr(node, "authority"):
        # The query is left out: it may hold what is secret.
        path = (result.asked or request.target).partition("?")[0]
        found["url.full"] = f"{'https' if node.tls else 'http'}://{node.authority}{path}"
    if result.asked:  # a reply came
        found["http.response.status_code"] = result.code
        found["network.protocol.version"] = result.version
        if result.code >= _CLIENT_ERROR:
            found["error.type"] = str(result.code)


def _error_type(result: Result) -> str:
    if result.status == TIMEOUT:
        return "timeout"
    error = result.error
    if isinstance(error, OperationError) and result.code == CODE_EXCEPTION:
        error = error.__cause__
    if error is None or isinstance(error, OperationError):
        return _WORDS.get(result.code) or str(result.code)
    return class_name(error)


def class_name(error: BaseException) -> str:
    """Return the name of the class of ``error``, with its module."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
