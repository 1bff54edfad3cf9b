"""Where the server listens: the key ``listen``, or else ``ip``, ``port``, ``unix_socket`` and ``ssl``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import attrs

from skitai.config.forms import form
from skitai.errors import ConfigError
from skitai.net.endpoints import Endpoint, PortEndpoint, UnixEndpoint, parse_endpoint

_TLS = "ssl"
#: The keys that ``listen`` replaces.
_OLDER_KEYS = ("ip", "port", "unix_socket", _TLS)

#: Returns the error that points at the line, or the option, of a key.
ErrorAt = Callable[..., ConfigError]


@form("list of addresses", "127.0.0.1:8080, [::]:443 ssl, unix:/run/site.sock")
def listen_list(value: str) -> tuple[Endpoint, ...]:
    """Cast a list of addresses, such as ``80, 443 ssl, unix:/run/x.sock``."""
    found = tuple(parse_endpoint(item.strip()) for item in value.split(",")) if value else ()
    for endpoint, count in Counter(attrs.evolve(each, tls=False) for each in found).items():
        if count > 1 and getattr(endpoint, "port", None) != 0:  # 0 is another free port each time
            raise ValueError(f"{endpoint} stands {count} times: keep one of them")
    return found


def settle_listening(
    values: dict[str, Any], written: Collection[str], options: Collection[str], folder: Path, error: ErrorAt
) -> None:
    """Make the typed ``values`` agree: afterwards either ``listen`` holds or the older keys do.

    ``written`` are the keys of the file, ``options`` those of the command line: what is said there takes the
    place of what the file says, be it in the one way or the other. Only ``ssl``, of the file or beside it,
    holds for a ``listen`` of the command line, too: nobody should lose TLS by another address. A server with
    a Unix socket has a port only if one is asked for. Relative paths of ``listen`` are put into ``folder``.
    Raises ConfigError for both ways at once, and for no address at all.
    """
    listen = tuple(_placed(endpoint, folder) for endpoint in values["listen"])
    asked = {key for key in _OLDER_KEYS if key in {*written, *options} and _says_something(values[key])}
    if listen:
        is_option = "listen" in options
        for key in _OLDER_KEYS:
            if key in asked and (key in options) is is_option and not (is_option and key == _TLS):
                other = "--bind" if is_option else "listen"
                raise error(f"cannot stand beside {other}, which says it all: keep one of the two", key=key)
        if is_option:
            if values[_TLS]:
                listen = tuple(attrs.evolve(endpoint, tls=True) for endpoint in listen)
            values.update(ip="", unix_socket=None, ssl=False)
        elif asked:
            listen = ()
    values["listen"] = listen
    if listen or (values["unix_socket"] is not None and not asked & {"ip", "port"}):
        values["port"] = None
    if not listen and values["port"] is None and values["unix_socket"] is None:
        raise error("there is no address to listen on: give a port, a unix_socket or listen", key="port")


def _says_something(value: object) -> bool:
    return value not in (None, "") and value is not False


def endpoints(ip: str, port: int | None, unix_socket: Path | None, tls: bool) -> tuple[Endpoint, ...]:
    """Return the endpoints that the older keys describe."""
    found: list[Endpoint] = []
    if port is not None:
        found.append(PortEndpoint(ip, port, tls))
    if unix_socket is not None:
        found.append(UnixEndpoint(unix_socket, tls))
    return tuple(found)


def with_redirect(served: tuple[Endpoint, ...], port: int | None) -> tuple[Endpoint, ...]:
    """Return ``served`` with the endpoint that only leads to HTTPS, at the address of the first with TLS."""
    secure = [endpoint for endpoint in served if isinstance(endpoint, PortEndpoint) and endpoint.tls]
    return (*served, PortEndpoint(secure[0].ip, port)) if port is not None and secure else served


def check_redirect(served: tuple[Endpoint, ...], port: int | None, error: ErrorAt) -> None:
    """Raise ConfigError if ``redirect_http`` is a port that nothing can lead from."""
    if port is None:
        return
    ports = [endpoint for endpoint in served if isinstance(endpoint, PortEndpoint)]
    if not any(endpoint.tls for endpoint in ports):
        raise error("needs a port with ssl to lead to", key="redirect_http")
    if port in [endpoint.port for endpoint in ports]:
        raise error(f"port {port} is one that serves: choose another", key="redirect_http")


def _placed(endpoint: Endpoint, folder: Path) -> Endpoint:
    if isinstance(endpoint, UnixEndpoint):
        return attrs.evolve(endpoint, path=folder / endpoint.path)
    return endpoint
