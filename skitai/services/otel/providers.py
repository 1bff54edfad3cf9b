"""The provider of OpenTelemetry: that of an app, or one of our own, which a thread of its own exports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.context import Context, create_key, get_value, set_value
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_ON,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from twisted.logger import Logger

from skitai.services.otel.exporting import Exporter, make_exporter

if TYPE_CHECKING:
    from skitai.services.otel.settings import Settings

_log = Logger()

_KEY = create_key("skitai-decided")
#: The context of a span without a parent whose trace was chosen already.
DECIDED = set_value(_KEY, True, Context())


class _Roots(Sampler):
    """Decides of spans that begin a trace: a request was decided of before, and what apps begin is not."""

    def __init__(self, ratio: float) -> None:
        self._others = TraceIdRatioBased(ratio)

    def should_sample(self, parent_context: Context | None, *args: Any, **kwargs: Any) -> SamplingResult:
        decided = parent_context is not None and get_value(_KEY, parent_context)
        return (ALWAYS_ON if decided else self._others).should_sample(parent_context, *args, **kwargs)

    def get_description(self) -> str:
        return f"SkitaiRoots{{{self._others.rate}}}"


class Providers:
    """Finds the provider, and ends it if it is our own."""

    #: Those that instances of this process have made.
    _made: ClassVar[WeakSet[TracerProvider]] = WeakSet()

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: TracerProvider | None = None
        # Here, because to import what they need takes a tenth of a second. Neither has a thread or a socket.
        self._resource = Resource.create(
            {} if settings.service_name is None else {"service.name": settings.service_name}
        )
        self._exporter = None if settings.exporter == "app" else make_exporter(settings)

    def find(self) -> tuple[trace.TracerProvider, bool]:
        """Return the provider, and whether it is our own. Called once, in the process that serves."""
        found = trace.get_tracer_provider()
        is_set = not isinstance(found, trace.ProxyTracerProvider)
        if self._exporter is None or (is_set and found not in self._made):
            _log.info("traces go where {provider} sends them", provider=type(found).__qualname__)
            return found, False
        own = self._own = self._make(self._exporter)
        self._made.add(own)
        if not is_set:
            trace.set_tracer_provider(own)  # for the spans of apps
        return own, True

    def _make(self, exporter: SpanExporter) -> TracerProvider:
        ratio = self._settings.ratio
        provider = TracerProvider(
            sampler=None if ratio is None else ParentBased(_Roots(ratio)),
            resource=self._resource.merge(Resource({"process.pid": os.getpid()})),
            shutdown_on_exit=False,  # see Observer.stop: nobody waits for a collector that is down
        )
        if isinstance(exporter, Exporter):
            exporter.hush()
        provider.add_span_processor(BatchSpanProcessor(exporter))  # which starts its thread
        return provider

    @property
    def own(self) -> TracerProvider | None:
        """Our own provider, if there is one."""
        return self._own
