"""The values of the ``[server]`` section, with their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs import field

from skitai.config import serverwords as words
from skitai.config.casters import (
    comma_list,
    integer,
    networks,
    one_of,
    optional,
    path,
    positive,
    seconds,
    show_networks,
    show_secret,
    show_size,
    show_value,
    size,
    text,
    yes_no,
)
from skitai.config.forms import Caster
from skitai.config.forward import ProxyUsers, destinations, port_ranges, show_users, users
from skitai.config.keys import Key
from skitai.config.listening import endpoints, listen_list, with_redirect
from skitai.net.destinations import Destination, PortRange
from skitai.net.endpoints import PORT_MAX, Endpoint

_KB, _MB, _GB = 1 << 10, 1 << 20, 1 << 30


def _key(
    cast: Caster,
    help: str,  # noqa: A002
    show: Callable[[Any], str] = show_value,
    *,
    example: str = "",
    unset: str = "",
) -> dict[str, Any]:
    """Return how the key of a field is read and shown. The default of the key is that of the field."""
    return {"cast": cast, "help": help, "show": show, "example": example, "unset": unset}


@attrs.frozen(kw_only=True)
class ServerConfig:
    """The typed values of ``[server]``: times in seconds, sizes in bytes, None if something is off."""

    name: str = field(
        default="skitai",
        metadata=_key(words.instance_name, "what it is called, also in logs", unset="the file's"),
    )
    ip: str = field(
        default="",
        metadata=_key(words.ip, "address to listen on; empty: all of IPv4; :: is all of IPv6 and IPv4"),
    )
    port: int | None = field(
        default=5000,
        metadata=_key(
            optional(integer(0, PORT_MAX)), "TCP port; 0: any free one; empty: none", example="8080"
        ),
    )
    unix_socket: Path | None = field(
        default=None,
        metadata=_key(optional(path), "Unix socket, open to all users", example="/run/site/site.sock"),
    )
    listen: tuple[Endpoint, ...] = field(
        default=(),
        metadata=_key(listen_list, "replaces ip, port, unix_socket, ssl: 80, 127.0.0.1:443 ssl, unix:PATH"),
    )
    processes: int = field(
        default=1, metadata=_key(words.processes, "worker processes; auto: as many as there are cores")
    )
    preload: bool = field(
        default=True,
        metadata=_key(yes_no, "load apps once and fork then; no: in each worker", example="no"),
    )
    worker_timeout: float = field(
        default=30.0,
        metadata=_key(
            words.or_off(seconds),
            "a worker that hangs for longer is killed; off: never",
            words.show_or_off(show_value),
            example="2 min",
        ),
    )
    max_requests: int = field(
        default=0,
        metadata=_key(
            words.or_off(integer(0)),
            "requests after which a worker is replaced; off: never",
            words.show_or_off(str),
            example="10000",
        ),
    )
    max_memory: int = field(
        default=0,
        metadata=_key(
            words.or_off(size),
            "memory with which a worker is replaced; off: never",
            words.show_or_off(show_size),
            example="500 MB",
        ),
    )
    shutdown_timeout: float | None = field(
        default=None,
        metadata=_key(
            optional(seconds), "what a stop gives to requests", example="30 s", unset="response_timeout"
        ),
    )
    user: str | None = field(
        default=None,
        metadata=_key(optional(text), "user to become when all is opened; for root", example="www-data"),
    )
    group: str | None = field(
        default=None,
        metadata=_key(optional(text), "group to become; for root", example="www-data", unset="the user's"),
    )
    threads: int = field(
        default=4, metadata=_key(integer(0, 10_000), "threads for apps; 0: greenlets instead", example="16")
    )
    cooperative: bool = field(
        default=False,
        metadata=_key(yes_no, "greenlets wait for anything, not only for was; needs skitai[gevent]"),
    )
    ssl: bool = field(default=False, metadata=_key(yes_no, "serve HTTPS"))
    certfile: Path | None = field(
        default=None, metadata=_key(optional(path), "PEM file of the certificate", example="site.pem")
    )
    keyfile: Path | None = field(
        default=None, metadata=_key(optional(path), "PEM file of the key", example="site.key")
    )
    passphrase: str | None = field(
        default=None,
        repr=False,
        metadata=_key(optional(text), "passphrase of the key", show_secret, example="${SITE_PASSPHRASE}"),
    )
    client_ca: Path | None = field(
        default=None,
        metadata=_key(
            optional(path),
            "PEM file of the authorities of clients, for client_cert of a mount",
            example="clients.pem",
        ),
    )
    hsts: str | None = field(
        default=None,
        metadata=_key(
            words.hsts, "how long browsers insist on HTTPS: 365 d; includeSubDomains; off", words.show_hsts
        ),
    )
    redirect_http: int | None = field(
        default=None,
        metadata=_key(optional(integer(1, PORT_MAX)), "port without TLS that leads to HTTPS", example="80"),
    )
    acme_webroot: Path | None = field(
        default=None,
        metadata=_key(
            optional(path),
            "folder of /.well-known/acme-challenge/ on that port, as for certbot",
            example="/var/www/acme",
        ),
    )
    http2: bool = field(default=True, metadata=_key(yes_no, "offer HTTP/2 where there is TLS", example="no"))
    h2c: bool = field(
        default=False, metadata=_key(yes_no, "take HTTP/2 where there is no TLS, from clients that begin it")
    )
    http2_streams: int = field(
        default=100,
        metadata=_key(integer(1, 10_000), "requests under way on a connection of HTTP/2", example="250"),
    )
    trusted_proxies: tuple[Any, ...] = field(
        default=(),
        metadata=_key(networks, "proxies that name the client: addresses, networks, unix", show_networks),
    )
    proxy_protocol: bool = field(
        default=False, metadata=_key(yes_no, "trusted proxies begin each connection with a PROXY header")
    )
    enable_proxy: bool = field(
        default=False, metadata=_key(yes_no, "be a forward proxy, too, for the clients named below")
    )
    proxy_clients: tuple[Any, ...] = field(
        default=(),
        metadata=_key(
            networks,
            "whom the forward proxy serves: addresses, networks, unix; none: this machine",
            show_networks,
        ),
    )
    proxy_destinations: tuple[Destination, ...] = field(
        default=(),
        metadata=_key(
            destinations, "what it asks: *.example.org:443, 10.1.0.0/16, *; empty: all that is public"
        ),
    )
    proxy_users: ProxyUsers | None = field(
        default=None,
        repr=False,
        metadata=_key(users, "who must log in: name:password, or a htpasswd file; empty: nobody", show_users),
    )
    proxy_ports: tuple[PortRange, ...] = field(
        default=(PortRange(80, 80), PortRange(1024, PORT_MAX)),
        metadata=_key(port_ranges, "ports of http:// requests, where the destination names none"),
    )
    proxy_connect_ports: tuple[PortRange, ...] = field(
        default=(PortRange(443, 443),),
        metadata=_key(port_ranges, "ports of CONNECT, where the destination names none"),
    )
    proxy_forwarded: bool = field(
        default=False, metadata=_key(yes_no, "tell destinations the client: X-Forwarded-For, Forwarded")
    )
    proxy_tunnels_max: int = field(
        default=1000, metadata=_key(integer(1), "tunnels of CONNECT at once; the next gets 503")
    )
    proxy_tunnels_per_client: int = field(
        default=200, metadata=_key(integer(1), "tunnels at once for one address")
    )
    proxy_idle_timeout: float = field(
        default=120.0, metadata=_key(positive(seconds), "a tunnel through which nothing goes is closed")
    )
    static_max_age: float = field(
        default=300.0, metadata=_key(seconds, "how long clients keep static files", example="1 h")
    )
    num_result_cache_max: int = field(
        default=2000, metadata=_key(integer(0), "results kept by cache(); 0: none", example="10000")
    )
    result_cache: str = field(
        default="memory",
        metadata=_key(text, "the cache that keeps them; plugins may bring others", example="redis"),
    )
    bus: str = field(
        default="local",
        metadata=_key(text, "what carries messages between rooms; plugins bring others", example="redis"),
    )
    coalesce: bool = field(
        default=False, metadata=_key(yes_no, "equal requests at the same time are sent once")
    )
    calls_max: int = field(
        default=4096, metadata=_key(integer(1), "calls to other machines under way at once", example="10000")
    )
    calls_queue_max: int = field(
        default=16_384, metadata=_key(integer(0), "calls to other machines that may wait", example="1000")
    )
    response_timeout: float = field(
        default=10.0,
        metadata=_key(positive(seconds), "idle time within a request or a response", example="1 min"),
    )
    keep_alive: float = field(
        default=10.0, metadata=_key(seconds, "idle time between requests", example="75 s")
    )
    header_timeout: float = field(
        default=10.0, metadata=_key(positive(seconds), "time for the whole head of a request", example="5 s")
    )
    body_max: int = field(default=5 * _MB, metadata=_key(size, "largest request body", show_size))
    multipart_max: int = field(
        default=100 * _MB, metadata=_key(size, "largest multipart body", show_size, example="1 GB")
    )
    header_max: int = field(
        default=32 * _KB, metadata=_key(positive(size), "largest head", show_size, example="64 KB")
    )
    uri_max: int = field(
        default=8 * _KB, metadata=_key(positive(size), "longest request target", show_size, example="16 KB")
    )
    access_log: Path | Literal["-"] | None = field(
        default="-",
        metadata=_key(words.access_log, "a path, - for standard output, or off", words.show_access_log),
    )
    access_format: str = field(
        default="skitai",
        metadata=_key(
            one_of("skitai", "combined", "json"), "its lines: skitai, combined or json", example="combined"
        ),
    )
    access_id: bool = field(
        default=False, metadata=_key(yes_no, "lines of the access log end with the id of the request")
    )
    request_id_header: bool = field(
        default=False, metadata=_key(yes_no, "responses of apps have the id of the request: X-Request-ID")
    )
    app_log: Path | Literal["-"] = field(
        default="-", metadata=_key(words.app_log, "a path, or - for standard error")
    )
    reloader: bool = field(default=False, metadata=_key(yes_no, "reload apps when their files change"))
    reload_include: tuple[str, ...] = field(
        default=(),
        metadata=_key(
            comma_list,
            "files below the folders of apps that reload them as modules do",
            ", ".join,
            example="*.html, *.toml",
        ),
    )
    connections_max: int = field(
        default=20000,
        metadata=_key(integer(1), "open connections; those above it are refused", example="5000"),
    )
    response_buffer_max: int = field(
        default=_GB,
        metadata=_key(
            positive(size), "how much of a response may wait for its client", show_size, example="100 MB"
        ),
    )
    buffers_max: int = field(
        default=8 * _GB,
        metadata=_key(
            positive(size),
            "how much of all bodies and responses may wait, in memory and on disk",
            show_size,
            example="2 GB",
        ),
    )

    queue_max: float = field(
        default=10_000,
        metadata=_key(
            words.count_or_off, "requests of a mount that may wait for a thread; off: any", words.show_count
        ),
    )
    queue_timeout: float = field(
        default=1.0,
        metadata=_key(
            words.or_off(seconds),
            "a request that waits longer for a thread gets 503; off: never",
            words.show_or_off(show_value),
            example="5 s",
        ),
    )
    blocked_warning: float = field(
        default=0.1,
        metadata=_key(
            words.or_off(seconds),
            "code that holds the reactor longer is logged; off: never",
            words.show_or_off(show_value),
            example="0.5 s",
        ),
    )
    slow_request: float = field(
        default=10.0,
        metadata=_key(
            words.or_off(seconds),
            "a request that runs longer in a thread is logged; off: never",
            words.show_or_off(show_value),
            example="3 s",
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
