"""What a worker tells the others of itself: all its figures, on its slot of the board."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from skitai.processes.reports import LOWEST, Report, encode
from skitai.services.metrics.counting import BOUNDS, Histograms, Observer
from skitai.services.metrics.exposition import label_text
from skitai.services.metrics.process import ProcessFigures

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.plugins import Metric

#: Seconds between two reports. What is asked for is at most so old, but for the worker that is asked.
REPORT_SECONDS = 1.0
#: The most series of one metric.
_SERIES_MAX = 500

_REQUESTS = "http_server_request_duration_seconds"
_CALLS = "skitai_call_duration_seconds"

_log = Logger()


class Reporter:
    """Reports the figures of ``instance`` and what ``observer`` counts. Called in the reactor thread."""

    def __init__(self, instance: IInstance, observer: Observer) -> None:
        self._instance = instance
        self._observer = observer
        self._process = ProcessFigures(instance.reactor.seconds)
        self._is_too_long = False
        self._reports = LoopingCall(self.report)
        self._reports.clock = instance.reactor

    def start(self) -> None:
        """Begin to report."""
        self._reports.start(REPORT_SECONDS)

    def stop(self) -> None:
        """Report for the last time."""
        if self._reports.running:
            self._reports.stop()
            self.report()

    def report(self) -> None:
        """Put all figures on the board."""
        try:
            self._instance.slot.report(encode(self._figures()))
        except ValueError as error:
            if not self._is_too_long:
                self._is_too_long = True
                _log.error("metrics: the figures of this worker are missing: {error}", error=error)
        except Exception:  # noqa: BLE001 - the next report may succeed
            _log.failure("metrics: the figures of this worker cannot be reported")

    def _figures(self) -> Report:
        requests, calls = self._observer.requests, self._observer.calls
        report: Report = {}
        text = "How long responses took, from the whole request to the last byte sent."
        _add_histograms(report, _REQUESTS, text, requests.labels, requests.histograms)
        text = "How long calls to other machines took."
        _add_histograms(report, _CALLS, text, calls.labels, calls.histograms)
        add_metrics(report, self._process.metrics())
        add_metrics(report, self._instance.metrics())
        return report


def _add_histograms(
    report: Report, name: str, text: str, labels: tuple[str, ...], histograms: Histograms
) -> None:
    series = {label_text(labels, values): cell for values, cell in list(histograms.series.items())}
    report[name] = ["histogram", text, list(BOUNDS), series]


def add_metrics(report: Report, metrics: Iterable[Metric]) -> None:
    """Put ``metrics`` into ``report``, with at most so many series of each as there may be."""
    for metric in metrics:
        if metric.name in report:
            continue  # two plugins, one name: the first has it
        series: dict[str, Any] = {}
        for values, value in metric.values.items():
            text = label_text(metric.labels, values)
            if text not in series and len(series) >= _SERIES_MAX:
                text = label_text(metric.labels, ("other",) * len(values))
            series[text] = series.get(text, 0) + value
        report[metric.name] = [metric.kind, metric.help, LOWEST if metric.lowest else [], series]
