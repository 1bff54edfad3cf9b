"""One running worker: an instance that listens, loads the apps and serves them."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import DeferredList, inlineCallbacks
from twisted.logger import Logger

from skitai.config import Config, Mount
from skitai.errors import ConfigError
from skitai.formats import zone
from skitai.loop import asyncviews
from skitai.net.listening import Listening, first_tls_port, serve
from skitai.net.sockets import ListenError, Opened, open_sockets
from skitai.net.trust import TrustedProxies
from skitai.plugins.manager import PluginManager
from skitai.plugins.metrics import Metric
from skitai.processes import Board
from skitai.server.accesslog import AccessLog, open_access_log
from skitai.server.apps.changes import CodeChanges
from skitai.server.apps.watching import FileWatcher
from skitai.server.http1.factory import HTTPFactory
from skitai.server.http2.opening import OpeningFactory
from skitai.server.proxied.forwarding import Forwarding
from skitai.server.proxied.relayed import RelayedFactory
from skitai.server.redirecting import Redirecting
from skitai.server.request.body import no_temporary_folder
from skitai.worker.assembly import SiteBuilder, make_forward_proxy, make_limits
from skitai.worker.ending import end_requests, stop_listening
from skitai.worker.figures import BEAT_SECONDS, Figures
from skitai.worker.https import Secure, make_secure
from skitai.worker.instance import Instance
from skitai.worker.nursery import Place
from skitai.worker.overview import Section
from skitai.worker.places import Line, write_stacks_when_asked
from skitai.worker.turnstile import Turnstile
from skitai.worker.watch.loading import LoadWatch
from skitai.worker.watch.watcher import Thresholds, Watcher

_log = Logger()

#: Seconds in which a worker that is replaced waits for one more request of each idle connection.
_IDLE_SECONDS = 1.0
#: How often to look for changed code that nobody tells of.
_LOOK_MILLISECONDS = 250

_SHARED_THREAD = (
    "threads = 0 at {mounts}: requests share threading.local, and what waits for anything but `was` (a lock,"
    " a driver, time.sleep) holds up all of them: such apps need threads, or cooperative = yes"
    " (pip install 'skitai[gevent]')"
)


class Server(Instance):
    """Serves one configuration, from its one start to its one stop.

    Beside what ``Instance`` checks, the routes are checked here. ``secure`` is what ``make_secure`` returned;
    by default, the certificate is read here. ``sockets`` are those that others have opened; by default, the
    server opens what its config says when it starts, where ``inherited`` descriptors of listening sockets
    take the place of all ports.
    """

    def __init__(
        self,
        config: Config,
        plugins: PluginManager,
        reactor: Any,
        inherited: Sequence[int] = (),
        *,
        secure: Secure | None = None,
        sockets: Sequence[Opened] | None = None,
        board: Board | None = None,
    ) -> None:
        super().__init__(config, plugins, reactor, board)
        self._inherited = inherited
        self._sockets = sockets
        #: Whether others go on with the sockets when this server stops.
        self._leaves_sockets = False
        self._idle_seconds = _IDLE_SECONDS
        self._line: Line | None = None
        self._turnstile: Turnstile | None = None
        self._factory: HTTPFactory | None = None
        self._listening: list[Listening] = []
        self._access_log: AccessLog | None = None
        self._file_watcher: FileWatcher | None = None
        self._figures = Figures(reactor, self.slot, self.executors)
        thresholds = Thresholds(config.server.blocked_warning, config.server.slow_request)
        self._watcher = Watcher(reactor, thresholds, self.executors.mounts)
        self._load_watch = LoadWatch(config.server.slow_request)
        self._secure = secure or make_secure(config, reactor)
        if self._secure is not None:
            self.warnings += self._secure.warnings
        self._builder = SiteBuilder(self)
        self._forward = make_forward_proxy(self)
        self.warnings += self._builder.warnings
        if missing := no_temporary_folder():
            self.warnings += (missing,)

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

    def _own_metrics(self) -> Iterable[Metric]:
        yield from self._watcher.counts.metrics()
        if self._secure is not None:
            yield from self._secure.metrics()

    @property
    def is_first(self) -> bool:
        """Whether this process tells in the log what is the same for all workers: a stand-in does not."""
        return super().is_first and not self._stands_in

    @property
    def others_serve(self) -> bool:
        """Whether this server gives way to another process, or stands in for one."""
        return self._leaves_sockets or self._stands_in

    @property
    def _stands_in(self) -> bool:
        """Whether it serves in the place of a process that begins anew: then its board is its own."""
        return self._line is not None and len(self.board) == 1

    # -- with a supervisor ---------------------------------------------------------------------------------

    def load_now(self) -> list[str]:
        """Load all apps here, before anything runs; return what keeps some of them from being loaded."""
        with self._load_watch.watching():
            return self._builder.load_now()

    def take(self, place: Place) -> None:
        """Serve as the worker at ``place``. Called in a fork of the process that made the server."""
        self._supervisor = place.supervisor
        self.board = place.board
        self.slot = place.board[place.slot]
        self._turnstile = Turnstile(self.board, self.slot)
        self._line = Line(self.reactor, place.link, self._accept, self._end_alone, self._end_fast)
        self._figures = Figures(self.reactor, self.slot, self.executors, _beat_seconds(self.config))
        write_stacks_when_asked(place.stacks)

    def _end_alone(self) -> None:
        """End, as the supervisor has."""
        if not self._stands_in:  # else the server that it stands in for has ended in good order
            _log.error("the supervisor is gone: worker {pid} ends", pid=os.getpid())
        super()._end_process(restart=False, fast=False)

    def _end_fast(self) -> None:
        """End, and leave the requests under way a second."""
        self.hurry()
        super()._end_process(restart=False, fast=False)

    # -- start ---------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Listen; requests wait until their app is loaded.

        Raises ConfigError when an address cannot be listened on or a log not written.
        """
        if hasattr(select, "epoll"):
            from skitai.loop.epolling import shorten

            shorten(self.reactor)
        server = self.config.server
        proxies = TrustedProxies(server.trusted_proxies)
        site: Any = self._builder.site(self.plugins.mounts(self), self._forward)
        redirecting = None
        if server.redirect_http is not None:
            site = redirecting = Redirecting(site, server.redirect_http, server.acme_webroot)
        if not all(executor.multithread for executor in self.executors.mounts):
            asyncviews.support(self.bridge)
        self._factory = HTTPFactory(
            self.reactor,
            site.handle,
            make_limits(server),
            judge=site.judge,
            observers=self._make_observers(),
            forwarding=Forwarding(proxies) if proxies else None,
            names_requests=server.request_id_header,
            transport_security=server.hsts or "",
        )
        plain: Any = OpeningFactory(self._factory, secure=False) if server.h2c else self._factory
        inner: Any = OpeningFactory(self._factory, secure=True) if server.http2 else self._factory
        secure = None if self._secure is None else self._secure(inner)
        if server.proxy_protocol:
            plain, secure = (
                factory and RelayedFactory(factory, proxies, self.reactor, server.header_timeout)
                for factory in (plain, secure)
            )
        sockets = open_as_configured(self.config, self._inherited) if self._sockets is None else self._sockets
        self._listening = serve(self.reactor, sockets, plain, secure, self._turnstile)
        if redirecting is not None:
            redirecting.https_port = first_tls_port(self._listening) or redirecting.https_port
        self._figures.start(self._factory)
        if self._turnstile is not None:
            self._factory.count = self._figures.count
            for listening in self._listening:
                listening.pause()  # until the supervisor says so

    def _make_observers(self) -> list[Callable[[Any], None]]:
        """Return the functions that are called with each request that has ended."""
        observers: list[Callable[[Any], None]] = []
        server = self.config.server
        path = server.access_log
        if path is not None:
            try:
                self._access_log = open_access_log(
                    path, self.reactor, form=server.access_format, has_ids=server.access_id
                )
            except OSError as error:
                raise self.config.error("access_log", f"cannot write {path}: {error.strerror}") from error
            observers.append(self._access_log)
        return [*observers, *self.plugins.functions("skitai_request_finished", self)]

    def _started(self) -> None:
        if self._line is not None:
            self._line.start()
        if self._secure is not None:
            self._secure.start(self.board, self.slot)
        in_one_thread = self._builder.in_one_thread() if self.is_first else ()
        if in_one_thread:
            _log.info(_SHARED_THREAD, mounts=", ".join(in_one_thread))
        if self.code.is_whole:  # at once: a module may wait for ever, and be mended by a change
            self.code.look()  # what apps are about to read
            self._file_watcher = FileWatcher(
                self.code.directories, self._look_at_code, self.code.matters, _LOOK_MILLISECONDS
            )
            self._file_watcher.start()
        self._load_watch.start()
        loads = [loaded.addCallback(self._watch_files) for loaded in self._builder.load()]
        DeferredList(loads).addCallback(self._apps_loaded)

    def _apps_loaded(self, _: Any) -> None:
        """Go on when each app was loaded or has failed to load."""
        self._load_watch.end()
        self._tell_of_zone()
        if self.running and self._line is not None:
            self._line.ready(self._builder.failures())
        elif self.running:
            self._figures.ready()
        # Not before: to load apps may take long, and so may what else is done then.
        self.bridge.call_later(0, self._watch)

    def _tell_of_zone(self) -> None:
        """Say once for all workers that an app, as Django does, has another zone than the logs."""
        offsets = zone.left(time.time())
        if offsets is not None and self.is_first:
            text = "the times of the logs are {ours}; an app has set its own zone, {theirs}"
            _log.info(text, ours=offsets[0], theirs=offsets[1])

    def _accept(self) -> None:
        """Accept connections: the supervisor finds that the worker can serve."""
        if self.running:
            self._figures.ready()
            for listening in self._listening:
                listening.go_on()

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

    @property
    def code(self) -> CodeChanges:
        """The files whose changes replace this process, if it is replaced as a whole."""
        code: CodeChanges = self.state(CodeChanges, CodeChanges)
        return code

    def _look_at_code(self) -> None:
        """Look for changes. Called in the thread of the watcher."""
        changed, is_old = self.code.settled()
        if changed:
            self.bridge.submit(partial(self._code_changed, changed, is_old=is_old))

    def _code_changed(self, changed: set[str], *, is_old: bool) -> None:
        """Have the process replaced, if it is of a kind that can be. Reactor thread."""

    def reopen_logs(self) -> None:
        """Go on in new files: those of the logs were moved away. Called in the reactor thread."""
        try:
            if self._access_log is not None:
                self._access_log.reopen()
        except OSError as error:
            _log.error("cannot open the access log anew: {error}", error=error)
        self.plugins.notify("skitai_reopen_logs", instance=self)

    # -- stop ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def _close(self) -> Any:
        """Take no new connections and let the requests under way end.

        It takes at most the config's ``response_timeout`` and a second.
        """
        self._figures.draining()
        if self._file_watcher is not None:
            self._file_watcher.stop()
        if self._secure is not None:
            self._secure.stop()
        assert self._factory is not None
        yield stop_listening(self.reactor, self._factory, self._listening, goes_on=self._leaves_sockets)
        self._listening = []
        is_replaced = self._line is not None or self._leaves_sockets
        idle_seconds = self._idle_seconds if is_replaced else 0.0
        yield end_requests(self, self._factory, self._builder, self._dispatcher, self._patience, idle_seconds)

    def _let_go(self) -> None:
        super()._let_go()
        asyncviews.end_support(self.bridge)
        self._load_watch.end()
        self._watcher.stop()
        self._figures.stop()
        if self._line is not None:
            self._line.stop()
        for listening in self._listening:  # there are some only if the start failed
            listening.port.stopListening()
        if self._access_log is not None:
            self._access_log.close()


def open_as_configured(config: Config, inherited: Sequence[int]) -> list[Opened]:
    """Return the sockets that ``config`` names, open. Raises ConfigError."""
    try:
        return open_sockets(config.server.endpoints, inherited)
    except ListenError as error:
        raise cannot_listen(config, error) from error


def cannot_listen(config: Config, error: ListenError) -> ConfigError:
    """Return ``error`` with the line of the config."""
    server = config.server
    key = "listen" if server.listen else error.key
    if error.key == "port" and f":{server.redirect_http} " in str(error):  # no other endpoint has that port
        key = "redirect_http"
    return config.error(key, str(error))


def _beat_seconds(config: Config) -> float:
    """Return the seconds between heartbeats: several must be missed before the worker counts as hung."""
    return min(BEAT_SECONDS, config.server.worker_timeout / 4 or BEAT_SECONDS)
