"""Counts requests and calls as they end: histograms of how long they took.

This runs for each request, so it is kept short: ``docs/decisions.md`` says what it costs.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from skitai.errors import CODE_BUSY, CODE_SHUTDOWN, NORMAL, TIMEOUT
from skitai.http.fields import METHODS
from skitai.loop.native import Lock

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.result import Result

#: The upper bounds of the buckets in seconds: those that OpenTelemetry advises for HTTP.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
#: Combinations of labels that are told apart, and keys that are remembered for them.
_SERIES_MAX, _KEYS_MAX = 1000, 4000

Labels = tuple[str, ...]
#: The counts of the buckets, that above the last bound, and the sum of the seconds.
Cell = list[Any]

_METHODS = frozenset(method.encode() for method in METHODS)
_CODE_MAX = 599


class Histograms:
    """A histogram for each combination of labels, and ``other`` in all labels for those beyond the limit."""

    def __init__(self) -> None:
        self.series: dict[Labels, Cell] = {}

    def cell(self, labels: Labels) -> Cell:
        """Return what is counted for ``labels``."""
        if labels not in self.series and len(self.series) >= _SERIES_MAX:
            labels = ("other",) * len(labels)
        return self.series.setdefault(labels, [0] * (len(BOUNDS) + 1) + [0.0])


class RequestCounts:
    """Counts responses by method, class of the status, host and mount point. ``observe`` takes a request."""

    labels = ("http_request_method", "http_response_status_code", "server_address", "http_route")

    def __init__(self) -> None:
        self.histograms = Histograms()
        #: Many keys lead to one cell: those of all statuses of a class.
        self._cells: dict[tuple[Any, bytes, int], Cell] = {}
        self.observe = self._observer()

    def _observer(self) -> Callable[[Any], None]:
        get, make = self._cells.get, self._make
        first = BOUNDS[0]

        def observe(request: Any) -> None:
            cell = get((request.place, request.method, request.status_code)) or make(request)
            seconds = request.ended - (request.arrived or request.ended)
            cell[0 if seconds <= first else bisect_left(BOUNDS, seconds)] += 1
            cell[-1] += seconds

        return observe

    def _make(self, request: Any) -> Cell:
        place, method, code = request.place, request.method, request.status_code
        if len(self._cells) >= _KEYS_MAX:
            self._cells.clear()
        host, point = ("", "") if place is None else (place.host, place.point)
        labels = (_method(method), _status(code), host, point)
        cell = self._cells[place, method, code] = self.histograms.cell(labels)
        return cell


def _method(method: bytes) -> str:
    # By OpenTelemetry's name for all others, because a client can make up any number of them.
    return method.decode() if method in _METHODS else "_OTHER"


def _status(code: int) -> str:
    """Return the class of a status; ``none`` where the client left before the response began."""
    if not code:
        return "none"
    return f"{code // 100}xx" if code <= _CODE_MAX else "other"


class CallCounts:
    """Counts calls of ``was`` by service and outcome."""

    labels = ("service", "outcome")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.histograms = Histograms()
        self._seconds = seconds
        self._counting = Lock()

    def observe(self, call: Call, result: Result) -> None:
        """Count a call that has ended. Called in any thread."""
        seconds = self._seconds() - call.created
        with self._counting:
            cell = self.histograms.cell((call.service, _outcome(result)))
            cell[bisect_left(BOUNDS, seconds)] += 1
            cell[-1] += seconds


def _outcome(result: Result) -> str:
    if result.status == NORMAL:
        return "ok"
    if result.status == TIMEOUT:
        return "timeout"
    return {CODE_BUSY: "refused", CODE_SHUTDOWN: "cancelled"}.get(result.code, "failed")


class Observer:
    """What takes part in the hooks of requests and calls."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.requests = RequestCounts()
        self.calls = CallCounts(seconds)
        self.skitai_request_finished = self.requests.observe
        self.skitai_call_finished = self.calls.observe
