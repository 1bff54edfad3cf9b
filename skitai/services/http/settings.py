"""The ``[http]`` section: how the client connects, and what it makes of the section's values."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from skitai.config import (
    Key,
    comma_list,
    integer,
    one_of,
    optional,
    path,
    positive,
    seconds,
    show_secret,
    show_size,
    size,
    text,
    yes_no,
)
from skitai.config.keys import cast_value
from skitai.errors import ConfigError
from skitai.net.client_tls import TLSContexts, TLSProfile
from skitai.net.dns import Resolver
from skitai.net.pem import TLSConfigError
from skitai.net.tunnel import DirectHosts, Proxy, make_route, parse_proxy
from skitai.services.http.pool import ConnectionPool, Limits

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

SECTION = "http"

_MB = 1 << 20
_CONNECTIONS_MAX = 8192
_PASSWORD = re.compile(r"//.*@")

#: How to speak TLS: for plain URLs in ``[http]``, and for a cluster in its own section.
TLS_KEYS = {
    "verify": Key(yes_no, True, "refuse servers whose certificate is not trusted or not for their name"),
    "ca": Key(optional(path), None, "PEM file of the authorities to trust; empty: those of the system"),
    "certfile": Key(optional(path), None, "PEM file of the client certificate to show, with its chain"),
    "keyfile": Key(optional(path), None, "PEM file of its private key; empty: it is in certfile"),
    "passphrase": Key(optional(text), None, "what opens an encrypted private key", show_secret),
}

_CERTIFICATE_KEYS = ("certfile", "keyfile", "passphrase")


def _proxy(value: str) -> str:
    parse_proxy(value)
    return value


def _direct_hosts(value: str) -> tuple[str, ...]:
    items = comma_list(value)
    DirectHosts(items)
    return items


KEYS = {
    "connections": Key(
        integer(0), 0, "connections to all hosts together; 0: half of the files a process may open"
    ),
    "connections_per_host": Key(integer(1), 2048, "connections to one host; further requests wait in order"),
    "waiting_per_host": Key(
        integer(0), 4096, "requests that may wait for a connection to one host; the next fails at once"
    ),
    "idle_per_host": Key(integer(0), 2048, "connections to one host that are kept open without use"),
    "idle_timeout": Key(positive(seconds), 10.0, "after this long without use a connection is closed"),
    # Below the 5 seconds of getwait(), so that there is time left to ask another member of a cluster.
    "connect_timeout": Key(positive(seconds), 3.0, "for a connection, with DNS, proxy and TLS handshake"),
    "silence_timeout": Key(
        positive(seconds), 60.0, "a request fails when for so long nothing came and nothing was taken"
    ),
    "response_max": Key(
        positive(size), 64 * _MB, "the largest body of a reply, counted when unpacked", show_size
    ),
    **TLS_KEYS,
    "resolver": Key(
        one_of("async", "system"),
        "async",
        "async: the hosts file, DNS, then the system's resolver; system: only the latter, in few threads",
    ),
    "proxy": Key(
        optional(_proxy),
        None,
        "http://user:password@host:port of the proxy to ask through; empty: none",
        lambda value: _PASSWORD.sub("//****@", value or ""),
    ),
    "no_proxy": Key(
        _direct_hosts,
        ("localhost", "127.0.0.0/8", "::1"),
        "hosts, .domains, addresses and networks that are asked without the proxy; *: all",
    ),
}


def make_pool(instance: IInstance) -> ConnectionPool:
    """Return the pool that the section describes; raise ConfigError for a file that cannot be used."""
    values = instance.section(SECTION)
    default = TLSProfile(**{name: values[name] for name in TLS_KEYS})
    contexts = TLSContexts(default, instance.config.path.parent)
    # What the system trusts takes milliseconds to load, which an instance without TLS can do without.
    if default.ca or default.certfile or default.keyfile:
        try:
            contexts.load(default)
        except TLSConfigError as error:
            raise ConfigError(str(error), section=SECTION, key=error.key) from error
    return ConnectionPool(
        instance.reactor,
        _limits(values),
        tls=contexts,
        resolver=Resolver(instance.reactor, dns=values["resolver"] == "async"),
        route=make_route(_proxy_of(values), DirectHosts(values["no_proxy"])),
    )


def cluster_profile(options: Mapping[str, str], contexts: TLSContexts) -> TLSProfile | None:
    """Return the profile of a cluster whose section has ``options``, None where it says nothing of TLS.

    What it does not say, ``[http]`` does; a certificate, its key and its passphrase belong together.
    Raises TLSConfigError for what makes no sense and for a file that cannot be used.
    """
    given = {name: _cast(name, options[name], contexts.folder) for name in TLS_KEYS if name in options}
    if not given:
        return None
    inherited = attrs.asdict(contexts.default)
    if not given.keys().isdisjoint(_CERTIFICATE_KEYS):
        inherited = {name: value for name, value in inherited.items() if name not in _CERTIFICATE_KEYS}
    profile = TLSProfile(**{**inherited, **given})
    contexts.load(profile)
    return profile


def unverified(values: Mapping[str, Any], clusters: Iterable[Any]) -> list[str]:
    """Return the names of the sections that say ``verify = no``."""
    careless = [cluster for cluster in clusters if cluster.options.get("verify", "").lower() == "no"]
    sections = [] if values["verify"] else [f"[{SECTION}]"]
    return sections + [f"[@{cluster.name}]" for cluster in careless]


def _cast(name: str, value: str, folder: Path) -> Any:
    try:
        return cast_value(TLS_KEYS[name], value, folder)
    except ValueError as error:
        raise TLSConfigError(name, str(error)) from error


def _limits(values: Mapping[str, Any]) -> Limits:
    return Limits(
        idle=values["idle_per_host"],
        connections=values["connections_per_host"],
        waiting=values["waiting_per_host"],
        total=values["connections"] or _affordable_connections(),
        idle_seconds=values["idle_timeout"],
        silence_seconds=values["silence_timeout"],
        connect_seconds=values["connect_timeout"],
        response_max=values["response_max"],
    )


def _affordable_connections() -> int:
    """Return how many connections leave enough files for clients, logs and what apps open."""
    # The hard limit, because a server that starts raises the other one to it.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _CONNECTIONS_MAX if limit == resource.RLIM_INFINITY else min(limit // 2, _CONNECTIONS_MAX)


def _proxy_of(values: Mapping[str, Any]) -> Proxy | None:
    return parse_proxy(values["proxy"]) if values["proxy"] else None
