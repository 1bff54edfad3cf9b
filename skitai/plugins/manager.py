"""Loads the plugins, isolated from each other's failures, and gathers what they give to an instance."""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import pluggy
from twisted.logger import Logger, LogLevel

from skitai.errors import ConfigError, PluginError
from skitai.formats.spelling import nearest
from skitai.plugins import hookspecs
from skitai.plugins.contributions import (
    ATTRIBUTES,
    BUSES,
    CLUSTER_TYPES,
    CONFIG_SECTIONS,
    MOUNTS,
    RESULT_CACHES,
    SERVICES,
    Claims,
    Kind,
    checked,
)
from skitai.plugins.installed import installed
from skitai.plugins.listing import PluginInfo
from skitai.plugins.observing import check_implementation, check_observer, plain_function

if TYPE_CHECKING:
    from skitai.interfaces import IBus, IInstance, IResultCache, IService

GROUP = "skitai"

#: What a plugin may raise without an end to the others, and to the server: ``sys.exit()`` is not for plugins.
RAISED_BY_PLUGINS = (Exception, SystemExit)

_HOOKS = frozenset(name for name in vars(hookspecs) if name.startswith("skitai_"))
_AT_START = (SERVICES, ATTRIBUTES, CLUSTER_TYPES, MOUNTS, RESULT_CACHES, BUSES)
_log = Logger()


