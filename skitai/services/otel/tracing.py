"""The tracer of one instance: when it begins, and what it records."""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import TYPE_CHECKING

from skitai import __version__
from skitai.loop.native import Lock
from skitai.services.otel.providers import DECIDED, Providers

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import SpanContext, Tracer

    from skitai.services.otel.settings import Settings

_NAME = "skitai"


class Tracing:
    """Makes the tracer when it is first needed and ``may_begin()``: after the fork, when apps are loaded.

    An app can so set a provider of its own before. ``tracer`` is None until then, and after the end.
    """

    def __init__(self, settings: Settings, may_begin: Callable[[], bool]) -> None:
        self.tracer: Tracer | None = None
        self.excluded = settings.excluded
        self.providers = Providers(settings)
        self._may_begin = may_begin
        self._beginning = Lock()
        self._is_over = False
        self._ratio = settings.ratio

    def begin(self) -> bool:
        """Return whether there is a tracer; make it if the time has come. Called in any thread."""
        if self._is_over or not self._may_begin():
            return False
        with self._beginning:
            if self.tracer is None:
                provider, is_own = self.providers.find()
                if not is_own:
                    self._ratio = None  # its sampler decides
                self.tracer = provider.get_tracer(_NAME, __version__)
        return True

    def end(self) -> None:
        """Begin no more spans."""
        self._is_over = True
        self.tracer = None

    def wants(self, parent: SpanContext | None) -> bool:
        """Return whether to make a span: if its trace is recorded, or only the sampler knows that.

        ``parent`` is the valid context that it has, None where a trace begins. Without a span nothing of the
        API is touched.
        """
        if self._ratio is None:
            return True
        return random() < self._ratio if parent is None else bool(parent.trace_flags & 1)  # noqa: S311

    @property
    def root(self) -> Context:
        """The context in which a trace begins that is wanted."""
        return DECIDED
