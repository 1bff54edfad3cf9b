"""The resources: the metrics of all workers, and whether the server is ready. Reactor thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource

from skitai.processes import State
from skitai.processes.reports import Report, add_up, decode
from skitai.services.metrics.exposition import OPEN_TYPE, TEXT_TYPE, label_text, wants_openmetrics, write
from skitai.services.metrics.report import add_metrics

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.services.metrics.readiness import Readiness

_STATES = {State.STARTING: "starting", State.READY: "ready", State.DRAINING: "draining"}


class MetricsPage(Resource):
    """The sums of all workers. ``report`` brings those of this worker up to date."""

    isLeaf = True

    def __init__(self, instance: IInstance, report: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._instance = instance
        self._report = report

    def render_GET(self, request: Any) -> bytes:
        """Return the text, in the format that the client prefers."""
        self._report()
        board = self._instance.board
        common: Report = {}
        add_metrics(common, self._instance.common_metrics())
        sums = add_up([*map(decode, board.reports()), _workers(board), common])
        accept = request.getHeader(b"accept") or b""
        openmetrics = wants_openmetrics(accept.decode("latin-1"))
        request.setHeader(b"content-type", (OPEN_TYPE if openmetrics else TEXT_TYPE).encode())
        request.setHeader(b"cache-control", b"no-store")
        return write(sums, openmetrics=openmetrics)


def _workers(board: Any) -> Report:
    """Return what stands on the board itself, by the number of the worker's place."""
    slots = board.taken()
    states = {text: sum(slot.state == state for slot in slots) for state, text in _STATES.items()}
    now = time() - monotonic()
    by_worker: Mapping[str, tuple[str, Callable[[Any], float]]] = {
        "http_server_active_requests": ("Requests under way.", lambda slot: slot.in_flight),
        "skitai_connections": ("Connections of clients.", lambda slot: slot.connections),
        "process_resident_memory_bytes": ("Resident memory.", lambda slot: slot.memory),
        "process_start_time_seconds": (
            "Start of the worker since the epoch.",
            lambda slot: round(now + slot.began, 3),
        ),
    }
    report: Report = {
        "skitai_workers": [
            "gauge",
            "Workers by state.",
            [],
            {label_text(["state"], [state]): count for state, count in states.items()},
        ]
    }
    for name, (text, value) in by_worker.items():
        series = {label_text(["worker"], [str(slot.number)]): value(slot) for slot in slots}
        report[name] = ["gauge", text, [], series]
    return report


class ReadyPage(Resource):
    """200 if the server is ready, else 503 with the reasons; JSON."""

    isLeaf = True

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._readiness = readiness

    def render_GET(self, request: Any) -> bytes:
        """Return the answer."""
        obstacles = self._readiness.obstacles()
        request.setResponseCode(503 if obstacles else 200)
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        return json.dumps({"ready": not obstacles, "reasons": obstacles}).encode() + b"\n"


class PathPages(Resource):
    """The pages of a port of their own, by path."""

    isLeaf = True

    def __init__(self, pages: Mapping[str, Resource]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._pages = {path.encode(): page for path, page in pages.items()}

    def render(self, request: Any) -> Any:
        """Have the page answer that the path names."""
        page = self._pages.get(request.path)
        if page is None:
            request.setResponseCode(404)
            request.setHeader(b"content-type", b"text/plain; charset=utf-8")
            return b"".join(path + b"\n" for path in sorted(self._pages))
        return page.render(request)  # type: ignore[no-untyped-call]
