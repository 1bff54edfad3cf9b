"""The trace that a request is a part of (W3C Trace Context, https://www.w3.org/TR/trace-context/)."""

from __future__ import annotations

import re
from random import getrandbits

from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, SpanContext, TraceFlags, TraceState

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
#: Longer ones are cut by nobody, but carried to each machine that is asked.
_TRACESTATE_MAX = 8192
_NONE = TraceState()
_SAMPLED, _UNSAMPLED = TraceFlags(TraceFlags.SAMPLED), TraceFlags(TraceFlags.DEFAULT)


def parent_of(traceparent: str, tracestate: str | None) -> SpanContext | None:
    """Return what the two fields of a request say; None where they are malformed, as if there were none.

    Of a later version of the format, what version 00 has is used (section 4.3).
    """
    match = _TRACEPARENT.fullmatch(traceparent.strip(" \t"))
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return None
    context = SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=True,
        trace_flags=_SAMPLED if int(flags, 16) & TraceFlags.SAMPLED else _UNSAMPLED,
        trace_state=_NONE if tracestate is None else _state_of(tracestate),
    )
    return context if context.is_valid else None


def _state_of(tracestate: str) -> TraceState:
    return TraceState.from_header([tracestate]) if len(tracestate) <= _TRACESTATE_MAX else _NONE


def fields_for(context: SpanContext) -> str:
    """Return the header lines that tell another machine of ``context``."""
    lines = f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}\r\n"
    if context.trace_state:
        lines += f"tracestate: {context.trace_state.to_header()}\r\n"
    return lines


class Unsampled(NonRecordingSpan):
    """Stands for the span of what begins a trace that is not recorded.

    It costs nearly nothing: only who asks for its ids, such as a call to another machine, has them made.
    """

    def __init__(self) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)

    def get_span_context(self) -> SpanContext:
        """Return the ids that all parts of the trace have; they say that it is not recorded."""
        context = self._context
        if context is INVALID_SPAN_CONTEXT:
            context = self._context = SpanContext(
                getrandbits(128) or 1, getrandbits(64) or 1, is_remote=False, trace_flags=_UNSAMPLED
            )
        return context
