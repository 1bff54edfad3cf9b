"""The parts of an instance, made from what its config and its plugins say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.calls.traffic import CallLimits
from skitai.config import AppMount, ClusterConfig, Config, Mount, ServerConfig, StaticMount, VirtualHost
from skitai.config.keys import nearest
from skitai.config.routes import DEFAULT_HOST
from skitai.context import ServiceTable
from skitai.errors import ConfigError
from skitai.interfaces import IExecutor, IInstance, IResultCache, IService
from skitai.loop.bridge import Bridge
from skitai.server.apps.loader import AppSource, LoadedApp
from skitai.server.http1.limits import ServerLimits
from skitai.server.request.pages import Unavailable
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory
from skitai.server.wsgi.resource import AppWatcher, WSGIApp, WSGIResource

if TYPE_CHECKING:
    from skitai.plugins.manager import PluginManager

Shared = list[tuple[bytes, Any]]


def make_limits(server: ServerConfig) -> ServerLimits:
    """Return what one client may use: the keys of ``[server]`` have the names of the limits."""
    return ServerLimits(**{limit.name: getattr(server, limit.name) for limit in attrs.fields(ServerLimits)})


def make_clusters(
    config: Config, types: Mapping[str, IService], seconds: Callable[[], float]
) -> dict[str, Cluster]:
    """Return the clusters of the config by name; ``types`` are the services that read their members.

    Raises ConfigError for a type that is not there and for an address that its service refuses.
    """
    return {name: _cluster(config, cluster, types, seconds) for name, cluster in config.clusters.items()}


def _cluster(
    config: Config, cluster: ClusterConfig, types: Mapping[str, IService], seconds: Callable[[], float]
) -> Cluster:
    def wrong(key: str, message: str) -> ConfigError:
        return config.error(key, message, section=f"@{cluster.name}")

    service = types.get(cluster.type)
    if service is None:
        known = ", ".join(sorted(types)) or "none: no plugin brings one"
        raise wrong("type", f"{cluster.type} is not a type of cluster; there are: {known}")
    for key in cluster.options:
        if key not in service.cluster_keys:
            raise wrong(key, f"unknown key: {nearest(key, ('type', 'members', *service.cluster_keys))}")
    try:
        members = [
            Member(service.member(member.address, cluster.options), member.weight)
            for member in cluster.members
        ]
    except ValueError as error:
        raise wrong(getattr(error, "key", "members"), str(error)) from error
    return Cluster(cluster.name, cluster.type, members, seconds)


def make_dispatcher(
    config: Config, plugins: PluginManager, instance: IInstance, bridge: Bridge
) -> Dispatcher:
    """Return what starts the calls of ``instance``, with clusters, cache and limits of the config.

    Raises ConfigError for a cluster or a cache that cannot be.
    """
    server = config.server
    return Dispatcher(
        bridge,
        make_clusters(config, plugins.cluster_types(instance), bridge.seconds),
        cache=_result_cache(config, plugins.result_caches(instance)),
        limits=CallLimits(server.calls_max, server.calls_queue_max),
        coalesce=server.coalesce,
    )


def _result_cache(config: Config, caches: Mapping[str, IResultCache]) -> IResultCache | None:
    name = config.server.result_cache
    if config.server.num_result_cache_max == 0:
        return None
    if name not in caches and name != "memory":  # who disables the plugin of the default wants no cache
        message = f"{name} is not a result cache: {nearest(name, caches)}"
        raise config.error("result_cache", message)
    return caches.get(name)


class _PluginsWatch(AppWatcher):
    """Tells the plugins of apps."""

    def __init__(self, plugins: PluginManager, instance: IInstance) -> None:
        self._plugins = plugins
        self._instance = instance

    def loaded(self, app: WSGIApp, previous: WSGIApp | None) -> None:
        self._plugins.notify("skitai_app_loaded", instance=self._instance, app=app, previous=previous)

    def broken(self, app: WSGIApp, error: BaseException) -> WSGIApp | None:
        found: WSGIApp | None = self._plugins.first(
            "skitai_app_broken", instance=self._instance, app=app, error=error
        )
        return found

    def failed(self, error: BaseException, doing: str) -> None:
        self._plugins.notify("skitai_app_failed", instance=self._instance, error=error, doing=doing)


class SiteBuilder:
    """Builds what an instance serves, and loads the apps in it when the server listens."""

    def __init__(
        self, instance: IInstance, plugins: PluginManager, executor: IExecutor, table: ServiceTable
    ) -> None:
        self._apps: list[WSGIResource] = []
        self._loaded: list[LoadedApp] = []
        self._server: ServerConfig = instance.config.server
        self._plugins = plugins
        self._instance = instance
        self._watcher = _PluginsWatch(plugins, instance)
        self._executor = executor
        self._table = table

    def site(self, hosts: tuple[VirtualHost, ...], everywhere: Mapping[str, Any]) -> Site:
        """Return the site of the virtual hosts; ``everywhere`` are resources that each of them has."""
        shared = [(point.encode(), resource) for point, resource in everywhere.items()]
        default: Mounts | None = Mounts([], shared) if shared or not hosts else None
        exact: dict[bytes, Mounts] = {}
        suffixes: dict[bytes, Mounts] = {}
        for host in hosts:
            mounts = self._mounts(host, shared)
            for name in host.names:
                if name == DEFAULT_HOST:
                    default = mounts
                elif name.startswith("."):
                    suffixes[name[1:].encode()] = mounts
                else:
                    exact[name.encode()] = mounts
        return Site(default, exact, suffixes)

    def load(self) -> None:
        """Load the apps that are not loaded, and those that reload and have changed. Reactor thread."""
        for app in self._apps:
            app.preload()

    def directories(self) -> set[str]:
        """Return the directories whose Python files some app is loaded again for. Called in any thread."""
        return set().union(*(app.directories() for app in self._loaded))

    def _mounts(self, host: VirtualHost, shared: Shared) -> Mounts:
        directories = [
            (mount.point.encode(), StaticDirectory(mount.directory, int(self._server.static_max_age)))
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
        load, buffer_max = self._app_loader(mount), self._server.response_buffer_max
        app = WSGIResource(
            load,
            mount.point,
            self._executor,
            self._table,
            buffer_max=buffer_max,
            watcher=self._watcher,
        )
        self._apps.append(app)
        return app

    def _app_loader(self, mount: AppMount) -> Callable[[], WSGIApp]:
        source = AppSource(mount.directory, mount.module, mount.callable)
        app = LoadedApp(source, reload=self._server.reloader, given=self._given)
        self._loaded.append(app)
        return app.get

    def _given(self, source: AppSource) -> WSGIApp | None:
        """Return the app that a plugin has for the source."""
        found: WSGIApp | None = self._plugins.first(
            "skitai_load_app", instance=self._instance, target=str(source)
        )
        return found
