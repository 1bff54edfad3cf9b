"""The spans of calls of ``was``: one for each, whose context goes with each try of a request over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import attach
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    Status,
    StatusCode,
    get_current_span,
    set_span_in_context,
)

from skitai.services.http.request import HTTPRequest
from skitai.services.otel.contexts import Unsampled, fields_for
from skitai.services.otel.describing import describe, outcome, where
from skitai.services.run.service import Run

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.operation import Operation
    from skitai.calls.result import Result
    from skitai.services.otel.tracing import Tracing

_ERROR = Status(StatusCode.ERROR)
_FIELD = "traceparent:"


class CallSpans:
    """Makes a span for each call, below the span that is the current one where it is made."""

    def __init__(self, tracing: Tracing) -> None:
        self._tracing = tracing
        #: The span of each call under way that is recorded, or whose request tells that it is not.
        self._spans: dict[Call, Span] = {}

    def started(self, call: Call) -> None:
        """Begin the span. Called in the context of the app."""
        tracing = self._tracing
        if tracing.tracer is None and not tracing.begin():
            return
        current = get_current_span()
        begins = current is INVALID_SPAN
        if begins:
            wanted = tracing.wants(None)
        else:
            wanted = type(current) is not Unsampled and (
                current.is_recording() or tracing.wants(current.get_span_context())
            )
        if wanted:
            self._start(call, begins)
        elif type(call.operation.request) is HTTPRequest:
            self._spans[call] = Unsampled() if begins else current

    def _start(self, call: Call, begins: bool) -> None:
        tracer = self._tracing.tracer
        if tracer is None:  # the server stops
            return
        name, kind, attributes = describe(call)
        span = tracer.start_span(name, self._tracing.root if begins else None, kind, attributes)
        self._spans[call] = span
        request = call.operation.request
        if type(request) is Run:  # what the function does is a part of its run
            request.context.run(attach, set_span_in_context(span))

    def attempt(self, call: Call, node: Any, operation: Operation) -> Operation | None:
        """Return ``operation`` with the context in its header. Called in the reactor thread."""
        span = self._spans.get(call)
        if span is None:
            return None
        if span.is_recording() and operation.cluster is not None:
            span.add_event("skitai.attempt", where(node))
        request = operation.request
        if type(request) is not HTTPRequest or _FIELD in request.fields.lower():  # an app may set it itself
            return None
        return operation.with_request(request.with_lines(fields_for(span.get_span_context())))

    def finished(self, call: Call, result: Result) -> None:
        """End the span. Called in any thread."""
        span = self._spans.pop(call, None)
        if span is None or not span.is_recording():
            return
        node = result.node or call.node
        # A transaction is a node of its own, which knows where it is.
        found = {**where(getattr(node, "database", node)), **outcome(call, result)}
        span.set_attributes(found)
        if "error.type" in found:
            span.set_status(_ERROR)
        span.end()