class PluginManager:
    """The plugins of one instance; ``create_plugin_manager`` builds it.

    A plugin that raises where it is loaded or asked what it gives is marked failed, named in the log with
    its traceback, and takes part in nothing more; with ``strict`` that raises PluginError instead.
    Used in the reactor thread, but for ``notify``, ``first`` and ``missing``, which any thread may call.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        #: Sentences for the user on packages whose metadata is broken.
        self.warnings: tuple[str, ...] = ()
        self._pluggy = pluggy.PluginManager("skitai")
        self._pluggy.add_hookspecs(hookspecs)
        self._infos: dict[str, PluginInfo] = {}
        self._callers: dict[str, list[tuple[PluginInfo, Callable[..., Any]]]] = {}
        self._instance: IInstance | None = None
        self._gathered: dict[Kind, dict[str, Any]] = {}
        self._observers: list[object] | None = None

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks themselves, ``manager.hook.skitai_load_app(...)``: what a plugin raises is not caught."""
        return self._pluggy.hook

    def load(self, entry_point: importlib.metadata.EntryPoint) -> None:
        """Import and register one plugin."""
        name = entry_point.name
        self._infos[name] = PluginInfo.of(entry_point)
        try:
            hooks = self._register(name, entry_point.load())
        except RAISED_BY_PLUGINS as error:
            self._fail(name, error)
        else:
            self._infos[name] = attrs.evolve(self._infos[name], hooks=hooks)

    def skip(self, entry_point: importlib.metadata.EntryPoint, reason: str) -> None:
        """List a plugin as disabled, without importing it."""
        info = PluginInfo.of(entry_point)
        self._infos[info.name] = attrs.evolve(info, state="disabled", reason=reason)

    def plugins(self) -> list[PluginInfo]:
        """Return every installed plugin, loaded or not, by name."""
        return [self._infos[name] for name in sorted(self._infos)]

    def config_sections(self) -> dict[str, Mapping[str, Any]]:
        """Return ``{section: {key: Key}}`` of the config sections that plugins declare.

        Raises PluginError when two plugins declare the same section.
        """
        return self._gather([CONFIG_SECTIONS])[CONFIG_SECTIONS]

    def services(self, instance: IInstance) -> dict[str, IService]:
        """Return the services by their ``was.*`` names; raise PluginError when two plugins claim a name.

        The first call of this or of the methods below asks each plugin for all of them, so that a plugin
        that fails gives nothing at all. A ConfigError of a plugin is passed on.
        """
        return self._given(SERVICES, instance)

    def attributes(self, instance: IInstance) -> dict[str, Callable[[Any], Any]]:
        """Return the factories of the other ``was.*`` names. Raises as ``services`` does."""
        return self._given(ATTRIBUTES, instance)

    def cluster_types(self, instance: IInstance) -> dict[str, IService]:
        """Return the service that reads the members of each cluster type. Raises as ``services`` does."""
        return self._given(CLUSTER_TYPES, instance)

    def mounts(self, instance: IInstance) -> dict[str, Any]:
        """Return the resources by their mount points. Raises as ``services`` does."""
        return self._given(MOUNTS, instance)

    def result_caches(self, instance: IInstance) -> dict[str, IResultCache]:
        """Return the result caches by their names. Raises as ``services`` does."""
        return self._given(RESULT_CACHES, instance)

    def buses(self, instance: IInstance) -> dict[str, IBus]:
        """Return the buses by their names. Raises as ``services`` does."""
        return self._given(BUSES, instance)

    def notify(self, hook: str, **arguments: Any) -> list[Any]:
        """Call a hook of every plugin and return what they returned; one that raises is logged by name."""
        return list(self._results(hook, arguments))

    def first(self, hook: str, **arguments: Any) -> Any:
        """Return the first result of a hook, or None; plugins after the one that gives it are not asked.

        One that raises is logged by name and passed over.
        """
        return next(self._results(hook, arguments), None)

    def callers(self, hook: str) -> list[tuple[PluginInfo, Callable[..., Any]]]:
        """Return each plugin that takes part in a hook, with a function that calls it and may raise."""
        if hook not in self._callers:
            implementations = reversed(getattr(self._pluggy.hook, hook).get_hookimpls())
            names = dict.fromkeys(implementation.plugin_name for implementation in implementations)
            self._callers[hook] = [(self._infos[name], self._caller(hook, name)) for name in names]
        return self._callers[hook]

    def functions(self, hook: str, instance: IInstance) -> tuple[Callable[..., Any], ...]:
        """Return what takes part in a hook of ``skitai_observer``: they take its arguments by position.

        The first call asks the plugins for their observers. A ConfigError of a plugin is passed on.
        """
        observers = self._observers_of(instance)
        implementations = reversed(getattr(self._pluggy.hook, hook).get_hookimpls())
        found = [plain_function(implementation, hook, instance) for implementation in implementations]
        return (*found, *(getattr(observer, hook) for observer in observers if hasattr(observer, hook)))

    def not_loaded(self) -> list[str]:
        """Return, for each disabled or failed plugin, why it is not loaded, in words that follow "plugin"."""
        return [info.trouble for info in self.plugins() if info.state != "loaded"]

    def blamed(self, message: str) -> str:
        """Return the message for a word that no plugin knows: with those that are not loaded, and why."""
        absent = "; ".join(self.not_loaded())
        return f"{message}; it may be of a plugin that is not loaded: {absent}" if absent else message

    def missing(self, name: str) -> str | None:
        """Return why ``was.<name>`` is not there, if a plugin that is not loaded may be the reason, or None.

        Called in any thread.
        """
        absent = [info for info in self.plugins() if info.state != "loaded"]
        for info in absent:
            if name in (info.name, *info.names):
                return f"was.{name} is not available: plugin {info.trouble}"
        untold = [info.trouble for info in absent if not info.names]
        if not untold:
            return None
        return f"was.{name} is not available; it may be of a plugin that is not loaded: {'; '.join(untold)}"

    def _results(self, hook: str, arguments: dict[str, Any]) -> Iterator[Any]:
        for info, call in self.callers(hook):
            try:
                given = call(**arguments)
            except RAISED_BY_PLUGINS:  # the other plugins must still hear of it
                _log.failure(
                    "Plugin {plugin} raised in {hook}", plugin=info.label, hook=hook, level=LogLevel.error
                )
                continue
            # A hook with ``firstresult`` returns one result or None, not a list.
            yield from given if isinstance(given, list) else [given] if given is not None else []

    def _register(self, name: str, plugin: object) -> tuple[str, ...]:
        hash(plugin)  # pluggy keeps plugins in sets: one that has no hash would break the calls of all others
        self._pluggy.register(plugin, name=name)
        callers = self._pluggy.get_hookcallers(plugin) or []
        for caller in callers:
            for implementation in caller.get_hookimpls():
                check_implementation(implementation, caller.name)
            optional = all(implementation.optionalhook for implementation in caller.get_hookimpls())
            if not caller.has_spec() and not optional:
                raise PluginError(name, f"there is no hook {caller.name!r}: {nearest(caller.name, _HOOKS)}")
        hooks = sorted(caller.name for caller in callers if caller.has_spec())
        unmarked = sorted(hook for hook in _HOOKS.difference(hooks) if hasattr(plugin, hook))
        if unmarked:
            raise PluginError(name, f"{', '.join(unmarked)} lacks the decorator skitai.plugins.hookimpl")
        if not hooks:
            raise PluginError(name, "it implements no hook of skitai.plugins.hookspecs")
        return tuple(hooks)

    def _fail(self, name: str, error: BaseException) -> None:
        """Mark a plugin failed. Called where ``error`` is being handled, which is what gets logged."""
        reason = error.reason if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        reason = " ".join(reason.split())
        if self._strict:
            raise PluginError(name, reason) from error
        info = self._infos[name]
        _log.failure(
            "Plugin {plugin} failed: {reason}", level=LogLevel.error, plugin=info.label, reason=reason
        )
        self._infos[name] = attrs.evolve(info, state="failed", reason=reason)
        if self._pluggy.has_plugin(name):
            self._pluggy.unregister(name=name)
        self._callers.clear()

    def _given(self, kind: Kind, instance: IInstance) -> dict[str, Any]:
        self._meet(instance)
        return dict(self._gathered[kind])

    def _meet(self, instance: IInstance) -> None:
        """Ask all plugins what they give to ``instance``, unless they have been asked."""
        if self._instance is not instance:
            self._observers = None
            self._gathered = self._gather(_AT_START, instance=instance)
            self._instance = instance

    def _observers_of(self, instance: IInstance) -> list[object]:
        self._meet(instance)
        if self._observers is None:
            self._observers = []
            for info, ask in self.callers("skitai_observer"):
                try:
                    found = ask(instance=instance)
                    for observer in found:
                        check_observer(observer)
                except ConfigError:
                    raise
                except RAISED_BY_PLUGINS as error:
                    self._fail(info.name, error)
                else:
                    self._observers += found
        return self._observers

    def _gather(self, kinds: Collection[Kind], **arguments: Any) -> dict[Kind, dict[str, Any]]:
        gathered: dict[Kind, dict[str, Any]] = {kind: {} for kind in kinds}
        claims = Claims()
        for info in self.plugins():
            if info.state != "loaded":
                continue
            given = self._ask(info.name, kinds, arguments)
            for kind, mapping in given.items():
                for name, value in mapping.items():
                    claims.add(kind, name, value, info)
                gathered[kind].update(mapping)
        return gathered

    def _ask(
        self, plugin: str, kinds: Iterable[Kind], arguments: dict[str, Any]
    ) -> dict[Kind, dict[str, Any]]:
        """Return what one plugin gives: nothing at all if it fails in the middle."""
        given: dict[Kind, dict[str, Any]] = {kind: {} for kind in kinds}
        try:
            for kind in kinds:
                for mapping in self._caller(kind.hook, plugin)(**arguments):
                    given[kind].update(checked(kind, plugin, mapping))
        except ConfigError:
            raise  # the user's mistake, not the plugin's
        except RAISED_BY_PLUGINS as error:  # the other plugins go on
            self._fail(plugin, error)
            return {}
        finally:
            info = self._infos[plugin]
            names = {*info.names, *given.get(SERVICES, ()), *given.get(ATTRIBUTES, ())}
            self._infos[plugin] = attrs.evolve(info, names=tuple(sorted(names)))
        return given

    def _caller(self, hook: str, plugin: str) -> Callable[..., Any]:
        others = {other for name, other in self._pluggy.list_name_plugin() if name != plugin}
        return self._pluggy.subset_hook_caller(hook, others)


