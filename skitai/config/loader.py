"""Loads the file into frozen, typed values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.casters import comma_list
from skitai.config.certificates import CERTIFICATES_SECTION, NO_TLS, CertificateConfig, read_certificates
from skitai.config.clusters import PREFIX, ClusterConfig, read_cluster
from skitai.config.given import Given, GivenSection
from skitai.config.http import HTTP_KEYS
from skitai.config.keys import Key, typed_values
from skitai.config.mail import MAIL_KEYS
from skitai.config.places import GLOBAL_KEYS, log_folder
from skitai.config.reader import Section, read_sections
from skitai.config.routes import VirtualHost, read_hosts
from skitai.config.server import ServerConfig
from skitai.config.serverreading import ServerSource, read_server
from skitai.config.websocket import WEBSOCKET_KEYS
from skitai.errors import ConfigError
from skitai.formats.spelling import nearest

#: The folder of certificates that are not beside the configuration.
CERTIFICATES = Path("/etc/skitaid/cert")

_SERVER, _ROUTES, _PLUGINS, _ = _CORE_SECTIONS = ("server", "routes:line", "plugins", CERTIFICATES_SECTION)
PLUGIN_KEYS = {"disable": Key(comma_list, (), "names of plugins that are not loaded", example="otel, redis")}
_NOTHING: Mapping[str, Any] = MappingProxyType({})

#: The sections that do not depend on any plugin.
SHARED_SECTIONS: Mapping[str, Mapping[str, Key]] = MappingProxyType(
    {"global": GLOBAL_KEYS, "http": HTTP_KEYS, "smtpda": MAIL_KEYS, "websocket": WEBSOCKET_KEYS}
)


@attrs.frozen
class Config:
    """A whole configuration.

    ``path`` is the file as it was given, ``hosts`` the virtual hosts in the order of the file, ``clusters``
    go by name without the ``@``, ``certificates`` are those for names of hosts, ``sections`` are those left
    for plugins to ``claim``. ``warnings`` are sentences for the user, in the form of a ConfigError.
    ``places`` are the values of ``[global]``, and ``log_folder`` is where logs are that nobody has named.
    ``is_given`` says that there is no file: ``path`` is the one that would say the same.
    """

    path: Path
    server: ServerConfig = attrs.field(factory=ServerConfig)
    hosts: tuple[VirtualHost, ...] = ()
    clusters: Mapping[str, ClusterConfig] = _NOTHING
    certificates: tuple[CertificateConfig, ...] = ()
    disabled_plugins: frozenset[str] = frozenset()
    sections: Mapping[str, Section] = _NOTHING
    warnings: tuple[str, ...] = ()
    places: Mapping[str, Any] = MappingProxyType({name: key.default for name, key in GLOBAL_KEYS.items()})
    log_folder: Path | None = None
    is_given: bool = False
    _origins: Mapping[str, Section | ServerSource] = attrs.field(default=_NOTHING, repr=False, eq=False)

    def claim(self, declared: Mapping[str, Mapping[str, Key]]) -> Mapping[str, Mapping[str, Any]]:
        """Return the typed values of every declared section, defaults filled in, even where it is missing.

        ``declared`` are the keys of each section that plugins declared; ``SHARED_SECTIONS`` are among the
        values in any case. Raises ConfigError for an unknown key and for a wrong value.
        """
        return {
            name: MappingProxyType(typed_values(self.sections.get(name) or self._missing(name), keys))
            for name, keys in {**declared, **SHARED_SECTIONS}.items()
        }

    def unclaimed(self, declared: Iterable[str]) -> list[ConfigError]:
        """Return an error for each unknown section; ``declared`` are those of plugins."""
        known = (*_CORE_SECTIONS, *(PREFIX + name for name in self.clusters), *SHARED_SECTIONS, *declared)
        return [
            section.error(f"unknown section: {self._meant_cluster(section) or nearest(name, known)}")
            for name, section in self.sections.items()
            if name not in known
        ]

    def _meant_cluster(self, section: Section) -> str:
        """Return the hint for a section that is a cluster but for its name; an empty text for all others."""
        name = PREFIX + section.name
        if section.name in self.clusters:
            return ""
        targets = {mount.target for host in self.hosts for mount in host.mounts}
        read = (each for each in self._origins.values() if isinstance(each, Section))
        values = (entry.value for each in read for entry in each.entries.values())
        is_named = name in targets or any(name in value.replace(",", " ").split() for value in values)
        return f"did you mean [{name}]?" if is_named or "members" in section.entries else ""

    def error(self, key: str, message: str, *, section: str = _SERVER) -> ConfigError:
        """Return the error that points at a key: at the option that gave it, or at its line in the file."""
        origin = self._origins.get(section) or self._missing(section)
        return origin.error(message, key=key)

    def located(self, error: ConfigError) -> ConfigError:
        """Return ``error`` as it is if it names a file, else with the file and, where known, the line."""
        if error.path is not None:
            return error
        if error.section is None or error.key is None:
            return ConfigError(error.message, path=str(self.path), section=error.section, key=error.key)
        return self.error(error.key, error.message, section=error.section)

    def _missing(self, name: str) -> Section:
        return _missing(self.path, name, is_given=self.is_given)


def _missing(path: Path, name: str, *, is_given: bool) -> Section:
    """Return a section that stands nowhere."""
    return (GivenSection if is_given else Section)(str(path), name, line=0)


def load(
    path: str | Path | Given,
    overrides: Mapping[str, str] = _NOTHING,
    *,
    spelt: Mapping[str, str] = _NOTHING,
    certificates: Path = CERTIFICATES,
    serving: bool = True,
    logs: Path | None = None,
    verbose: bool = False,
) -> Config:
    """Return the configuration that a file describes, or a command line without one.

    ``overrides`` are values from the command line for keys of ``[server]``, such as ``{"port": "8080"}``;
    ``spelt`` are the options that gave them, where these are not called as the keys.
    ``certificates`` is the folder where certificate files are looked up that are not beside the file. Without
    ``serving``, what only a server uses need not be there: certificates, folders of sockets, the access log.
    ``logs`` is the folder of logs that the file does not name; by default, it is that of the server below
    ``log_path`` of the file, and without that, they go to the standard streams. With ``verbose``, all do.
    Raises ConfigError for whatever is wrong with the file, the options or what they name, but for the targets
    of ``[routes:line]`` and the sections of plugins: these are for the plugins to judge.
    """
    given = path if isinstance(path, Given) else None
    path = path.path if isinstance(path, Given) else Path(path)
    found = read_sections(path) if given is None else {}
    sections = dict(found)
    missing = partial(_missing, path, is_given=given is not None)
    core = {name: sections.pop(name, missing(name)) for name in _CORE_SECTIONS}
    clusters = {
        name.removeprefix(PREFIX): read_cluster(sections.pop(name))
        for name in [name for name in sections if name.startswith(PREFIX)]
    }
    overrides = overrides if given is None else given.overrides(overrides)
    source = ServerSource(core[_SERVER], overrides, spelt)
    places = typed_values(found.get("global", missing("global")), GLOBAL_KEYS)

    log_path = places["log_path"] if serving else None  # a script may be another user's
    server, warnings = read_server(
        source, certificates, serving=serving, logs=logs, log_path=log_path, verbose=verbose
    )
    named = read_certificates(core[CERTIFICATES_SECTION], certificates, serving=serving)
    if serving:
        warnings = (*_warnings_without_tls(server, source, named), *warnings)
    return Config(
        path=path,
        server=server,
        hosts=read_hosts(core[_ROUTES]) if given is None else given.hosts(),
        clusters=MappingProxyType(clusters),
        certificates=named,
        disabled_plugins=frozenset(typed_values(core[_PLUGINS], PLUGIN_KEYS)["disable"]),
        sections=MappingProxyType(sections),
        warnings=warnings,
        places=MappingProxyType(places),
        log_folder=None if verbose else log_folder(logs, log_path, server.name),
        is_given=given is not None,
        origins={**found, _SERVER: source},
    )


def _warnings_without_tls(
    server: ServerConfig, source: ServerSource, named: Sequence[CertificateConfig]
) -> Iterator[str]:
    """Yield a warning where certificates are not used: who names one does not mean plain HTTP.

    ``ssl = no`` says that it is meant. ``named`` are those of ``[certificates:line]``.
    """
    if server.any_tls or "ssl" in source.section.entries or "ssl" in source.overrides:
        return
    if server.hsts is not None and not server.trusted_proxies:  # a proxy in front may have TLS
        yield str(source.error(NO_TLS, key="hsts"))
    if named:
        yield str(named[0].error(NO_TLS))
    if server.certfile is not None:
        yield str(source.error(NO_TLS, key="certfile"))
