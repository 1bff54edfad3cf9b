"""What answers at a mount point: each plugin is asked whether it knows the target of the line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from skitai.config.casters import quoted
from skitai.config.keys import Key
from skitai.config.mounts import Mount, written_target
from skitai.errors import ConfigError
from skitai.plugins.listing import PluginInfo

if TYPE_CHECKING:
    from skitai.interfaces import IInstance
    from skitai.plugins.manager import PluginManager

_log = Logger()


@attrs.frozen
class Answerer:
    """What a plugin returns from ``skitai_mount`` for a line that it serves.

    ``kind`` is the word for it that ``--check`` shows, such as ``"app"``; two of a kind cannot share a mount
    point. ``options`` are the keys that may follow the target. ``make`` takes their typed values and returns
    the ``IResource``; it raises ValueError where they do not go together. It is called once, in the reactor
    thread, and for ``--check``, too: it must neither open nor start anything. ``target`` is what ``--check``
    shows; empty: what the line says. ``warning`` is a sentence for the user.
    """

    kind: str
    make: Callable[[Mapping[str, Any]], Any]
    options: Mapping[str, Key] = attrs.field(factory=dict)
    target: str = ""
    warning: str = ""


@attrs.frozen
class Mounted:
    """A mount with what answers there.

    ``shown`` is the right side of its line as ``--check`` has it; ``warnings`` are sentences for the user.
    """

    mount: Mount
    kind: str
    resource: Any
    shown: str
    warnings: tuple[str, ...] = ()


def mount_resource(plugins: PluginManager, instance: IInstance, mount: Mount) -> Mounted:
    """Return the mount with the resource that a plugin makes for it.

    Raises ConfigError where no plugin takes the target or two do, and for wrong options. Reactor thread.
    """
    plugin, answerer = _answerer(plugins, instance, mount)
    values = mount.read_options(answerer.options)
    try:
        resource = answerer.make(values)
    except (ConfigError, ValueError) as error:
        raise error if isinstance(error, ConfigError) else mount.error(str(error)) from error
    except Exception as error:
        raise mount.error(_failure(plugin, error)) from error
    if not IResource.providedBy(resource):
        message = f"{resource!r} does not provide twisted.web.resource.IResource"
        raise mount.error(_failure(plugin, TypeError(message)))
    options = {name: answerer.options[name].show(value) for name, value in values.items()}
    written = written_target(answerer.target or mount.target, options)
    warnings = (str(mount.error(answerer.warning)),) if answerer.warning else ()
    return Mounted(mount, answerer.kind, resource, f"{written}  ; {answerer.kind}", warnings)


def _answerer(plugins: PluginManager, instance: IInstance, mount: Mount) -> tuple[PluginInfo, Answerer]:
    taken: list[tuple[PluginInfo, Answerer]] = []
    reasons: list[str] = []
    asked = plugins.callers("skitai_mount")
    for plugin, ask in asked:
        try:
            taken += [(plugin, _checked(found)) for found in ask(instance=instance, mount=mount)]
        except ConfigError:
            raise
        except ValueError as error:
            reasons.append(str(error))
        except Exception as error:  # noqa: BLE001 - another plugin may take the target
            reasons.append(_failure(plugin, error))
    if len(taken) > 1:
        labels = " and ".join(plugin.label for plugin, _ in taken)
        raise mount.error(f"plugins {labels} both take {quoted(mount.target)}: disable one of them")
    if taken:
        return taken[0]
    if not reasons:
        names = ", ".join(sorted(plugin.name for plugin, _ in asked)) or "none"
        reasons = [f"no plugin takes {quoted(mount.target)}; those that are asked: {names}"]
    if absent := plugins.not_loaded():
        reasons.append(f"it may be of a plugin that is not loaded: {', '.join(absent)}")
    raise mount.error("; ".join(reasons))


def _checked(found: object) -> Answerer:
    if not isinstance(found, Answerer):
        raise TypeError(f"skitai_mount returned {type(found).__name__}, not an Answerer")
    return found


def _failure(plugin: PluginInfo, error: Exception) -> str:
    """Log what a plugin raised; return the line for the user."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    _log.failure(
        "Plugin {plugin} raised in skitai_mount",
        Failure(error),  # type: ignore[no-untyped-call]
        plugin=plugin.label,
    )
    return f"plugin {plugin.label} failed: {reason}"