def create_plugin_manager(
    disabled: Collection[str] = frozenset(),
    *,
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> PluginManager:
    """Return a manager with the installed plugins, or those of ``entry_points``, loaded.

    ``disabled`` are the names that the config switches off. ``SKITAI_PLUGINS=a,b`` in ``environ`` loads
    these only (empty: all). Raises PluginError for two plugins of one name, for a name that no installed
    plugin has, and with ``SKITAI_STRICT_PLUGINS=1`` for a plugin that fails. Called in the reactor thread.
    """
    warnings: tuple[str, ...] = ()
    if entry_points is None:
        present = installed(GROUP)
        entry_points, warnings = present.entry_points, present.warnings
    found = _by_name(entry_points)
    only = {name.strip() for name in environ.get("SKITAI_PLUGINS", "").split(",")} - {""}
    for source, names in (("disable", disabled), ("SKITAI_PLUGINS", only)):
        for name in sorted(names):
            if name not in found:
                raise PluginError(name, f"{source} names it, but it is not installed: {nearest(name, found)}")
    manager = PluginManager(strict=environ.get("SKITAI_STRICT_PLUGINS", "") not in ("", "0"))
    manager.warnings = warnings
    for name, entry_point in sorted(found.items()):
        if name in disabled:
            manager.skip(entry_point, "switched off in the config")
        elif only and name not in only:
            manager.skip(entry_point, "not named in SKITAI_PLUGINS")
        else:
            manager.load(entry_point)
    return manager


def _by_name(
    entry_points: Iterable[importlib.metadata.EntryPoint],
) -> dict[str, importlib.metadata.EntryPoint]:
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry_point in entry_points:
        other = found.setdefault(entry_point.name, entry_point)
        if other is not entry_point:
            origins = f"{PluginInfo.of(other).origin} and {PluginInfo.of(entry_point).origin}"
            raise PluginError(entry_point.name, f"{origins} both bring it; uninstall one of them")
    return found
