"""What plugins may give at start: the hooks that ask for it, and the checks of the values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.web.resource import IResource
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.verify import verifyObject

from skitai.config import SHARED_SECTIONS
from skitai.context import OWN_NAMES
from skitai.errors import PluginError
from skitai.interfaces import IBus, IResultCache, IService
from skitai.plugins.listing import PluginInfo


@attrs.frozen
class Kind:
    """One hook that returns a mapping.

    ``title`` is how people write a name of this kind: kinds with the same title share their names.
    ``check`` takes a name and its value, and raises TypeError or ValueError if they cannot be used.
    """

    hook: str
    title: str
    check: Callable[[str, Any], None]


def _check_service(name: str, value: Any) -> None:
    _check_was_name(name)
    _check_provides_service(name, value)


def _check_attribute(name: str, value: Any) -> None:
    _check_was_name(name)
    if not callable(value):
        raise TypeError(f"{value!r} is not a factory: it must be callable with the was object")


def _check_provides_service(_name: str, value: Any) -> None:
    _check_provides(IService, value)


def _check_result_cache(_name: str, value: Any) -> None:
    _check_provides(IResultCache, value)


def _check_bus(_name: str, value: Any) -> None:
    _check_provides(IBus, value)


def _check_provides(interface: type[Interface], value: Any) -> None:
    try:
        verifyObject(interface, value)
    except Invalid as error:
        summary, *details = (line.strip() for line in str(error).splitlines())
        raise TypeError(" ".join([summary, "; ".join(details)]).strip()) from error


def _check_mount(name: str, value: Any) -> None:
    if not name.startswith("/"):
        raise ValueError("a mount point starts with /")
    if not IResource.providedBy(value):
        raise TypeError(f"{value!r} does not provide twisted.web.resource.IResource")


def _check_config_section(name: str, value: Any) -> None:
    if name in SHARED_SECTIONS:
        raise ValueError("it is there without any plugin: choose another name")
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r} is not a mapping of keys")


def _check_was_name(name: str) -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(
            "an app cannot write this name: it must be a Python name without a leading underscore"
        )
    if name in OWN_NAMES:
        raise ValueError(f"was.{name} is there without any plugin: choose another name")


SERVICES = Kind("skitai_services", "was.{}", _check_service)
ATTRIBUTES = Kind("skitai_attributes", "was.{}", _check_attribute)
CLUSTER_TYPES = Kind("skitai_cluster_types", "cluster type {!r}", _check_provides_service)
MOUNTS = Kind("skitai_mounts", "mount point {}", _check_mount)
RESULT_CACHES = Kind("skitai_result_caches", "result cache {!r}", _check_result_cache)
BUSES = Kind("skitai_buses", "bus {!r}", _check_bus)
CONFIG_SECTIONS = Kind("skitai_config_sections", "config section [{}]", _check_config_section)


def checked(kind: Kind, plugin: str, given: object) -> Mapping[str, Any]:
    """Return what ``plugin`` gave for a hook; raise PluginError that names the first wrong value."""
    if not isinstance(given, Mapping):
        raise PluginError(plugin, f"{kind.hook} returned {type(given).__name__}, not a mapping")
    for name, value in given.items():
        if not isinstance(name, str):
            raise PluginError(plugin, f"{kind.hook} returned the name {name!r}, which is not a str")
        try:
            kind.check(name, value)
        except (TypeError, ValueError) as error:
            raise PluginError(plugin, f"{kind.hook} gave {kind.title.format(name)}: {error}") from error
    return given


class Claims:
    """Which plugin gives which name."""

    def __init__(self) -> None:
        self._owners: dict[str, tuple[PluginInfo, Kind, Any]] = {}

    def add(self, kind: Kind, name: str, value: Any, plugin: PluginInfo) -> None:
        """Note that ``plugin`` gives ``value`` as ``name``.

        Raises PluginError if another plugin has given that name, unless to the same object, which plugins may
        share.
        """
        title = kind.title.format(name)
        owner, its_kind, given = self._owners.setdefault(title, (plugin, kind, value))
        if (owner.name, its_kind) != (plugin.name, kind) and given is not value:
            raise PluginError(
                plugin.name,
                f"{title} is claimed twice: by {owner.label} in {its_kind.hook} and by {plugin.label} in"
                f" {kind.hook}; disable or uninstall one of them",
            )
