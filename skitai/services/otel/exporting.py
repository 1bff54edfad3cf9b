"""Sends spans away, in the thread of the SDK, and says so in the log if they do not arrive."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SpanExporter, SpanExportResult
from twisted.logger import Logger

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from skitai.services.otel.settings import Settings

_log = Logger()

#: Seconds between two lines of the log that say the same.
_SILENCE = 300.0
_REASON_MAX = 200


def make_exporter(settings: Settings) -> SpanExporter:
    """Return the exporter that the settings ask for."""
    if settings.exporter == "console":
        return ConsoleSpanExporter(out=sys.stdout, formatter=lambda span: f"{span.to_json(indent=None)}\n")
    exporter = trace_exporter.OTLPSpanExporter(
        settings.endpoint, headers=dict(settings.headers) or None, timeout=settings.timeout
    )
    return Exporter(exporter, _reasons)


class Reasons(logging.Filter):
    """Keeps the last thing that the exporter would have logged; it would say it of every batch."""

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False: the record is not logged."""
        self.last = " ".join(record.getMessage().split())[:_REASON_MAX]
        return False


#: One for all, because the logger is one, too.
_reasons = Reasons()


class Exporter(SpanExporter):
    """Passes spans on to ``exporter``; what is lost is logged now and then. Called in the SDK's thread."""

    def __init__(
        self, exporter: SpanExporter, reasons: Reasons, seconds: Callable[[], float] = monotonic
    ) -> None:
        self._exporter = exporter
        self._reasons = reasons
        self._seconds = seconds
        self._lost = 0
        self._said: float | None = None

    def hush(self) -> None:
        """Have the lines that the inner exporter would log become the reasons in ours. Called at its start.

        Not where an app exports by itself: there, its lines are the only ones.
        """
        logging.getLogger(trace_exporter.__name__).addFilter(self._reasons)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send ``spans``."""
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - the next batch may go well
            self._reasons.last = f"{type(error).__name__}: {error}"[:_REASON_MAX]
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._arrived()
        else:
            self._failed(len(spans))
        return result

    def _failed(self, count: int) -> None:
        self._lost += count
        now = self._seconds()
        if self._said is None or now - self._said >= _SILENCE:
            self._said = now
            _log.warn(
                "traces do not reach their collector ({reason}); spans lost so far: {lost}",
                reason=self._reasons.last or "no reason given",
                lost=self._lost,
            )

    def _arrived(self) -> None:
        if self._said is not None:
            _log.warn("traces reach their collector again; spans lost: {lost}", lost=self._lost)
        self._said, self._lost = None, 0

    def shutdown(self) -> None:
        """Let go of the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing: the processor holds what waits."""
        return self._exporter.force_flush(timeout_millis)
