"""The ``[server]`` section, and the command-line options that override it."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field

from skitai.config.casters import (
    Caster,
    integer,
    networks,
    one_of,
    optional,
    path,
    positive,
    quoted,
    seconds,
    show_networks,
    show_secret,
    show_size,
    show_value,
    size,
    text,
    yes_no,
)
from skitai.config.foreign import HINTS
from skitai.config.keys import Key, cast_value, nearest, typed_values
from skitai.config.listening import check_redirect, endpoints, listen_list, settle_listening, with_redirect
from skitai.config.machine import usable_cores
from skitai.config.places import log_folder
from skitai.config.reader import Entry, Section
from skitai.errors import ConfigError
from skitai.net.endpoints import Endpoint, UnixEndpoint

#: Other spellings of keys: the README and the original's sample.conf differ.
_ALIASES = {"pass_phrase": "passphrase"}
#: The logs of a server that has a folder for them.
_LOG_FILES = {"access_log": "request.log", "app_log": "app.log"}
_AT_LEAST_ONE = integer(1)
#: The supervisor has places for twice as many: a worker and the one that replaces it both need one.
_PROCESSES_MAX = 128
_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30


def _instance_name(value: str) -> str:
    if not value or "/" in value or value in {".", ".."}:
        raise ValueError(f"{quoted(value)} cannot name a folder for logs: use letters, digits, - and _")
    return value


def _ip(value: str) -> str:
    if not value:
        return ""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        message = f"{quoted(value)} is not an IP address such as 127.0.0.1; empty means all interfaces"
        raise ValueError(message) from None


def _access_log(value: str) -> Path | str | None:
    if value.lower() == "off":
        return None
    return "-" if value == "-" else path(value)


def _show_access_log(value: Path | str | None) -> str:
    return "off" if value is None else str(value)


def _app_log(value: str) -> Path | str:
    if value.lower() == "off":
        raise ValueError("cannot be off: give a path, or - for standard error")
    return "-" if value == "-" else path(value)


def _warning(value: str) -> float:
    """Cast a time after which something is logged; 0 for ``off``."""
    return 0.0 if value.lower() == "off" else seconds(value)


def _show_warning(value: float) -> str:
    return show_value(value) if value else "off"


def _processes(value: str) -> int:
    if value.lower() == "auto":
        return min(usable_cores(), _PROCESSES_MAX)
    try:
        count = int(_AT_LEAST_ONE(value))
    except ValueError as error:
        raise ValueError(f"{error}; auto takes one for each core") from None
    if count > _PROCESSES_MAX:
        raise ValueError(f"must be at most {_PROCESSES_MAX}, not {quoted(value)}: run several servers")
    return count


def _limit(cast: Caster) -> Caster:
    """Return a caster like ``cast`` that takes ``off``, too: 0."""
    return lambda value: 0 if value.lower() == "off" else cast(value)


def _show_limit(show: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: show(value) if value else "off"


#: Words that may follow the time of ``hsts`` (RFC 6797, section 6.1, and the list of browsers).
_HSTS_WORDS = {"includesubdomains": "includeSubDomains", "preload": "preload"}
_MAX_AGE = "max-age="


def _hsts(value: str) -> str | None:
    """Cast a time with words behind it, such as ``365 d; includeSubDomains``, to the value of the field."""
    if not value or value.lower() == "off":
        return None
    time, *words = (part.strip() for part in value.split(";"))
    if unknown := [word for word in words if word.lower() not in _HSTS_WORDS]:
        raise ValueError(f"{quoted(unknown[0])} is not includeSubDomains or preload")
    known = (_HSTS_WORDS[word.lower()] for word in words)
    return "; ".join((f"{_MAX_AGE}{int(seconds(time))}", *known))


def _show_hsts(value: str | None) -> str:
    return "off" if value is None else value.removeprefix(_MAX_AGE)


def _count_or_off(value: str) -> float:
    """Cast a number that may not be exceeded; infinite for ``off``: here 0 is a number, too."""
    return inf if value.lower() == "off" else int(integer(0)(value))


def _show_count(value: float) -> str:
    return "off" if value == inf else str(value)


def _key(cast: Caster, help: str, show: Callable[[Any], str] = show_value) -> dict[str, Any]:  # noqa: A002
    """Return how the key of a field is read and shown. The default of the key is that of the field."""
    return {"cast": cast, "help": help, "show": show}


@attrs.frozen(kw_only=True)
class ServerConfig:
    """The typed values of ``[server]``: times in seconds, sizes in bytes, None if something is off."""

    name: str = field(default="skitai", metadata=_key(_instance_name, "name; default: the file's"))
    ip: str = field(default="", metadata=_key(_ip, "address to listen on; empty: all interfaces"))
    port: int | None = field(
        default=5000, metadata=_key(optional(integer(0, 65535)), "TCP port; 0: any free one; empty: none")
    )
    unix_socket: Path | None = field(
        default=None, metadata=_key(optional(path), "Unix socket, open to all users")
    )
    listen: tuple[Endpoint, ...] = field(
        default=(),
        metadata=_key(listen_list, "replaces ip, port, unix_socket, ssl: 80, 127.0.0.1:443 ssl, unix:PATH"),
    )
    processes: int = field(
        default=1, metadata=_key(_processes, "worker processes; auto: as many as there are cores")
    )
    preload: bool = field(
        default=True,
        metadata=_key(yes_no, "load apps once and fork then; no: in each worker"),
    )
    worker_timeout: float = field(
        default=30.0,
        metadata=_key(_warning, "a worker that hangs for longer is killed; off: never", _show_warning),
    )
    max_requests: int = field(
        default=0,
        metadata=_key(
            _limit(integer(0)), "requests after which a worker is replaced; off: never", _show_limit(str)
        ),
    )
    max_memory: int = field(
        default=0,
        metadata=_key(
            _limit(size), "memory with which a worker is replaced; off: never", _show_limit(show_size)
        ),
    )
    shutdown_timeout: float | None = field(
        default=None,
        metadata=_key(optional(seconds), "what a stop gives to requests; default: response_timeout"),
    )
    user: str | None = field(
        default=None, metadata=_key(optional(text), "user to become when all is opened; for root")
    )
    group: str | None = field(
        default=None, metadata=_key(optional(text), "group to become; default: that of the user")
    )
    threads: int = field(
        default=4, metadata=_key(integer(0, 10_000), "threads for apps; 0: greenlets instead")
    )
    cooperative: bool = field(
        default=False,
        metadata=_key(yes_no, "greenlets wait for anything, not only for was; needs skitai[gevent]"),
    )
    ssl: bool = field(default=False, metadata=_key(yes_no, "serve HTTPS"))
    certfile: Path | None = field(default=None, metadata=_key(optional(path), "PEM file of the certificate"))
    keyfile: Path | None = field(default=None, metadata=_key(optional(path), "PEM file of the key"))
    passphrase: str | None = field(
        default=None, repr=False, metadata=_key(optional(text), "passphrase of the key", show_secret)
    )
    client_ca: Path | None = field(
        default=None,
        metadata=_key(optional(path), "PEM file of the authorities of clients, for client_cert of a mount"),
    )
    hsts: str | None = field(
        default=None,
        metadata=_key(_hsts, "how long browsers insist on HTTPS: 365 d; includeSubDomains; off", _show_hsts),
    )
    redirect_http: int | None = field(
        default=None, metadata=_key(optional(integer(1, 65535)), "port without TLS that leads to HTTPS")
    )
    acme_webroot: Path | None = field(
        default=None,
        metadata=_key(optional(path), "folder of /.well-known/acme-challenge/ on that port, as for certbot"),
    )
    http2: bool = field(default=True, metadata=_key(yes_no, "offer HTTP/2 where there is TLS"))
    h2c: bool = field(
        default=False, metadata=_key(yes_no, "take HTTP/2 where there is no TLS, from clients that begin it")
    )
    http2_streams: int = field(
        default=100, metadata=_key(integer(1, 10_000), "requests under way on a connection of HTTP/2")
    )
    trusted_proxies: tuple[Any, ...] = field(
        default=(),
        metadata=_key(networks, "proxies that name the client: addresses, networks, unix", show_networks),
    )
    proxy_protocol: bool = field(
        default=False, metadata=_key(yes_no, "trusted proxies begin each connection with a PROXY header")
    )
    enable_proxy: bool = field(default=False, metadata=_key(yes_no, "act as a forward proxy"))
    static_max_age: float = field(default=300.0, metadata=_key(seconds, "how long clients keep static files"))
    num_result_cache_max: int = field(
        default=2000, metadata=_key(integer(0), "results kept by cache(); 0: none")
    )
    result_cache: str = field(
        default="memory", metadata=_key(text, "the cache that keeps them; plugins may bring others")
    )
    bus: str = field(
        default="local", metadata=_key(text, "what carries messages between rooms; plugins bring others")
    )
    coalesce: bool = field(
        default=False, metadata=_key(yes_no, "equal requests at the same time are sent once")
    )
    calls_max: int = field(
        default=4096, metadata=_key(integer(1), "calls to other machines under way at once")
    )
    calls_queue_max: int = field(
        default=16_384, metadata=_key(integer(0), "calls to other machines that may wait")
    )
    response_timeout: float = field(
        default=10.0, metadata=_key(positive(seconds), "idle time within a request or a response")
    )
    keep_alive: float = field(default=10.0, metadata=_key(seconds, "idle time between requests"))
    header_timeout: float = field(
        default=10.0, metadata=_key(positive(seconds), "time for the whole head of a request")
    )
    body_max: int = field(default=5 * _MB, metadata=_key(size, "largest request body", show_size))
    multipart_max: int = field(default=100 * _MB, metadata=_key(size, "largest multipart body", show_size))
    header_max: int = field(default=32 * _KB, metadata=_key(positive(size), "largest head", show_size))
    uri_max: int = field(default=8 * _KB, metadata=_key(positive(size), "longest request target", show_size))
    access_log: Path | Literal["-"] | None = field(
        default="-", metadata=_key(_access_log, "a path, - for standard output, or off", _show_access_log)
    )
    access_format: str = field(
        default="skitai",
        metadata=_key(one_of("skitai", "combined", "json"), "its lines: skitai, combined or json"),
    )
    access_id: bool = field(
        default=False, metadata=_key(yes_no, "lines of the access log end with the id of the request")
    )
    request_id_header: bool = field(
        default=False, metadata=_key(yes_no, "responses of apps have the id of the request: X-Request-ID")
    )
    app_log: Path | Literal["-"] = field(
        default="-", metadata=_key(_app_log, "a path, or - for standard error")
    )
    reloader: bool = field(default=False, metadata=_key(yes_no, "reload apps when their files change"))
    connections_max: int = field(
        default=20000, metadata=_key(integer(1), "open connections; those above it are refused")
    )
    response_buffer_max: int = field(
        default=_GB,
        metadata=_key(positive(size), "how much of a response may wait for its client", show_size),
    )
    buffers_max: int = field(
        default=8 * _GB,
        metadata=_key(
            positive(size), "how much of all bodies and responses may wait, in memory and on disk", show_size
        ),
    )

    queue_max: float = field(
        default=10_000,
        metadata=_key(_count_or_off, "requests of a mount that may wait for a thread; off: any", _show_count),
    )
    queue_timeout: float = field(
        default=1.0,
        metadata=_key(
            _limit(seconds),
            "a request that waits longer for a thread gets 503; off: never",
            _show_limit(show_value),
        ),
    )
    blocked_warning: float = field(
        default=0.1,
        metadata=_key(_warning, "code that holds the reactor longer is logged; off: never", _show_warning),
    )
    slow_request: float = field(
        default=10.0,
        metadata=_key(
            _warning, "a request that runs longer in a thread is logged; off: never", _show_warning
        ),
    )

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where to listen."""
        return with_redirect(self.served_endpoints, self.redirect_http)

    @property
    def served_endpoints(self) -> tuple[Endpoint, ...]:
        """Where to listen for what is served, without the port that only leads to HTTPS."""
        return self.listen or endpoints(self.ip, self.port, self.unix_socket, self.ssl)

    @property
    def stop_seconds(self) -> float:
        """What requests under way get when the server stops."""
        return self.response_timeout if self.shutdown_timeout is None else self.shutdown_timeout

    @property
    def any_tls(self) -> bool:
        """Whether some of the connections are TLS."""
        return any(endpoint.tls for endpoint in self.endpoints)


