"""The keys of ``[http]`` and of TLS in clusters: how connections are made, and what the HTTP client may use.

The section does not depend on any plugin: connections belong to the instance, and several plugins share those
of the HTTP client.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from skitai.config.casters import (
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
from skitai.config.forms import form
from skitai.config.keys import Key
from skitai.net.addresses import CONNECT_SECONDS, NodeTimes
from skitai.net.proxies import DirectHosts, parse_proxy

_MB = 1 << 20
_PASSWORD = re.compile(r"//.*@")


@form("URL", "http://user:password@10.0.0.9:3128")
def _proxy(value: str) -> str:
    parse_proxy(value)
    return value


@form("list of hosts", "localhost, .example.org, 10.0.0.0/8")
def _direct_hosts(value: str) -> tuple[str, ...]:
    items = comma_list(value)
    DirectHosts(items)
    return items


#: How to speak TLS: in ``[http]`` with all servers, and in the section of a cluster with its members.
TLS_KEYS: Mapping[str, Key] = {
    "verify": Key(yes_no, True, "refuse servers whose certificate is not trusted or not for their name"),
    "ca": Key(
        optional(path),
        None,
        "PEM file of the authorities to trust; empty: those of the system",
        example="authorities.pem",
    ),
    "certfile": Key(
        optional(path),
        None,
        "PEM file of the client certificate to show, with its chain",
        example="client.pem",
    ),
    "keyfile": Key(
        optional(path), None, "PEM file of its private key; empty: it is in certfile", example="client.key"
    ),
    "passphrase": Key(
        optional(text), None, "what opens an encrypted private key", show_secret, example="${KEY_PASSPHRASE}"
    ),
}

#: What all connections are made with: see ``skitai.net.settings``.
CONNECTOR_KEYS: Mapping[str, Key] = {
    "connect_timeout": Key(
        positive(seconds), CONNECT_SECONDS, "for a connection, with DNS, proxy and TLS handshake"
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
        "hosts with all names in them, .domains, addresses and networks asked without the proxy; *: all",
    ),
}

#: What the HTTP client may use: see ``skitai.services.http.settings``.
CLIENT_KEYS: Mapping[str, Key] = {
    "connections": Key(
        integer(0),
        0,
        "connections to all hosts together; 0: half of the files a process may open",
        example="1000",
    ),
    "connections_per_host": Key(integer(1), 2048, "connections to one host; further requests wait in order"),
    "waiting_per_host": Key(
        integer(0), 4096, "requests that may wait for a connection to one host; the next fails at once"
    ),
    "idle_per_host": Key(integer(0), 2048, "connections to one host that are kept open without use"),
    "idle_timeout": Key(positive(seconds), 10.0, "after this long without use a connection is closed"),
    "silence_timeout": Key(
        positive(seconds), 60.0, "a request fails when for so long nothing came and nothing was taken"
    ),
    "head_timeout": Key(
        optional(positive(seconds)),
        None,
        "a request fails when for so long no head of a reply came; empty: silence_timeout",
    ),
    "response_max": Key(
        positive(size), 64 * _MB, "the largest body of a reply, counted when unpacked", show_size
    ),
}

HTTP_KEYS: Mapping[str, Key] = {**CLIENT_KEYS, **CONNECTOR_KEYS}


#: The times of a cluster, as those of ``[http]``.
TIME_KEYS = ("connect_timeout", "head_timeout", "silence_timeout")

#: The keys of a cluster of type http. What it does not say, ``[http]`` says.
HTTP_CLUSTER_KEYS: Mapping[str, Key] = {
    "ssl": Key(yes_no, False, "speak TLS with the members"),
    "health": Key(
        form("path `every` seconds", "/ping every 5")(text),
        None,
        "what each member is asked for, and how often; one that does not answer rests",
    ),
    **{
        name: attrs.evolve(HTTP_KEYS[name], default=None, unset="that of [http]")
        for name in (*TLS_KEYS, *TIME_KEYS)
    },
}


class ClusterKeyError(ValueError):
    """The value of ``key`` in the section of a cluster is wrong."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def cluster_times(options: Mapping[str, str]) -> NodeTimes | None:
    """Return the times of a cluster with these ``options``; None if none of them is about times.

    Raises ClusterKeyError for a wrong value.
    """
    times: dict[str, Any] = {}
    for name in TIME_KEYS:
        if name in options:
            try:
                times[name.removesuffix("_timeout")] = HTTP_KEYS[name].cast(options[name])
            except ValueError as error:
                raise ClusterKeyError(name, str(error)) from error
    return NodeTimes(**times) if times else None
