"""The spans of requests that clients make, with the names of OpenTelemetry's conventions for HTTP."""

from __future__ import annotations

from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from skitai.http.fields import METHODS
from skitai.services.otel.contexts import Unsampled, parent_of

if TYPE_CHECKING:
    from skitai.services.otel.tracing import Tracing

_METHODS = frozenset(method.encode() for method in (*METHODS, "TRACE", "CONNECT"))
_EMPTY = Context()
_ERROR = Status(StatusCode.ERROR)
#: What a request has that is known not to be recorded.
_NOTHING = (None, None)
_SERVER_ERROR = 500
_PORT_DIGITS = 5


class RequestSpans:
    """Makes a span for each request: when its app is called, or else when its response has ended."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing

    def started(self, request: Any, environ: dict[str, Any]) -> None:
        """Make the span of ``request`` the current one. Called where the app runs, in its context."""
        tracing = self._tracing
        if tracing.tracer is None and not tracing.begin():
            return
        span: Span | None = None
        if request.path in tracing.excluded:
            span = Unsampled()
        else:
            traceparent = environ.get("HTTP_TRACEPARENT")
            parent = None if traceparent is None else parent_of(traceparent, environ.get("HTTP_TRACESTATE"))
            if not tracing.wants(parent):
                span = Unsampled() if parent is None else NonRecordingSpan(parent)
        if span is None:
            span = self._start(request, parent, environ.get("HTTP_USER_AGENT"))
            request.trace = (span, environ)
        else:
            request.trace = _NOTHING
        attach(set_span_in_context(span, _EMPTY))  # nothing detaches it: the context ends with the request

    def finished(self, request: Any) -> None:
        """End the span of ``request``. Called in the reactor thread."""
        trace, request.trace = request.trace, _NOTHING
        if trace is None:
            trace = (self._late(request), None)
        span, environ = trace
        if span is not None and span.is_recording():
            _end(span, request, environ)

    def _late(self, request: Any) -> Span | None:
        """Return a span for what no app was called for, if it is wanted: a file, a refusal, a handshake."""
        tracing = self._tracing
        if not request.method or request.path in tracing.excluded:  # without one, it was no request
            return None
        if tracing.tracer is None and not tracing.begin():
            return None
        traceparent = request.field(b"traceparent")
        parent = None
        if traceparent is not None:
            parent = parent_of(traceparent.decode("latin-1"), _text(request.field(b"tracestate")))
        if not tracing.wants(parent):
            return None
        return self._start(request, parent, _text(request.field(b"user-agent")))

    def _start(self, request: Any, parent: SpanContext | None, user_agent: str | None) -> Span:
        tracer = self._tracing.tracer
        if tracer is None:  # the server stops
            return Unsampled()
        attributes = _attributes(request)
        if user_agent is not None:
            attributes["user_agent.original"] = user_agent
        context = (
            self._tracing.root if parent is None else set_span_in_context(NonRecordingSpan(parent), _EMPTY)
        )
        began = time_ns()
        if request.arrived:  # it may have waited for its turn
            began -= int((monotonic() - request.arrived) * 1e9)
        return tracer.start_span(
            _name(request, attributes.get("http.route")),
            context,
            SpanKind.SERVER,
            attributes,
            start_time=began,
        )


def _text(field: bytes | None) -> str | None:
    return None if field is None else field.decode("latin-1")


def _attributes(request: Any) -> dict[str, Any]:
    """Return what is known of a request before it is answered."""
    connection = request.connection
    known = request.method in _METHODS
    attributes: dict[str, Any] = {
        "http.request.method": request.method.decode("latin-1") if known else "_OTHER",
        "url.path": request.path.decode("utf-8", "replace"),
        "url.scheme": "https" if connection.secure else "http",
        "network.protocol.version": request.version,
    }
    if not known:  # a client can make up any number of them
        attributes["http.request.method_original"] = request.method.decode("latin-1")
    if request.place is not None:
        attributes["http.route"] = request.place.point
    host, port = _split_authority(request.authority.decode("latin-1"))
    if host:
        attributes["server.address"] = host
        attributes["server.port"] = port or (443 if connection.secure else 80)
    client = connection.addresses["REMOTE_ADDR"]
    if client:
        attributes["client.address"] = client
    return attributes


def _split_authority(authority: str) -> tuple[str, int | None]:
    host, _, port = authority.rpartition(":")
    if host and port.isdecimal() and len(port) <= _PORT_DIGITS:
        return host.strip("[]"), int(port)
    return authority.strip("[]"), None


def _name(request: Any, route: str | None) -> str:
    method = request.method.decode("latin-1") if request.method in _METHODS else "HTTP"
    return method if route is None else f"{method} {route}"


def _end(span: Span, request: Any, environ: dict[str, Any] | None) -> None:
    found: dict[str, Any] = {}
    route = None if environ is None else _route(request.place, environ)
    if route is not None:
        found["http.route"] = route
        span.update_name(_name(request, route))
    code = request.status_code
    if code:  # else the client left before the response began
        found["http.response.status_code"] = code
        if code >= _SERVER_ERROR:
            span.set_status(_ERROR)
            if "error.type" not in (getattr(span, "attributes", None) or ()):
                found["error.type"] = str(code)
    span.set_attributes(found)
    span.end()


def _route(place: Any, environ: dict[str, Any]) -> str | None:
    """Return the rule of a framework, below the mount point; None where nobody says which."""
    rule = environ.get("skitai.route")  # Saddle says it, and so may whoever else knows
    if place is None or not isinstance(rule, str) or not rule:
        return None
    point = place.point.removesuffix("/")
    return f"{point}{rule}" if rule.startswith("/") else f"{point}/{rule}"
