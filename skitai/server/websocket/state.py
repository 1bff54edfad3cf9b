"""The websockets of one instance: limits, numbers, and where their views run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Protocol

import attrs
from twisted.internet.defer import Deferred

from skitai.http.origins import Origins
from skitai.loop.ownthreads import OwnThreads
from skitai.loop.sending import SendQueue
from skitai.websocket.watch import Watch

if TYPE_CHECKING:
    from skitai.interfaces import IExecutor, IInstance
    from skitai.server.apps.slot import WSGIApp
    from skitai.server.wsgi.resource import WSGIResource
    from skitai.websocket.contracts import Listener
    from skitai.websocket.init import WebSocketInit
    from skitai.websocket.settings import WebSocketSettings


@attrs.frozen
class Accepted:
    """A handshake that an app has accepted.

    ``environ`` is that of the handshake, for the app's further calls: for its only one, or to copy it for
    each. ``line`` is method and target of the request, for the log.
    """

    resource: WSGIResource
    app: WSGIApp
    environ: dict[str, Any]
    line: str
    init: WebSocketInit

    @property
    def executor(self) -> IExecutor:
        """Where the app runs."""
        return self.resource.executor

    @property
    def takes_thread(self) -> bool:
        """Whether its view would keep a thread to itself."""
        return self.executor.multithread and not iscoroutinefunction(self.init.serve)


class Open(Protocol):
    """A websocket that the status page counts."""

    #: What it is counted as.
    kind: str


class Running(Protocol):
    """A run of an app that the stop of the server waits for."""

    def stop(self) -> None:
        """End it if that is possible. Called in the reactor thread."""


class Design(Open, Protocol):
    """One websocket, as the app uses it. All methods are called in the reactor thread."""

    #: Who is told of messages, from before the client has its 101.
    listener: Listener

    def start(self) -> None:
        """Begin: the client has its 101."""


class WebSockets:
    """What the websockets of ``instance`` share. All methods are called in the reactor thread."""

    def __init__(self, instance: IInstance, settings: WebSocketSettings) -> None:
        self.instance = instance
        self.settings = settings
        self.limits = settings.conversation_limits
        self.bridge = instance.bridge
        self.origins = Origins(settings.origins)
        self.threads = OwnThreads(settings.threads_max, "skitai-websocket")
        #: What each connection waits in for its time-outs and for the end of the turn.
        self.watch = Watch(instance.reactor)
        self.queue = SendQueue(instance.reactor)
        self._open: set[Open] = set()
        self._views: set[Running] = set()
        self._ends: list[Deferred[None]] = []

    def has_room(self, accepted: Accepted) -> bool:
        """Return whether one more view may begin that keeps its thread or greenlet."""
        return not (accepted.takes_thread and self.threads.is_full)

    def run(self, executor: IExecutor, task: Callable[[], None]) -> None:
        """Run ``task`` where it may take as long as it likes: in a thread of its own, or in a greenlet.

        ``executor`` is that of its app. Raises RuntimeError where there is no thread for it.
        """
        (self.threads if executor.multithread else executor).submit(task)

    # -- what is open, and what runs -----------------------------------------------------------------------

    def opened(self, websocket: Open) -> None:
        """Note a websocket that is open."""
        self._open.add(websocket)

    def closed(self, websocket: Open) -> None:
        """Note that a websocket is closed; one that never was open is ignored."""
        self._open.discard(websocket)

    def began(self, view: Running) -> None:
        """Note that ``view`` runs."""
        self._views.add(view)

    def ended(self, view: Running) -> None:
        """Note that ``view`` has ended."""
        self._views.discard(view)
        if not self._views:
            ends, self._ends = self._ends, []
            for end in ends:
                end.callback(None)

    def when_ended(self) -> Deferred[None]:
        """Return a Deferred that fires when no view runs; if it is cancelled, those that run are stopped."""
        ended: Deferred[None] = Deferred(self._stop_views)
        if self._views:
            self._ends.append(ended)
        else:
            ended.callback(None)
        return ended

    def _stop_views(self, ended: Deferred[None]) -> None:
        self._ends.remove(ended)
        for view in list(self._views):
            view.stop()

    def statistics(self) -> dict[str, int]:
        """Return what the status page shows."""
        kinds = Counter(websocket.kind for websocket in self._open)
        return {
            "open": len(self._open),
            **{kind: kinds[kind] for kind in ("reqdata", "dedicate", "multicast", "socket")},
            "views": len(self._views),
            "threads": self.threads.running,
            "threads_max": self.threads.most,
        }
