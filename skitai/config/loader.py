"""From the file to frozen, typed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.casters import comma_list
from skitai.config.clusters import PREFIX, ClusterConfig, read_cluster
from skitai.config.keys import Key, nearest, typed_values
from skitai.config.mounts import ProxyMount
from skitai.config.reader import Section, read_sections
from skitai.config.routes import VirtualHost, read_hosts
from skitai.config.server import ServerConfig, read_server
from skitai.errors import ConfigError

#: Where certificates are looked up that are not beside the configuration.
CERTIFICATES = Path("/etc/skitaid/cert")

_SERVER, _ROUTES, _PLUGINS = _CORE_SECTIONS = ("server", "routes:line", "plugins")
_PLUGIN_KEYS = {"disable": Key(comma_list, (), "names of plugins that are not loaded")}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@attrs.frozen
class Config:
    """A whole configuration.

    ``path`` is the file as it was given, ``hosts`` the virtual hosts in the order of the file, ``clusters``
    go by name without the ``@``, ``sections`` are those left for plugins to ``claim``. ``warnings`` are
    sentences for the user, in the form of a ConfigError. ``lines`` are those of the keys of ``[server]``.
    """

    path: Path
    server: ServerConfig = attrs.field(factory=ServerConfig)
    hosts: tuple[VirtualHost, ...] = ()
    clusters: Mapping[str, ClusterConfig] = _NOTHING
    disabled_plugins: frozenset[str] = frozenset()
    sections: Mapping[str, Section] = _NOTHING
    warnings: tuple[str, ...] = ()
    lines: Mapping[str, int] = _NOTHING

    def claim(self, declared: Mapping[str, Mapping[str, Key]]) -> Mapping[str, Mapping[str, Any]]:
        """Return the typed values of every declared section, defaults filled in, even where it is missing.

        ``declared`` are the keys of each section that plugins declared. Raises ConfigError for a section of
        the file that nobody declared, for an unknown key and for a wrong value.
        """
        known = (*_CORE_SECTIONS, *(PREFIX + name for name in self.clusters), *declared)
        for name, section in self.sections.items():
            if name not in declared:
                raise section.error(f"unknown section: {nearest(name, known)}")
        return {
            name: MappingProxyType(typed_values(self.sections.get(name) or self._missing(name), keys))
            for name, keys in declared.items()
        }

    def error(self, key: str, message: str) -> ConfigError:
        """Return the error that points at ``key`` of ``[server]``, where the file has it."""
        line = self.lines.get(key)
        return ConfigError(message, path=str(self.path), line=line, section=_SERVER, key=key)

    def _missing(self, name: str) -> Section:
        return Section(str(self.path), name, line=0)


def load(
    path: str | Path, overrides: Mapping[str, str] = _NOTHING, *, certificates: Path = CERTIFICATES
) -> Config:
    """Return the configuration that a file describes.

    ``overrides`` are values from the command line for keys of ``[server]``, such as ``{"port": "8080"}``.
    ``certificates`` is the folder where certificate files are looked up that are not beside the file.
    Raises ConfigError for whatever is wrong with the file, the options or what they name.
    """
    path = Path(path)
    sections = read_sections(path)
    core = {name: sections.pop(name, Section(str(path), name, line=0)) for name in _CORE_SECTIONS}
    clusters = {
        name.removeprefix(PREFIX): read_cluster(sections.pop(name))
        for name in [name for name in sections if name.startswith(PREFIX)]
    }
    server, warnings = read_server(core[_SERVER], overrides, certificates)
    hosts = read_hosts(core[_ROUTES], clusters)
    return Config(
        path=path,
        server=server,
        hosts=hosts,
        clusters=MappingProxyType(clusters),
        disabled_plugins=frozenset(typed_values(core[_PLUGINS], _PLUGIN_KEYS)["disable"]),
        sections=MappingProxyType(sections),
        lines={key: entry.line for key, entry in core[_SERVER].entries.items()},
        warnings=(*warnings, *_proxy_warnings(core[_ROUTES], hosts)),
    )


def _proxy_warnings(routes: Section, hosts: tuple[VirtualHost, ...]) -> Iterator[str]:
    proxies = {mount.line: mount for host in hosts for mount in host.mounts if isinstance(mount, ProxyMount)}
    for line, mount in sorted(proxies.items()):
        message = f"this version does not serve {mount.target} yet: it answers 503"
        yield str(routes.error(message, key=mount.point or "/", line=line))
