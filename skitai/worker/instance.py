"""One running worker: the parts put together as the config says, as one Twisted service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import RLock
from typing import IO, Any

from twisted.application.service import Service
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from skitai.config import Config, Mount
from skitai.context import ServiceTable, Was, add_default, remove_default, run_in_executor
from skitai.errors import ConfigError, MisuseError
from skitai.interfaces import IInstance
from skitai.loop.bridge import Bridge, Pending
from skitai.loop.executors import executor_for
from skitai.loop.turn import Stage, turn_end_of
from skitai.net.listening import ListenError, Listening, listen
from skitai.net.settings import SECTION, make_connector, unverified
from skitai.plugins.manager import PluginManager
from skitai.server.accesslog import AccessLog
from skitai.server.apps.watching import FileWatcher
from skitai.server.http1.factory import HTTPFactory
from skitai.worker.assembly import SiteBuilder, make_dispatcher, make_limits
from skitai.worker.overview import Section, overview

_log = Logger()

#: Seconds that lines of an access log in a file may wait.
_FLUSH_SECONDS = 1.0
#: Seconds that an app whose waits were ended has for its answer.
_LAST_WORDS_SECONDS = 1.0
#: Seconds between looks whether apps are done when the worker is to end.
_LOOK_SECONDS = 0.02
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
        self.name = config.server.name
        self.bridge = Bridge(reactor)
        self.executor = executor_for(config.server.threads, partial(turn_end_of(reactor).call, Stage.START))
        self._states: dict[Hashable, Any] = {}
        self._making_state = RLock()
        try:
            declared = plugins.config_sections()
            unclaimed = self._unclaimed(declared)
            self._sections = config.claim(declared)
            connecting = self._sections[SECTION]
            self.warnings = (*config.warnings, *unclaimed, *unverified(connecting, config.clusters.values()))
            self.connector = make_connector(reactor, connecting, config.path.parent)
            self._tls_options = self._make_tls_options()
            services = plugins.services(self)
        except ConfigError as error:
            raise config.located(error) from error
        self._dispatcher = make_dispatcher(config, plugins, self, self.bridge)
        self.services = ServiceTable(
            self._dispatcher, services, plugins.attributes(self), explain=plugins.missing
        )
        #: What serves the code of apps outside requests.
        self._was = Was(self.services)
        #: Whether the executor takes tasks.
        self._apps_run = False
        try:
            self._builder = SiteBuilder(self)
        except ConfigError as error:
            raise config.located(error) from error
        self.warnings += self._builder.warnings
        self._inherited = inherited
        self._began = self.bridge.seconds()
        #: Seconds that requests under way get when the worker stops.
        self._patience = config.server.response_timeout
        self._factory: HTTPFactory | None = None
        self._listening: list[Listening] = []
        self._access_log: AccessLog | None = None
        self._access_file: IO[str] | None = None
        self._file_watcher: FileWatcher | None = None

    def section(self, name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared.

        Raises MisuseError where no plugin that is loaded declares it.
        """
        if name not in self._sections:
            raise MisuseError(f"no plugin that is loaded declares a section [{name}]")
        return self._sections[name]

    # -- what plugins find in it ----------------------------------------------------------------------------

    def run(self, function: Callable[[Was], Any]) -> Deferred[Any]:
        """Call ``function(was)`` where apps run; see ``IInstance.run``."""
        if not self._apps_run:
            return defer.fail(MisuseError("apps run from the start of the instance to its end"))
        return run_in_executor(self.executor, self.services, function)

    def state(self, owner: Hashable, make: Callable[[], Any]) -> Any:
        """Return what ``owner`` keeps in this instance, made by ``make()`` the first time."""
        with self._making_state:  # not only for the time of a look: two threads may both find nothing
            if owner not in self._states:
                self._states[owner] = make()
            return self._states[owner]

    # -- what it tells of itself ---------------------------------------------------------------------------

    def describe_mount(self, mount: Mount) -> str:
        """Return the right side of a route as ``--check`` shows it."""
        return self._builder.describe_mount(mount)

    def status(self) -> dict[str, Section]:
        """Return what the worker knows of itself, a table for each title.

        Called in a thread or a greenlet; raises MisuseError in the reactor.
        """
        sections: dict[str, Section] = {}
        asked = Pending()

        def look() -> None:
            try:
                sections.update(overview(self, self.executor, self._dispatcher, self._factory))
            finally:
                asked.end()

        self.bridge.submit(look)
        self.bridge.wait(asked, _STATUS_SECONDS)
        return sections

    @property
    def uptime(self) -> float:
        """Seconds since the start."""
        return self.bridge.seconds() - self._began

    def _unclaimed(self, declared: Mapping[str, Any]) -> list[str]:
        """Return warnings of sections that nobody knows; raises ConfigError if no plugin can be to blame."""
        unclaimed = self.config.unclaimed(declared)
        absent = ", ".join(self.plugins.not_loaded())
        if unclaimed and not absent:
            raise unclaimed[0]
        return [
            f"{error}; ignored, it may be of a plugin that is not loaded: {absent}" for error in unclaimed
        ]

    # -- start ---------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Listen and, when the reactor runs, load the apps; until then connections wait.

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
            observers=self._make_observers(),
        )
        secure = self._secured(self._factory)
        try:
            self._listening = listen(self.reactor, server.endpoints, self._factory, secure, self._inherited)
        except ListenError as error:
            raise self.config.error("listen" if server.listen else error.key, str(error)) from error
        # Not before: no code of an app runs in a server that cannot serve, and ``twist`` opens the log last.
        self.reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        if self.running:
            self.plugins.notify("skitai_startup", instance=self)
            self._builder.load().addCallback(self._apps_loaded)

    def _apps_loaded(self, _: Any) -> None:
        """Go on when each app was loaded, or found to be broken."""
        if self.running and self._builder.directories():
            # Each request looks for itself, too; this is for the eyes of who saves a file.
            look_again = partial(self.bridge.submit, self._builder.look_again)
            self._file_watcher = FileWatcher(self._builder.directories, look_again)
            self._file_watcher.start()

    @property
    def urls(self) -> list[str]:
        """How people reach the server."""
        return [listening.url for listening in self._listening]

    # OpenSSL is imported by those who need it.

    def _make_tls_options(self) -> Any:
        server = self.config.server
        if not server.any_tls:
            return None
        from skitai.net.server_tls import server_options

        assert server.certfile is not None
        try:
            return server_options(server.certfile, server.keyfile, server.passphrase)
        except ListenError as error:
            raise self.config.error(error.key, str(error)) from error

    def _secured(self, factory: HTTPFactory) -> Any:
        if self._tls_options is None:
            return None
        from skitai.net.server_tls import with_tls

        return with_tls(factory, self._tls_options, self.reactor)

    # -- what is noted of each request -----------------------------------------------------------------------

    def _make_observers(self) -> list[Callable[[Any], None]]:
        observers: list[Callable[[Any], None]] = []
        if self.config.server.access_log is not None:
            self._access_log = self._open_log(self.config.server.access_log)
            observers.append(self._access_log)
        if self.plugins.implements("skitai_request_finished"):
            observers.append(self._request_finished)
        return observers

    def _open_log(self, path: Path | str) -> AccessLog:
        if path == "-":  # others write there, too: in order
            return AccessLog(sys.stdout, partial(turn_end_of(self.reactor).call, Stage.LOG))
        try:
            self._access_file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed at the end
        except OSError as error:
            raise self.config.error("access_log", f"cannot write {path}: {error.strerror}") from error
        return AccessLog(self._access_file, partial(self.reactor.callLater, _FLUSH_SECONDS))

    def _request_finished(self, request: Any) -> None:
        self.plugins.notify("skitai_request_finished", instance=self, request=request)

    # -- stop ----------------------------------------------------------------------------------------------

    def leave(self, *, restart: bool = False, fast: bool = False) -> None:
        """End the worker in good order, and start it anew with ``restart``.

        Requests under way get the config's ``response_timeout``, with ``fast`` one second. Returns at once.
        Called in any thread.
        """

        def begin() -> None:
            if fast:
                self._patience = min(self._patience, _FAST_SECONDS)
            self._end_process(restart)

        # In a turn of its own: a request that asks in a greenlet may still answer.
        self.bridge.submit(partial(self.bridge.call_later, 0, begin))

    def _end_process(self, restart: bool) -> None:  # noqa: ARG002 - only a program can start itself anew
        self.reactor.stop()

    @inlineCallbacks
    def stopService(self) -> Any:
        """Stop: no new connections, requests under way may end, then waits fail and connections are cut.

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
        yield self._requests_ended()
        yield self._told("skitai_stopping", self._patience)
        self._dispatcher.stop()
        yield self._told("skitai_shutdown", self.config.server.response_timeout)
        yield self.connector.close()
        self._let_go()

    @inlineCallbacks
    def _requests_ended(self) -> Any:
        assert self._factory is not None
        patience = self._patience
        timers = [
            self.reactor.callLater(patience, self._dispatcher.end_calls),
            self.reactor.callLater(patience + _LAST_WORDS_SECONDS, self._factory.abort),
        ]
        yield self._factory.finish()
        self._builder.stop_loading()  # nobody waits for an app any more
        # An app may have something to do after its last byte.
        while self._executor_is_busy() and timers[-1].active():
            yield deferLater(self.reactor, _LOOK_SECONDS)
        for timer in timers:
            if timer.active():
                timer.cancel()

    def _executor_is_busy(self) -> bool:
        tasks = self.executor.statistics()
        return bool(tasks["running"] or tasks["queued"])

    def _told(self, hook: str, seconds: float) -> Deferred[Any]:
        """Tell the plugins of the end; return a Deferred that waits at most ``seconds`` for what they do."""
        endings = self.plugins.notify(hook, instance=self)
        farewells = [ending for ending in endings if isinstance(ending, Deferred)]
        for farewell in farewells:
            farewell.addTimeout(seconds, self.reactor)
            farewell.addErrback(_log_farewell)
        return DeferredList(farewells)

    def _let_go(self) -> None:
        self._apps_run = False
        self.executor.stop()
        remove_default(self._was)
        if self._access_log is not None:
            self._access_log.flush()
        if self._access_file is not None:
            self._access_file.close()


def _log_farewell(failure: Any) -> None:
    if failure.check(defer.TimeoutError):
        _log.error("a plugin took too long to shut down")
    else:
        _log.failure("a plugin failed to shut down", failure=failure)
