"""One running worker: an instance that listens, loads the apps and serves them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredList, inlineCallbacks, maybeDeferred
from twisted.logger import Logger

from skitai.config import Config, Mount
from skitai.loop import asyncviews
from skitai.net.listening import Listening, listen
from skitai.net.sockets import ListenError
from skitai.net.trust import TrustedProxies
from skitai.plugins.manager import PluginManager
from skitai.server.accesslog import AccessLog, open_access_log
from skitai.server.apps.watching import FileWatcher
from skitai.server.http1.factory import HTTPFactory
from skitai.server.proxied.forwarding import Forwarding
from skitai.server.proxied.relayed import RelayedFactory
from skitai.worker.assembly import SiteBuilder, make_limits, make_secure
from skitai.worker.ending import end_requests
from skitai.worker.figures import Figures
from skitai.worker.instance import Instance
from skitai.worker.overview import Section
from skitai.worker.watch.watcher import Thresholds, Watcher

_log = Logger()

_SHARED_THREAD = (
    "threads = 0 at {mounts}: requests share threading.local, and what waits for anything but `was` (a lock,"
    " a driver, time.sleep) holds up all of them: such apps need threads, or cooperative = yes"
    " (pip install 'skitai[gevent]')"
)


class Server(Instance):
    """Serves one configuration, from its one start to its one stop.

    Beside what ``Instance`` checks, the routes and the certificate are checked here. ``inherited`` are
    descriptors of listening sockets that take the place of all ports.
    """

    def __init__(
        self, config: Config, plugins: PluginManager, reactor: Any, inherited: Sequence[int] = ()
    ) -> None:
        super().__init__(config, plugins, reactor)
        self._inherited = inherited
        self._factory: HTTPFactory | None = None
        self._listening: list[Listening] = []
        self._access_log: AccessLog | None = None
        self._file_watcher: FileWatcher | None = None
        self._figures = Figures(reactor, self.slot, self.executors)
        thresholds = Thresholds(config.server.blocked_warning, config.server.slow_request)
        self._watcher = Watcher(reactor, thresholds, self.executors.mounts)
        self._secure = make_secure(config, reactor)
        self._builder = SiteBuilder(self)
        self.warnings += self._builder.warnings

    # -- what it tells of itself ---------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        """How people reach the server."""
        return [listening.url for listening in self._listening]

    def describe_mount(self, mount: Mount) -> str:
        """Return the right side of a route as ``--check`` shows it."""
        return self._builder.describe_mount(mount)

    def _connections(self) -> Section:
        return {} if self._factory is None else self._factory.statistics()

    # -- start ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Listen; requests wait until their app is loaded.

        Raises ConfigError when an address cannot be listened on or a log not written.
        """
        server = self.config.server
        proxies = TrustedProxies(server.trusted_proxies)
        site = self._builder.site(self.plugins.mounts(self))
        if not all(executor.multithread for executor in self.executors.mounts):
            asyncviews.support(self.bridge)
        self._factory = HTTPFactory(
            self.reactor,
            site.handle,
            make_limits(server),
            judge=site.judge,
            observers=self._make_observers(),
            forwarding=Forwarding(proxies) if proxies else None,
        )
        plain: Any = self._factory
        secure = None if self._secure is None else self._secure(self._factory)
        if server.proxy_protocol:
            plain, secure = (
                factory and RelayedFactory(factory, proxies, self.reactor, server.header_timeout)
                for factory in (plain, secure)
            )
        try:
            self._listening = listen(self.reactor, server.endpoints, plain, secure, self._inherited)
        except ListenError as error:
            raise self.config.error("listen" if server.listen else error.key, str(error)) from error
        self._figures.start(self._factory)

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

    def _started(self) -> None:
        in_one_thread = self._builder.in_one_thread()
        if in_one_thread:
            _log.info(_SHARED_THREAD, mounts=", ".join(in_one_thread))
        loads = [loaded.addCallback(self._watch_files) for loaded in self._builder.load()]
        DeferredList(loads).addCallback(self._apps_loaded)

    def _apps_loaded(self, _: Any) -> None:
        """Go on when each app was loaded or has failed to load."""
        if self.running:
            self._figures.ready()
        # Not before: to load apps may take long, and so may what else is done then.
        self.bridge.call_later(0, self._watch)

    def _watch(self) -> None:
        if self.running:
            self._watcher.start()

    def _watch_files(self, _: Any) -> None:
        """Begin to watch, once there is an app that reloads."""
        if self.running and self._file_watcher is None and self._builder.directories():
            # Each request has the files looked at, too; this tells a developer who has saved one.
            look_again = partial(self.bridge.submit, self._builder.look_again)
            self._file_watcher = FileWatcher(self._builder.directories, look_again)
            self._file_watcher.start()

    # -- stop ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _close(self) -> Any:
        """Take no new connections and let the requests under way end.

        It takes at most the config's ``response_timeout`` and a second.
        """
        self._figures.draining()
        if self._file_watcher is not None:
            self._file_watcher.stop()
        yield DeferredList([maybeDeferred(listening.port.stopListening) for listening in self._listening])
        self._listening = []
        assert self._factory is not None
        yield end_requests(self, self._factory, self._builder, self._dispatcher, self._patience)

    def _let_go(self) -> None:
        super()._let_go()
        asyncviews.end_support(self.bridge)
        self._watcher.stop()
        self._figures.stop()
        for listening in self._listening:  # there are some only if the start failed
            listening.port.stopListening()
        if self._access_log is not None:
            self._access_log.close()
