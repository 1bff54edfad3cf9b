"""Finds the resource for a mount point, by asking each plugin whether it knows the target of the line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from skitai.config.casters import one_of, quoted
from skitai.config.keys import Key
from skitai.config.mounts import Mount, written_target
from skitai.errors import ConfigError
from skitai.plugins.listing import PluginInfo
from skitai.plugins.manager import RAISED_BY_PLUGINS

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.plugins.manager import PluginManager

#: The beginning of a target that is not a path, such as ``chat:lobby``.
_WORD_AND_COLON = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]*:")
#: The option that says whether clients must show a certificate.
CLIENT_CERT = "client_cert"
#: The options that every mount may have.
SHARED_OPTIONS = {
    CLIENT_CERT: Key(one_of("require", "request"), None, "whether clients must show a certificate")
}
_log = Logger()


@attrs.frozen
class Answerer:
    """What a plugin returns from ``skitai_mount`` for a line that it serves.

    ``kind`` is the word that ``--check`` shows for it, such as ``"app"``. Two mounts of one kind cannot share
    a mount point. ``options`` are the keys that may follow the target. ``make`` takes their typed values and
    returns the ``IResource``; it raises ValueError if the values contradict each other. It is called once, in
    the reactor thread. ``--check`` calls it, too, so it must neither open nor start anything. ``target`` is
    the text that ``--check`` shows; if it is empty, that of the line. An option that is None is not shown.
    ``warning`` is a sentence for the user.
    """

    kind: str
    make: Callable[[Mapping[str, Any]], Any]
    options: Mapping[str, Key] = attrs.field(factory=dict)
    target: str = ""
    warning: str = ""


@attrs.frozen
class Mounted:
    """A mount with its resource.

    ``shown`` is the right side of its line as ``--check`` shows it. ``warnings`` are sentences for the user.
    ``client_cert`` is ``require``, ``request`` or None: what is wanted of clients.
    """

    mount: Mount
    kind: str
    resource: Any
    shown: str
    warnings: tuple[str, ...] = ()
    client_cert: str | None = None


def mount_resource(plugins: PluginManager, instance: IInstance, mount: Mount) -> Mounted:
    """Return the mount with the resource that a plugin makes for it.

    Raises ConfigError if no plugin takes the target, if two do, and for wrong options. Called in the reactor
    thread.
    """
    try:
        return _mounted(plugins, instance, mount)
    except ConfigError as error:  # a plugin's may name a key of another section, and no line
        raise instance.config.located(error) from error


def _mounted(plugins: PluginManager, instance: IInstance, mount: Mount) -> Mounted:
    plugin, answerer = _answerer(plugins, instance, mount)
    keys = {**answerer.options, **SHARED_OPTIONS}
    values = dict(mount.read_options(keys))
    options = {name: keys[name].show(value) for name, value in values.items() if value is not None}
    client_cert = values.pop(CLIENT_CERT)
    if client_cert is not None and instance.config.server.client_ca is None:
        raise mount.error(f"{CLIENT_CERT} needs client_ca in [server]: the authorities of clients")
    resource = _resource(plugin, answerer, mount, values)
    written = written_target(answerer.target or mount.target, options)
    warnings = (str(mount.error(answerer.warning)),) if answerer.warning else ()
    shown = f"{written}  ; {answerer.kind}"
    return Mounted(mount, answerer.kind, resource, shown, warnings, client_cert)


def _answerer(plugins: PluginManager, instance: IInstance, mount: Mount) -> tuple[PluginInfo, Answerer]:
    taken: list[tuple[PluginInfo, Answerer]] = []
    reasons: list[str] = []
    for plugin, ask in plugins.callers("skitai_mount"):
        try:
            taken += [(plugin, _checked(found)) for found in ask(instance=instance, mount=mount)]
        except ConfigError:
            raise
        except ValueError as error:
            reasons.append(_one_line(str(error)))
        except RAISED_BY_PLUGINS as error:  # another plugin may take the target
            reasons.append(_failure(plugin, error))
    if len(taken) > 1:
        labels = " and ".join(plugin.label for plugin, _ in taken)
        raise mount.error(f"plugins {labels} both take {quoted(mount.target)}: disable one of them")
    if not taken:
        if reasons and (instance.config.is_given or not _WORD_AND_COLON.match(mount.target)):
            raise mount.error("; ".join(reasons))
        raise mount.error(_not_taken(plugins, mount, reasons))
    return taken[0]


def _not_taken(plugins: PluginManager, mount: Mount, reasons: list[str]) -> str:
    """Return why no plugin takes a target that may be meant for one which is not there.

    ``reasons`` are the objections of plugins that know its form.
    """
    names = sorted(plugin.name for plugin, _ in plugins.callers("skitai_mount"))
    said = reasons or [f"no plugin takes {quoted(mount.target)}"]
    said = [*said, f"the plugins that serve routes are {', '.join(names) or 'none'}"]
    if absent := plugins.not_loaded():
        said.append(f"it may be of a plugin that is not loaded: {', '.join(absent)}")
    return "; ".join(said)


def _resource(plugin: PluginInfo, answerer: Answerer, mount: Mount, options: Mapping[str, Any]) -> Any:
    try:
        return _checked_resource(answerer.make(options))
    except ConfigError:
        raise
    except ValueError as error:
        raise mount.error(_one_line(str(error))) from error
    except RAISED_BY_PLUGINS as error:
        raise mount.error(_failure(plugin, error)) from error


def _checked(found: object) -> Answerer:
    if not isinstance(found, Answerer):
        raise TypeError(f"skitai_mount returned {type(found).__name__}, not an Answerer")
    return found


def _checked_resource(made: object) -> object:
    if not IResource.providedBy(made):
        raise TypeError(f"{made!r} does not provide twisted.web.resource.IResource")
    return made


def _failure(plugin: PluginInfo, error: BaseException) -> str:
    """Log what a plugin raised; return the line for the user."""
    _log.failure(
        "Plugin {plugin} raised in skitai_mount",
        Failure(error),  # type: ignore[no-untyped-call]
        plugin=plugin.label,
        level=LogLevel.error,
    )
    return f"plugin {plugin.label} failed: {_one_line(f'{type(error).__name__}: {error}')}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