#: The keys of ``[server]`` by name, in the order they are shown.
SERVER_KEYS: Mapping[str, Key] = {
    declared.name: Key(default=declared.default, **declared.metadata)
    for declared in attrs.fields(ServerConfig)
}


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

    ``overrides`` are the texts of the command line by key.
    """

    section: Section = attrs.field(converter=_without_aliases)
    overrides: Mapping[str, str] = attrs.field(factory=dict)

    def text(self, key: str) -> str:
        """Return what the user wrote for ``key``, which must be given somewhere."""
        return self.overrides.get(key) or self.section.entries[key].value

    def error(self, message: str, *, key: str) -> ConfigError:
        """Return the error that points at the option, or else at the line of ``key``."""
        if key in self.overrides:
            return ConfigError(message, path=f"--{key.replace('_', '-')}")
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
        _require_writable_logs(source, values, ("app_log",), made)
        return ServerConfig(**values), ()
    if ServerConfig(**values).any_tls:
        _require_certificate(source, values, certificates)
    elif values["client_ca"] is not None:
        raise source.error("needs an address with ssl: clients show certificates there", key="client_ca")
    _require_writable_logs(source, values, ("access_log", "app_log"), made)
    if values["proxy_protocol"] and not values["trusted_proxies"]:
        raise source.error("needs trusted_proxies: only they may name the client", key="proxy_protocol")
    server = ServerConfig(**values)
    check_redirect(server.served_endpoints, server.redirect_http, source.error)
    _require_webroot(source, server)
    _require_socket_folders(source, server)
    return server, tuple(_warnings(source, values))


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
        if values[key] is None:
            continue
        fallback = certificates / source.text(key)
        found = next(filter(os.path.isfile, (values[key], fallback)), None)
        if found is None:
            places = " or ".join(dict.fromkeys((str(values[key]), str(fallback))))
            raise source.error(f"there is no file {places}: name the one to use", key=key)
        values[key] = found


def _require_webroot(source: ServerSource, server: ServerConfig) -> None:
    if server.acme_webroot is None:
        return
    if server.redirect_http is None:
        raise source.error("is for the port of redirect_http: set that, too", key="acme_webroot")
    if not server.acme_webroot.is_dir():
        raise source.error(f"there is no folder {server.acme_webroot}: create it", key="acme_webroot")


def _require_writable_logs(
    source: ServerSource, values: Mapping[str, Any], keys: Iterable[str], made: Path | None
) -> None:
    """Refuse logs that cannot be written, without creating them: this may be a mere check.

    The folder ``made`` need not be there yet.
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


def _warnings(source: ServerSource, values: Mapping[str, Any]) -> list[str]:
    warnings = []
    if values["enable_proxy"]:
        warnings.append(
            str(source.error("this version does not act as a forward proxy yet", key="enable_proxy"))
        )
    return warnings
