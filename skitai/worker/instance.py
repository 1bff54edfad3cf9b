"""One running worker: the parts put together as the config says, as one Twisted service."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from threading import RLock
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, fail, inlineCallbacks, maybeDeferred
from twisted.internet.error import ReactorNotRunning
from zope.interface import implementer

from skitai.config import Config, Mount
from skitai.context import ServiceTable, Was, add_default, remove_default, run_in_executor
from skitai.errors import ConfigError, MisuseError, OperationTimeout
from skitai.interfaces import IInstance
from skitai.loop.bridge import Bridge
from skitai.loop.executors import executor_for
from skitai.loop.turn import Stage, turn_end_of
from skitai.net.listening import ListenError, Listening, listen
from skitai.net.settings import SECTION, make_connector, unverified
from skitai.plugins.manager import PluginManager
from skitai.server.accesslog import AccessLog, open_access_log
from skitai.server.apps.watching import FileWatcher
from skitai.server.http1.factory import HTTPFactory
from skitai.worker.assembly import SiteBuilder, claim_sections, make_dispatcher, make_limits, make_secure
from skitai.worker.ending import end_requests, tell
from skitai.worker.overview import Section, overview

#: Seconds that requests under way get when the worker is to end fast.
_FAST_SECONDS = 1.0
#: Seconds that ``status`` waits for the reactor.
_STATUS_SECONDS = 10.0


@implementer(IInstance)
class Instance(Service):
    """Serves one configuration, from its one start to its one stop.

    ``plugins`` are loaded; the sections that they declare, the clusters and the certificate are checked
    here. ``inherited`` are descriptors of listening sockets that take the place of all ports. Raises
    ConfigError or PluginError for what cannot be served. ``warnings`` are sentences for the user. Created,
    started and stopped in the reactor thread.
    """

    def __init__(
        self, config: Config, plugins: PluginManager, reactor: Any, inherited: Sequence[int] = ()
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.reactor = reactor
        self.bridge = Bridge(reactor)
        self.executor = executor_for(config.server.threads, partial(turn_end_of(reactor).call, Stage.START))
        self._inherited = inherited
        self._began = self.bridge.seconds()
        #: Seconds that requests under way get when the worker stops.
        self._patience = config.server.response_timeout
        #: Whether the executor takes tasks: after ``running``, until the stop is over.
        self._apps_run = False
        self._factory: HTTPFactory | None = None
        self._listening: list[Listening] = []
        self._access_log: AccessLog | None = None
        self._file_watcher: FileWatcher | None = None
        self._states: dict[Hashable, Any] = {}
        self._making_state = RLock()
        try:
            self._sections, warnings = claim_sections(config, plugins)
            connecting = self._sections[SECTION]
            warnings += unverified(connecting, config.clusters.values())
            self.connector = make_connector(reactor, connecting, config.path.parent)
            self._secure = make_secure(config, reactor)
            services = plugins.services(self)
        except ConfigError as error:
            raise config.located(error) from error
        self._dispatcher = make_dispatcher(config, plugins, self, self.bridge)
        attributes = plugins.attributes(self)
        self.services = ServiceTable(self._dispatcher, services, attributes, explain=plugins.missing)
        #: What serves the code of apps outside requests.
        self._was = Was(self.services)
        self._builder = SiteBuilder(self)
        self.warnings = (*config.warnings, *warnings, *self._builder.warnings)

    # -- for plugins ----------------------------------------------------------------------------------------

    def section(self, name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared.

        Raises MisuseError where no plugin that is loaded declares it.
        """
        if name not in self._sections:
            raise MisuseError(f"no plugin that is loaded declares a section [{name}]")
        section: Mapping[str, Any] = self._sections[name]
        return section

    def run(self, function: Callable[[Was], Any]) -> Deferred[Any]:
        """Call ``function(was)`` where apps run; see ``IInstance.run``."""
        if not self._apps_run:
            return fail(MisuseError("apps run from the start of the instance to its end"))
        return run_in_executor(self.executor, self.services, function)

    def state(self, owner: Hashable, make: Callable[[], Any]) -> Any:
        """Return what ``owner`` keeps in this instance, made by ``make()`` the first time."""
        with self._making_state:  # around both: two threads could find nothing, and make two states
            if owner not in self._states:
                self._states[owner] = make()
            return self._states[owner]

    # -- what it tells of itself ---------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """How people reach the server."""
        return [listening.url for listening in self._listening]

    def describe_mount(self, mount: Mount) -> str:
        """Return the right side of a route as ``--check`` shows it."""
        return self._builder.describe_mount(mount)

    def status(self) -> dict[str, Section]:
        """Return what the worker knows of itself, a table for each title; see ``IInstance.status``."""
        try:
            return self.bridge.ask(self._overview, _STATUS_SECONDS)
        except TimeoutError:
            message = f"the reactor was busy for {_STATUS_SECONDS:g} s: there is no status"
            raise OperationTimeout(message) from None

    def _overview(self) -> dict[str, Section]:
        uptime = self.bridge.seconds() - self._began
        return overview(self, self.urls, uptime, self._dispatcher, self._factory)

    # -- start ---------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen and, when the reactor runs, have the apps loaded; until then their requests wait.

        Raises ConfigError when an address cannot be listened on or a log not written; then nothing stays
        open or running.
        """
        if self.running:
            return
        self.running = 1
        try:
            self._start()
        except BaseException:
            self.running = 0
            for listening in self._listening:
                listening.port.stopListening()
            self.plugins.notify("skitai_shutdown", instance=self)
            self.connector.close()
            self._let_go()
            raise

    def _start(self) -> None:
        server = self.config.server
        self.bridge.start()
        self.executor.start()
        self._apps_run = True
        add_default(self._was)
        site = self._builder.site(self.plugins.mounts(self))
        self._factory = HTTPFactory(
            self.reactor,
            site.handle,
            make_limits(server),
            judge=site.judge,
            observers=self._make_observers(),
        )
        secure = None if self._secure is None else self._secure(self._factory)
        try:
            self._listening = listen(self.reactor, server.endpoints, self._factory, secure, self._inherited)
        except ListenError as error:
            raise self.config.error("listen" if server.listen else error.key, str(error)) from error
        # Not before: no code of an app runs in a server that cannot serve, and ``twist`` opens the log last.
        self.reactor.callWhenRunning(self._begin)

    def _make_observers(self) -> list[Callable[[Any], None]]:
        """Return the functions that are called with each request that has ended."""
        observers: list[Callable[[Any], None]] = []
        path = self.config.server.access_log
        if path is not None:
            try:
                self._access_log = open_access_log(path, self.reactor)
            except OSError as error:
                raise self.config.error("access_log", f"cannot write {path}: {error.strerror}") from error
            observers.append(self._access_log)
        if self.plugins.implements("skitai_request_finished"):
            observers.append(self._request_finished)
        return observers

    def _request_finished(self, request: Any) -> None:
        self.plugins.notify("skitai_request_finished", instance=self, request=request)

    def _begin(self) -> None:
        if self.running:
            self.plugins.notify("skitai_startup", instance=self)
            loads = [loaded.addCallback(self._watch_files) for loaded in self._builder.load()]
            DeferredList(loads).addCallback(self._apps_loaded)

    def _apps_loaded(self, _: Any) -> None:
        """Go on when each app was loaded or has failed to load."""

    def _watch_files(self, _: Any) -> None:
        """Begin to watch, once there is an app that reloads."""
        if self.running and self._file_watcher is None and self._builder.directories():
            # Each request has the files looked at, too; this tells a developer who has saved one.
            look_again = partial(self.bridge.submit, self._builder.look_again)
            self._file_watcher = FileWatcher(self._builder.directories, look_again)
            self._file_watcher.start()

    # -- stop ----------------------------------------------------------------------------------------------

    def leave(self, *, restart: bool = False, fast: bool = False) -> None:
        """End the worker in good order, and start it anew with ``restart``; see ``IInstance.leave``."""

        def begin() -> None:
            if fast:
                self._patience = min(self._patience, _FAST_SECONDS)
            self._end_process(restart)

        # In a turn of its own: a request that asks in a greenlet may still answer.
        self.bridge.submit(partial(self.bridge.call_later, 0, begin))

    def _end_process(self, restart: bool) -> None:  # noqa: ARG002 - only a program can start itself anew
        with suppress(ReactorNotRunning):  # it was asked to stop before
            self.reactor.stop()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Stop: no new connections, requests under way may end, then apps end, then plugins let go.

        Returns a Deferred. It takes at most the config's ``response_timeout`` and a second for the requests,
        and ``response_timeout`` each for the farewells of apps and of plugins.
        """
        if not self.running:
            return
        self.running = 0
        if self._file_watcher is not None:
            self._file_watcher.stop()
        yield DeferredList([maybeDeferred(listening.port.stopListening) for listening in self._listening])
        self._listening = []
        assert self._factory is not None
        yield end_requests(self, self._factory, self._builder, self._dispatcher, self._patience)
        yield tell(self, "skitai_stopping", self._patience)
        self._dispatcher.stop()
        yield tell(self, "skitai_shutdown", self.config.server.response_timeout)
        yield self.connector.close()
        self._let_go()

    def _let_go(self) -> None:
        self._apps_run = False
        self.executor.stop()
        remove_default(self._was)
        if self._access_log is not None:
            self._access_log.close()
