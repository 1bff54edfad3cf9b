"""A collector of traces that listens: OTLP over HTTP, as protobuf."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from serving import eventually

KINDS = {1: "INTERNAL", 2: "SERVER", 3: "CLIENT"}


def _value(value):
    return getattr(value, value.WhichOneof("value"))


def _attributes(pairs):
    return {pair.key: _value(pair.value) for pair in pairs}


class Seen:
    """A span as it came; ``span["http.route"]`` is an attribute, None if there is none."""

    def __init__(self, span, resource):
        self.name, self.kind = span.name, KINDS[span.kind]
        self.trace_id, self.id, self.parent = (
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
        )
        self.attributes = _attributes(span.attributes)
        self.events = [(event.name, _attributes(event.attributes)) for event in span.events]
        self.failed = span.status.code == 2
        self.state = span.trace_state
        self.seconds = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
        self.resource = resource

    def __getitem__(self, name):
        return self.attributes.get(name)

    def __repr__(self):
        return f"<{self.kind} {self.name!r} {self.id} below {self.parent or 'nothing'} {self.attributes}>"


class Collector:
    """Takes spans; ``headers`` are those of the last request, ``status`` what it answers."""

    def __init__(self):
        self.spans, self.headers, self.status = [], {}, 200
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.headers = dict(self.headers)
                assert self.path == "/v1/traces", self.path
                if collector.status == 200:
                    collector._take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, request):
        for group in request.resource_spans:
            resource = _attributes(group.resource.attributes)
            for scope in group.scope_spans:
                self.spans += [Seen(span, resource) for span in scope.spans]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def find(self, **wanted):
        """Return the spans whose attributes of Python have these values."""
        return [
            span
            for span in list(self.spans)
            if all(getattr(span, name) == value for name, value in wanted.items())
        ]

    def one(self, **wanted):
        """Wait for a span like this; there must be no other."""
        eventually(lambda: self.find(**wanted), f"a span with {wanted} among {self.spans}")
        (span,) = self.find(**wanted)
        return span

    def close(self):
        self._server.shutdown()
        self._server.server_close()
