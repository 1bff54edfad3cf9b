"""One running worker: the parts put together as the config says, as one Twisted service."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from skitai.calls.bridge import Bridge
from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.config import AppMount, ClusterConfig, Config, Mount, StaticMount, VirtualHost
from skitai.config.routes import DEFAULT_HOST
from skitai.context import ServiceTable, Was, set_default
from skitai.errors import ConfigError
from skitai.interfaces import IInstance, IService
from skitai.plugins.manager import PluginManager
from skitai.server.accesslog import AccessLog
from skitai.server.executors import executor_for
from skitai.server.factory import HTTPFactory
from skitai.server.limits import Limits
from skitai.server.listening import Addresses, ListenError, listen, url_of
from skitai.server.loader import AppSource, LoadedApp
from skitai.server.pages import Unavailable
from skitai.server.site import Mounts, Site
from skitai.server.static import StaticDirectory
from skitai.server.wsgi import WSGIApp, WSGIResource

_log = Logger()

#: Seconds between writes of the access log.
_FLUSH_SECONDS = 1.0


@implementer(IInstance)
class Instance(Service):
    """Serves one configuration.

    ``plugins`` are loaded; the sections that they declare are checked here. Raises ConfigError or PluginError
    for what cannot be served. Created, started and stopped in the reactor thread.
    """

    def __init__(self, config: Config, plugins: PluginManager, reactor: Any) -> None:
        self.config = config
        self.plugins = plugins
        self.reactor = reactor
        self.name = config.server.name
        self._sections = config.claim(plugins.config_sections())
        self._bridge = Bridge(reactor)
        self._executor = executor_for(config.server.threads)
        services = plugins.services(self)
        clusters = _clusters(config, plugins.cluster_types(self), self._bridge.seconds)
        self._dispatcher = Dispatcher(self._bridge, clusters)
        self._table = ServiceTable(
            self._dispatcher, services, plugins.attributes(self), explain=plugins.missing
        )
        self._factory: HTTPFactory | None = None
        self._ports: list[IListeningPort] = []
        self._access_log: AccessLog | None = None
        self._flushing: LoopingCall | None = None

    def section(self, name: str) -> Mapping[str, Any]:
        """Return the typed values of a config section that a plugin declared."""
        return self._sections[name]

    # -- start ---------------------------------------------------------------------------------------------

    def startService(self) -> None:
        """Load the apps and listen.

        Raises ConfigError when an address cannot be listened on or a log not written.
        """
        self.running = 1
        self._bridge.start()
        self._executor.start()
        set_default(Was(self._table))
        self._factory = factory = self._make_factory(self._make_site())
        server = self.config.server
        addresses = Addresses(server.ip, server.port, server.unix_socket)
        try:
            self._ports = listen(self.reactor, addresses, self._secured(factory))
        except ListenError as error:
            raise self.config.error(error.key, str(error)) from error
        self.plugins.notify("skitai_startup", instance=self)

    @property
    def urls(self) -> list[str]:
        """How people reach the server."""
        return [url_of(port.getHost(), self.config.server.ssl) for port in self._ports]

    def _secured(self, factory: HTTPFactory) -> Any:
        server = self.config.server
        if not server.ssl:
            return factory
        from skitai.server.tls import with_tls  # OpenSSL costs 8 MB that a plain server need not spend

        assert server.certfile is not None
        return with_tls(factory, server.certfile, server.keyfile, server.passphrase, self.reactor)

    def _make_factory(self, site: Site) -> HTTPFactory:
        server = self.config.server
        limits = Limits(
            header_timeout=server.header_timeout,
            keep_alive=server.keep_alive,
            response_timeout=server.response_timeout,
            uri_max=server.uri_max,
            header_max=server.header_max,
            body_max=server.body_max,
            multipart_max=server.multipart_max,
            response_buffer_max=server.response_buffer_max,
            connections_max=server.connections_max,
        )
        observers: list[Callable[[Any], None]] = []
        if server.access_log is not None:
            self._access_log = AccessLog(self._open_log(server.access_log))
            observers.append(self._access_log)
            self._flushing = LoopingCall(self._access_log.flush)
            self._flushing.clock = self.reactor
            self._flushing.start(_FLUSH_SECONDS, now=False)
        if self.plugins.implements("skitai_request_finished"):
            observers.append(self._request_finished)
        return HTTPFactory(self.reactor, site.handle, limits, observers=observers, secure=server.ssl)

    def _open_log(self, path: Path | str) -> IO[str]:
        if path == "-":
            return sys.stdout
        try:
            return open(path, "a", encoding="utf-8")
        except OSError as error:
            raise self.config.error("access_log", f"cannot write {path}: {error.strerror}") from error

    def _request_finished(self, request: Any) -> None:
        self.plugins.notify("skitai_request_finished", request=request)

    # -- mounts --------------------------------------------------------------------------------------------

    def _make_site(self) -> Site:
        shared = [(point.encode(), resource) for point, resource in self.plugins.mounts(self).items()]
        default: Mounts | None = Mounts([], shared) if shared or not self.config.hosts else None
        exact: dict[bytes, Mounts] = {}
        suffixes: dict[bytes, Mounts] = {}
        for host in self.config.hosts:
            mounts = self._mounts(host, shared)
            for name in host.names:
                if name == DEFAULT_HOST:
                    default = mounts
                elif name.startswith("."):
                    suffixes[name[1:].encode()] = mounts
                else:
                    exact[name.encode()] = mounts
        return Site(default, exact, suffixes)

    def _mounts(self, host: VirtualHost, shared: list[tuple[bytes, Any]]) -> Mounts:
        directories = [
            (mount.point.encode(), StaticDirectory(mount.directory, int(self.config.server.static_max_age)))
            for mount in host.mounts
            if isinstance(mount, StaticMount)
        ]
        resources = [
            (mount.point.encode(), self._resource(mount))
            for mount in host.mounts
            if not isinstance(mount, StaticMount)
        ]
        return Mounts(directories, [*resources, *shared])

    def _resource(self, mount: Mount) -> Any:
        if not isinstance(mount, AppMount):
            return Unavailable()  # type: ignore[no-untyped-call]
        load = self._app_loader(mount)
        resource = WSGIResource(
            load,
            mount.point,
            self._executor,
            self._table,
            buffer_max=self.config.server.response_buffer_max,
        )
        resource.preload()
        return resource

    def _app_loader(self, mount: AppMount) -> Callable[[], WSGIApp]:
        for app in self.plugins.notify("skitai_load_app", target=mount.target):
            return lambda: app
        source = AppSource(mount.directory, mount.module, mount.callable)
        return LoadedApp(source, reload=self.config.server.reloader).get

    # -- stop ----------------------------------------------------------------------------------------------

    @inlineCallbacks
    def stopService(self) -> Any:
        """Stop: no new connections, requests under way may end, then waits fail and connections are cut.

        Returns a Deferred. It takes at most the config's ``response_timeout``, and what plugins need.
        """
        self.running = 0
        yield DeferredList([maybeDeferred(port.stopListening) for port in self._ports])
        self._ports = []
        if self._factory is not None:
            ended = self._factory.finish()
            patience = self.reactor.callLater(self.config.server.response_timeout, self._lose_patience)
            yield ended
            if patience.active():
                patience.cancel()
        self._dispatcher.stop()
        endings = self.plugins.notify("skitai_shutdown", instance=self)
        yield DeferredList([ending for ending in endings if isinstance(ending, Deferred)])
        self._executor.stop()
        self._close_log()
        set_default(None)

    def _lose_patience(self) -> None:
        """Fail what apps wait for; they may still answer, briefly, before their connections are cut."""
        self._dispatcher.stop()
        assert self._factory is not None
        self.reactor.callLater(1.0, self._factory.abort)

    def _close_log(self) -> None:
        if self._flushing is not None and self._access_log is not None:
            self._flushing.stop()
            self._access_log.close()
            self._flushing = self._access_log = None


def _clusters(
    config: Config, types: Mapping[str, IService], seconds: Callable[[], float]
) -> dict[str, Cluster]:
    return {name: _cluster(config, cluster, types, seconds) for name, cluster in config.clusters.items()}


def _cluster(
    config: Config, cluster: ClusterConfig, types: Mapping[str, IService], seconds: Callable[[], float]
) -> Cluster:
    def wrong(key: str, message: str) -> ConfigError:
        line = cluster.line
        return ConfigError(message, path=str(config.path), line=line, section=f"@{cluster.name}", key=key)

    service = types.get(cluster.type)
    if service is None:
        known = ", ".join(sorted(types)) or "none: no plugin brings one"
        raise wrong("type", f"{cluster.type} is not a type of cluster; there are: {known}")
    try:
        members = [
            Member(service.member(member.address, cluster.options), member.weight)
            for member in cluster.members
        ]
    except ValueError as error:
        raise wrong("members", str(error)) from error
    return Cluster(cluster.name, cluster.type, members, seconds)
