"""What an instance is without serving: config, plugins and services put together as one Twisted service."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.error import ReactorNotRunning
from zope.interface import implementer

from skitai.config import Config
from skitai.context import ServiceTable, Was, add_default, remove_default, run_in_executor
from skitai.errors import ConfigError, MisuseError, OperationTimeout
from skitai.interfaces import IExecutor, IInstance
from skitai.loop.bridge import Bridge
from skitai.loop.executors import Executors, executor_for
from skitai.loop.turn import Stage, turn_end_of
from skitai.net.dns.services import ServiceResolver
from skitai.net.settings import SECTION, make_connector, unverified
from skitai.plugins.manager import PluginManager
from skitai.plugins.metrics import Metric
from skitai.processes import Board
from skitai.worker.assembly import claim_sections, make_bus, make_dispatcher
from skitai.worker.ending import tell
from skitai.worker.following import Following
from skitai.worker.measures import given_by_plugins, measures
from skitai.worker.overview import Section, overview

#: Seconds that what is under way gets when the worker is to end fast.
_FAST_SECONDS = 1.0
#: Seconds that ``status`` waits for the reactor.
_STATUS_SECONDS = 10.0


@implementer(IInstance)
class Instance(Service):
    """Gives ``was`` as one configuration says, from its one start to its one stop; a subclass serves.

    ``plugins`` are loaded; the sections that they declare and the clusters are checked here. Raises
    ConfigError or PluginError for what cannot be. ``warnings`` are sentences for the user. ``board`` is one
    that others look at. Created, started and stopped in the reactor thread.
    """

    def __init__(
        self, config: Config, plugins: PluginManager, reactor: Any, board: Board | None = None
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.reactor = reactor
        self.bridge = Bridge(reactor)
        turn_end = turn_end_of(reactor)
        call_soon = partial(turn_end.call, Stage.START)
        self.executors = Executors(
            lambda threads, mount: executor_for(
                threads, call_soon, turn_end.hub, mount=mount, call_later=self.bridge.call_later
            ),
            config.server.threads,
        )
        self.executor = self.executors.shared
        self._began = self.bridge.seconds()
        self.board = board or Board.alone()
        self.slot = self.board[0]
        #: Seconds that what is under way gets when the worker stops.
        self._patience = config.server.stop_seconds
        self._supervisor = 0
        #: Whether the executors take tasks: after ``running``, until the stop is over.
        self._apps_run = False
        #: Whether the reactor was told to stop.
        self._is_ending = False
        self._states: dict[Hashable, Any] = {}
        self._making_state = RLock()
        try:
            self._sections, warnings = claim_sections(config, plugins)
            connecting = self._sections[SECTION]
            warnings += unverified(connecting, config.clusters.values())
            self.connector = make_connector(reactor, connecting, config.path.parent)
            services = plugins.services(self)
            self.bus = make_bus(config, plugins, self)
        except ConfigError as error:
            raise config.located(error) from error
        self._following = Following(reactor, self.connector, ServiceResolver(reactor))
        self._dispatcher = make_dispatcher(config, plugins, self, self.bridge, self._following)
        attributes = plugins.attributes(self)
        self.services = ServiceTable(
            self._dispatcher, services, attributes, explain=plugins.missing, source=config.path.resolve()
        )
        #: What serves code outside requests.
        self.was = Was(self.services)
        self.warnings: tuple[str, ...] = (*config.warnings, *plugins.warnings, *warnings)

    # -- for plugins ----------------------------------------------------------------------------------------

    def section(self, name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared.

        Raises MisuseError where no plugin that is loaded declares it.
        """
        if name not in self._sections:
            raise MisuseError(f"no plugin that is loaded declares a section [{name}]")
        section: Mapping[str, Any] = self._sections[name]
        return section

    def run(self, function: Callable[[Was], Any], executor: IExecutor | None = None) -> Deferred[Any]:
        """Call ``function(was)`` where apps run; see ``IInstance.run``."""
        if not self._apps_run:
            return fail(MisuseError("apps run from the start of the instance to its end"))
        return run_in_executor(executor or self.executor, self.services, function)

    def state(self, owner: Hashable, make: Callable[[], Any]) -> Any:
        """Return what ``owner`` keeps in this instance, made by ``make()`` the first time."""
        with self._making_state:  # around both: two threads could find nothing, and make two states
            if owner not in self._states:
                self._states[owner] = make()
            return self._states[owner]

    # -- what it tells of itself ---------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """How people reach the server: nobody reaches this one."""
        return []

    def status(self) -> dict[str, Section]:
        """Return what the worker knows of itself, a table for each title; see ``IInstance.status``."""
        try:
            return self.bridge.ask(self._overview, _STATUS_SECONDS)
        except TimeoutError:
            message = f"the reactor was busy for {_STATUS_SECONDS:g} s: there is no status"
            raise OperationTimeout(message) from None

    def metrics(self) -> list[Metric]:
        """Return the figures of the worker; see ``IInstance.metrics``."""
        return measures(self, self._dispatcher, self._own_metrics())

    def common_metrics(self) -> list[Metric]:
        """Return the figures that all workers know; see ``IInstance.common_metrics``."""
        return given_by_plugins(self, "skitai_common_metrics")

    def _own_metrics(self) -> Iterable[Metric]:
        """Return the figures that only this kind of instance has."""
        return ()

    def _overview(self) -> dict[str, Section]:
        uptime = self.bridge.seconds() - self._began
        return overview(self, self.urls, uptime, self._dispatcher, self._connections())

    def _connections(self) -> Section:
        """Return what the status page shows of the connections of clients."""
        return {}

    # -- start ---------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Start; when the reactor runs, the plugins are told.

        Raises ConfigError where a subclass cannot open what it serves; then nothing stays open or running.
        """
        if self.running:
            return
        self.running = 1
        self.bridge.start()
        try:
            self.executors.start()
            self._apps_run = True
            add_default(self.was)
            self._open()
            # Later: no code of an app runs in a server that cannot serve, and ``twist`` opens the log last.
            self.reactor.callWhenRunning(self._begin)
        except BaseException:
            self.running = 0
            self.plugins.notify("skitai_shutdown", instance=self)
            self.connector.close()
            self._let_go()
            raise

    def _open(self) -> None:
        """Open what clients reach; ``_let_go`` closes it where the start fails."""

    def _begin(self) -> None:
        if self.running:
            self.plugins.notify("skitai_worker_started", instance=self)
            self._following.start()
            self.plugins.notify("skitai_startup", instance=self)
            self._started()

    def _started(self) -> None:
        """Go on when the plugins have been told of the start."""

    # -- stop ----------------------------------------------------------------------------------------------

    def leave(self, *, restart: bool = False, fast: bool = False) -> None:
        """End the worker in good order, and start it anew with ``restart``; see ``IInstance.leave``."""

        def begin() -> None:
            if fast:
                self.hurry()
            self._end_process(restart, fast)

        # In a turn of its own: a request that asks in a greenlet may still answer.
        self.bridge.submit(partial(self.bridge.call_later, 0, begin))

    @property
    def main_pid(self) -> int:
        """The process id of the server: of its supervisor, if it has one."""
        return self._supervisor or os.getpid()

    @property
    def is_first(self) -> bool:
        """Whether this process tells in the log what is the same for all workers."""
        first: bool = self.slot.number == 0
        return first

    @property
    def others_serve(self) -> bool:
        """Whether a process that is not on the board serves while this one begins or ends."""
        return False

    def hurry(self) -> None:
        """Have the stop give what is under way a second at most. Called in the reactor thread."""
        self._patience = min(self._patience, _FAST_SECONDS)

    def _end_process(self, restart: bool, fast: bool) -> None:  # noqa: ARG002 - see the subclasses
        """End, and begin anew with ``restart``, as far as this is possible. Called in the reactor thread."""
        if not self._is_ending:  # else a signal has asked it to stop, which it does in its next turn
            self._is_ending = True
            with suppress(ReactorNotRunning):  # somebody else has stopped it
                self.reactor.stop()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Stop: what serves closes, then apps end, then plugins let go.

        Returns a Deferred. The farewells of apps and of plugins take at most ``response_timeout`` each.
        """
        if not self.running:
            return
        self.running = 0
        self.plugins.notify("skitai_closing", instance=self)
        yield self._close()
        yield tell(self, "skitai_stopping", self._patience)
        self._following.stop()
        self._dispatcher.stop()
        yield tell(self, "skitai_shutdown", self.config.server.response_timeout)
        yield self.connector.close()
        self._let_go()

    def _close(self) -> Deferred[None]:
        """Return a Deferred that fires when clients reach nothing and no request is under way."""
        return succeed(None)

    def _let_go(self) -> None:
        self._apps_run = False
        self.executors.stop()
        remove_default(self.was)
