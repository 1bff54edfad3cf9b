"""Reads the ``[server]`` section, and the command-line options that override it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from skitai.config.certificates import existing_file
from skitai.config.foreign import HINTS
from skitai.config.forward import check_forward, forward_warnings
from skitai.config.keys import cast_value, typed_values
from skitai.config.listening import check_redirect, settle_listening
from skitai.config.places import log_folder
from skitai.config.reader import Entry, Section
from skitai.config.server import SERVER_KEYS, ServerConfig
from skitai.errors import ConfigError
from skitai.formats.spelling import nearest
from skitai.net.endpoints import UnixEndpoint

#: Other spellings of keys: the README and the original's sample.conf differ.
_ALIASES = {"pass_phrase": "passphrase"}
#: The logs of a server that has a folder for them.
_LOG_FILES = {"access_log": "request.log", "app_log": "app.log"}


def _without_aliases(section: Section) -> Section:
    entries: dict[str, Entry] = {}
    for written, entry in section.entries.items():
        key = _ALIASES.get(written, written)
        if key in entries:
            raise section.error(f"{key} is at line {entries[key].line} already", key=written)
        entries[key] = entry
    return attrs.evolve(section, entries=entries)


@attrs.frozen
class ServerSource:
    """Where the values come from: the ``[server]`` section, and the command line, which wins.

    ``overrides`` are the texts of the command line by key, ``spelt`` the options for keys that are not called
    as these.
    """

    section: Section = attrs.field(converter=_without_aliases)
    overrides: Mapping[str, str] = attrs.field(factory=dict)
    spelt: Mapping[str, str] = attrs.field(factory=dict)

    def text(self, key: str) -> str:
        """Return what the user wrote for ``key``, which must be given somewhere."""
        return self.overrides.get(key) or self.section.entries[key].value

    def error(self, message: str, *, key: str) -> ConfigError:
        """Return the error that points at the option, or else at the line of ``key``."""
        if key in self.overrides:
            return ConfigError(message, path=self.spelt.get(key, f"--{key.replace('_', '-')}"))
        return self.section.error(message, key=key)


def read_server(
    source: ServerSource,
    certificates: Path,
    *,
    serving: bool = True,
    logs: Path | None = None,
    log_path: Path | None = None,
    verbose: bool = False,
) -> tuple[ServerConfig, tuple[str, ...]]:
    """Return the values of ``[server]`` with those of the command line on top, and warnings for the user.

    ``certificates`` is the folder where certificate files are looked up that are not beside the file. Without
    ``serving``, only what is used without a server is checked, and there are no warnings. ``logs`` is the
    folder of logs that are not named; by default, it is one below ``log_path``, which need not be there yet.
    With ``verbose``, all logs go to the standard streams. Raises ConfigError.
    """
    section = source.section
    values = typed_values(section, SERVER_KEYS, HINTS)
    for key, given in source.overrides.items():
        values[key] = _override(source, key, given)
    if "name" not in section.entries and "name" not in source.overrides:
        values["name"] = Path(section.path).stem
    folder = None if verbose else log_folder(logs, log_path, values["name"])
    made = folder if logs is None else None
    for key, name in _LOG_FILES.items():
        if folder is not None and key not in section.entries and key not in source.overrides:
            values[key] = folder / name
        elif verbose and isinstance(values[key], Path):
            values[key] = "-"
    if values["cooperative"] and not _asks_for_threads(source):
        values["threads"] = 0
    settle_listening(values, section.entries, source.overrides, section.folder, source.error)
    if not serving:
        _require_writable_logs(source, values, ("app_log",), made, logs)
        return ServerConfig(**values), ()
    if values["keyfile"] is not None and values["certfile"] is None:
        raise source.error("is the key of a certificate that is not there: set certfile, too", key="keyfile")
    if ServerConfig(**values).any_tls:
        _require_certificate(source, values, certificates)
    elif values["client_ca"] is not None:
        raise source.error("needs an address with ssl: clients show certificates there", key="client_ca")
    _require_writable_logs(source, values, ("access_log", "app_log"), made, logs)
    if values["proxy_protocol"] and not values["trusted_proxies"]:
        raise source.error("needs trusted_proxies: only they may name the client", key="proxy_protocol")
    server = ServerConfig(**values)
    check_redirect(server.served_endpoints, server.redirect_http, source.error)
    _require_webroot(source, server)
    _require_socket_folders(source, server)
    check_forward(server, source.error)
    written = (*section.entries, *source.overrides)
    return server, tuple(forward_warnings(server, written, source.error))


def _asks_for_threads(source: ServerSource) -> bool:
    """Return whether ``threads`` is set where it counts: ``--cooperative`` counts more than the file."""
    in_file = "threads" in source.section.entries and "cooperative" not in source.overrides
    return in_file or "threads" in source.overrides


def _override(source: ServerSource, key: str, given: str) -> Any:
    if key not in SERVER_KEYS:
        raise source.error(f"unknown option: {nearest(key, SERVER_KEYS)}", key=key)
    try:
        return cast_value(SERVER_KEYS[key], given, Path.cwd())
    except ValueError as error:
        raise source.error(str(error), key=key) from error


def _require_certificate(source: ServerSource, values: dict[str, Any], certificates: Path) -> None:
    if values["certfile"] is None:
        raise source.error("needs a certificate: set certfile", key="listen" if values["listen"] else "ssl")
    for key in ("certfile", "keyfile", "client_ca"):
        if values[key] is not None:
            fallback = certificates / source.text(key)
            values[key] = existing_file(values[key], fallback, partial(source.error, key=key))


def _require_webroot(source: ServerSource, server: ServerConfig) -> None:
    if server.acme_webroot is None:
        return
    if server.redirect_http is None:
        raise source.error("is for the port of redirect_http: set that, too", key="acme_webroot")
    if not server.acme_webroot.is_dir():
        raise source.error(f"there is no folder {server.acme_webroot}: create it", key="acme_webroot")


def _require_writable_logs(
    source: ServerSource, values: Mapping[str, Any], keys: Iterable[str], made: Path | None, logs: Path | None
) -> None:
    """Refuse logs that cannot be written, without creating them: this may be a mere check.

    The folder ``made`` need not be there yet. ``logs`` is that of the option ``--logs``.
    """
    for key in keys:
        log = values[key]
        if not isinstance(log, Path):
            continue
        if log.parent == made and not log.parent.exists():
            base = next(folder for folder in made.parents if folder.exists())
            if not (base.is_dir() and os.access(base, os.W_OK | os.X_OK)):
                message = f"cannot make the folder {made}: change the rights of {base}, or name another"
                raise ConfigError(message, path=source.section.path, section="global", key="log_path")
            continue
        if os.path.isdir(log):
            raise source.error(f"{log} is a folder: name a file in it", key=key)
        if log.parent == logs and not logs.is_dir():
            raise ConfigError(f"there is no folder {logs}: create it or name another", path="--logs")
        if not os.path.isdir(log.parent):
            raise source.error(f"there is no folder {log.parent}: create it or name another file", key=key)
        if not os.access(log if os.path.exists(log) else log.parent, os.W_OK):
            raise source.error(f"{log} cannot be written: change its rights or name another file", key=key)


def _require_socket_folders(source: ServerSource, server: ServerConfig) -> None:
    for endpoint in server.endpoints:
        if not isinstance(endpoint, UnixEndpoint):
            continue
        folder = endpoint.path.parent
        if not os.access(folder, os.W_OK | os.X_OK):
            key = "listen" if server.listen else "unix_socket"
            raise source.error(f"cannot make a socket in {folder}: name another folder", key=key)
