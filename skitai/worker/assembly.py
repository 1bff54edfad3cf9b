"""Makes the parts of an instance from its config and its plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred

from skitai.calls.cluster import Cluster, Member
from skitai.calls.dispatch import Dispatcher
from skitai.calls.observers import CallObservers
from skitai.calls.traffic import CallLimits
from skitai.config import ClusterConfig, Config, Mount, ServerConfig, VirtualHost
from skitai.config.clusters import unknown_key
from skitai.config.loader import SHARED_SECTIONS
from skitai.config.routes import DEFAULT_HOST
from skitai.errors import ConfigError, PluginError
from skitai.formats.spelling import nearest
from skitai.interfaces import IBus, IInstance, IResultCache, IService
from skitai.loop.bridge import Bridge
from skitai.messaging.local import LocalBus
from skitai.net.discovery import source_of
from skitai.plugins.manager import PluginManager, create_plugin_manager
from skitai.plugins.mounting import Mounted, mount_resource
from skitai.server.apps.sharing import shares_a_thread
from skitai.server.clientcerts import REQUIRE
from skitai.server.http1.limits import ServerLimits
from skitai.server.site import Mounts, Site
from skitai.server.static.directory import StaticDirectory
from skitai.server.wsgi.resource import WSGIResource
from skitai.worker.following import Followed, Following, node_maker
from skitai.worker.health import KEY, HealthCheck, read_health

Shared = list[tuple[bytes, Any]]


def load_plugins(config: Config) -> PluginManager:
    """Return a manager of the installed plugins but for those that ``config`` disables.

    Raises ConfigError for a disabled one that is not installed, and PluginError as ``create_plugin_manager``.
    """
    try:
        return create_plugin_manager(config.disabled_plugins)
    except PluginError as error:
        if error.plugin in config.disabled_plugins:
            raise config.error("disable", str(error), section="plugins") from error
        raise


def make_limits(server: ServerConfig) -> ServerLimits:
    """Return what one client may use: the keys of ``[server]`` have the names of the limits."""
    return ServerLimits(**{limit.name: getattr(server, limit.name) for limit in attrs.fields(ServerLimits)})


def make_clusters(
    config: Config,
    types: Mapping[str, IService],
    plugins: PluginManager,
    sections: Mapping[str, Iterable[str]],
    seconds: Callable[[], float],
    following: Following,
) -> dict[str, Cluster]:
    """Return the clusters of the config by name; ``types`` are the services that read their members.

    ``plugins`` that are not loaded are named where a type is unknown. ``sections`` are the keys of the
    sections of plugins: what is misplaced in a cluster may belong there. Those with members that come and go
    are added to ``following``. Raises ConfigError for a type that is not there and for an address that its
    service refuses.
    """
    return {
        name: _cluster(config, cluster, types, plugins, sections, seconds, following)
        for name, cluster in config.clusters.items()
    }


def _cluster(
    config: Config,
    cluster: ClusterConfig,
    types: Mapping[str, IService],
    plugins: PluginManager,
    sections: Mapping[str, Iterable[str]],
    seconds: Callable[[], float],
    following: Following,
) -> Cluster:
    def wrong(key: str, message: str) -> ConfigError:
        return config.error(key, message, section=f"@{cluster.name}")

    service = types.get(cluster.type)
    if service is None:
        known = ", ".join(sorted(types)) or "none: no plugin brings one"
        message = f"{cluster.type} is not a type of cluster; there are: {known}"
        raise wrong("type", plugins.blamed(message))
    for key in cluster.options:
        if key not in service.cluster_keys:
            raise wrong(key, unknown_key(key, cluster.type, service.cluster_keys, sections))
    try:
        sources = [source_of(member.address, member.weight) for member in cluster.members]
        members = tuple(
            Member(service.member(member.address, cluster.options), member.weight)
            for member, source in zip(cluster.members, sources, strict=True)
            if source is None
        )
    except ValueError as error:
        raise wrong(getattr(error, "key", "members"), str(error)) from error
    followed = tuple(source for source in sources if source is not None)
    made = Cluster(cluster.name, cluster.type, members, seconds, follows=bool(followed))
    if followed:
        node_of = node_maker(lambda address: service.member(address, cluster.options))
        following.followed.append(Followed(made, members, followed, node_of))
    if KEY in cluster.options:
        try:
            health = read_health(cluster.options[KEY])
        except ValueError as error:
            raise wrong(KEY, str(error)) from error
        operation = service.operation(f"@{cluster.name}{health.path}", use_cache=False)  # type: ignore[attr-defined]
        following.checks.append(HealthCheck(following.reactor, made, service, operation, health))
    return made


def make_dispatcher(
    config: Config, plugins: PluginManager, instance: IInstance, bridge: Bridge, following: Following
) -> Dispatcher:
    """Return what starts the calls of ``instance``, with clusters, cache and limits of the config.

    Clusters whose members come and go are added to ``following``. Raises ConfigError for a wrong cluster or
    an unknown cache.
    """
    server = config.server
    sections = {**plugins.config_sections(), **SHARED_SECTIONS}
    return Dispatcher(
        bridge,
        make_clusters(config, plugins.cluster_types(instance), plugins, sections, bridge.seconds, following),
        cache=_result_cache(config, plugins, instance),
        limits=CallLimits(server.calls_max, server.calls_queue_max),
        coalesce=server.coalesce,
        observers=CallObservers(
            started=plugins.functions("skitai_call_started", instance),
            attempt=plugins.functions("skitai_attempt", instance),
            finished=plugins.functions("skitai_call_finished", instance),
        ),
    )


def _result_cache(config: Config, plugins: PluginManager, instance: IInstance) -> IResultCache | None:
    caches = plugins.result_caches(instance)
    name = config.server.result_cache
    if config.server.num_result_cache_max == 0:
        return None
    if name not in caches and name != "memory":  # its plugin may be disabled: no cache
        message = plugins.blamed(f"{name} is not a result cache: {nearest(name, caches)}")
        raise config.error("result_cache", message)
    return caches.get(name)


def make_bus(config: Config, plugins: PluginManager, instance: IInstance) -> IBus:
    """Return the bus that the config names. Raises ConfigError if no plugin brings it."""
    name = config.server.bus
    buses: dict[str, IBus] = {"local": LocalBus(instance.reactor.seconds), **plugins.buses(instance)}
    if name not in buses:
        raise config.error("bus", plugins.blamed(f"{name} is not a bus: {nearest(name, buses)}"))
    return buses[name]


def claim_sections(config: Config, plugins: PluginManager) -> tuple[Mapping[str, Any], list[str]]:
    """Return the typed values of the sections that plugins declare, and warnings of unknown sections.

    Raises ConfigError for values that cannot be, and for an unknown section if no plugin can be to blame.
    """
    declared = plugins.config_sections()
    unclaimed = config.unclaimed(declared)
    absent = ", ".join(plugins.not_loaded())
    if unclaimed and not absent:
        raise unclaimed[0]
    warnings = [
        f"{error}; ignored, it may be of a plugin that is not loaded: {absent}" for error in unclaimed
    ]
    return config.claim(declared), warnings


def make_forward_proxy(instance: IInstance) -> Any:
    """Return what answers requests for other hosts; None where ``enable_proxy`` is not set.

    Raises ConfigError if no plugin brings it, and what the plugin has to say of the config.
    """
    config: Config = instance.config
    if not config.server.enable_proxy:
        return None
    for _, ask in instance.plugins.callers("skitai_forward_proxy"):
        try:
            found = ask(instance=instance)
        except ConfigError as error:
            raise config.located(error) from error
        if found is not None:
            return found
    message = instance.plugins.blamed("no plugin brings the forward proxy")
    raise config.error("enable_proxy", message)


class SiteBuilder:
    """Builds what an instance serves, and has the apps in it loaded when the server listens.

    The plugins say what answers at each mount of ``instance.config``. Raises ConfigError for a route that no
    plugin serves and for two that contradict each other. ``warnings`` are sentences for the user.
    """

    def __init__(self, instance: IInstance) -> None:
        self._instance = instance
        self._hosts: tuple[VirtualHost, ...] = instance.config.hosts
        self._mounted: dict[Mount, Mounted] = {}
        for mount in (mount for host in self._hosts for mount in host.mounts):
            if mount not in self._mounted:  # one that stands under several hosts is one resource
                self._mounted[mount] = mount_resource(instance.plugins, instance, mount)
        for host in self._hosts:
            self._check_contradictions(host)
        resources = [mounted.resource for mounted in self._mounted.values()]
        self._apps = [resource for resource in resources if isinstance(resource, WSGIResource)]
        self.warnings = tuple(warning for mounted in self._mounted.values() for warning in mounted.warnings)
        if instance.config.server.cooperative and self._apps and not self._has_greenlets():
            needless = "all apps run in threads, so cooperative = yes is of no use: leave out threads"
            self.warnings += (str(instance.config.error("threads", needless)),)

    def describe_mount(self, mount: Mount) -> str:
        """Return the right side of a route as ``--check`` shows it."""
        return self._mounted[mount].shown

    def site(self, everywhere: Mapping[str, Any], forward: Any = None) -> Site:
        """Return the site of the virtual hosts; ``everywhere`` are resources that each of them has.

        ``forward`` answers requests for other hosts, and CONNECT.
        """
        shared = [(point.encode(), resource) for point, resource in everywhere.items()]
        default: Mounts | None = Mounts([], shared) if shared or not self._hosts else None
        exact: dict[bytes, Mounts] = {}
        suffixes: dict[bytes, Mounts] = {}
        for host in self._hosts:
            mounts = self._mounts(host, shared)
            for name in host.names:
                if name == DEFAULT_HOST:
                    default = mounts
                elif name.startswith("."):
                    suffixes[name[1:].encode()] = mounts
                else:
                    exact[name.encode()] = mounts
        return Site(default, exact, suffixes, connect=forward, elsewhere=forward)

    def in_one_thread(self) -> list[str]:
        """Return the mounts whose requests all share one thread, as if they were one request."""
        return [
            name
            for executor, names in self._instance.executors.mounts.items()
            if shares_a_thread(self._instance, executor)
            for name in names
        ]

    def _has_greenlets(self) -> bool:
        return not all(app.executor.multithread for app in self._apps)

    def load(self) -> list[Deferred[None]]:
        """Have all apps loaded; return a Deferred for each that fires when that is over. Reactor thread."""
        return [app.preload() for app in self._apps]

    def load_now(self) -> list[str]:
        """Load all apps here; return what keeps some from being loaded. The reactor must not run yet."""
        return [failed for app in self._apps if (failed := app.load_now()) is not None]

    def failures(self) -> list[str]:
        """Return what keeps apps from being served. Reactor thread."""
        return [str(app.failure) for app in self._apps if app.failure is not None]

    def look_again(self) -> None:
        """Have those apps loaded again that reload and have changed. Reactor thread."""
        for app in self._apps:
            app.look_again()

    def stop_loading(self) -> None:
        """Load nothing from here on. Reactor thread."""
        for app in self._apps:
            app.stop_loading()

    def directories(self) -> set[str]:
        """Return the directories whose Python files some app is loaded again for. Called in any thread."""
        return set().union(*(app.directories() for app in self._apps))

    def _check_contradictions(self, host: VirtualHost) -> None:
        """Refuse two mounts of one kind at one point; an app and a folder may share it."""
        earlier: dict[tuple[str, str], Mount] = {}
        for mount in host.mounts:
            other = earlier.setdefault((self._mounted[mount].kind, mount.point), mount)
            if other is not mount:
                message = f"contradicts line {other.line}, the same mount point of host {host.names[0]}"
                raise mount.error(f"{message}: keep one of the two")

    def _mounts(self, host: VirtualHost, shared: Shared) -> Mounts:
        pairs = [(mount.point.encode(), self._mounted[mount].resource) for mount in host.mounts]
        directories = [pair for pair in pairs if isinstance(pair[1], StaticDirectory)]
        resources = [pair for pair in pairs if not isinstance(pair[1], StaticDirectory)]
        asking = [found for found in map(self._mounted.__getitem__, host.mounts) if found.client_cert]
        # One resource may have several mounts: the strictest is the last.
        asking.sort(key=lambda found: found.client_cert == REQUIRE)
        wanted = {id(found.resource): str(found.client_cert) for found in asking}
        return Mounts(directories, [*resources, *shared], host.names[0], wanted)
