"""The hooks of the forward proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from skitai.config.casters import show_networks
from skitai.config.forward import UserList
from skitai.errors import ConfigError
from skitai.net.settings import SECTION
from skitai.plugins import Metric, counter, gauge, hookimpl
from skitai.services.forward.gate import Gate
from skitai.services.forward.proxy import ForwardProxy
from skitai.services.forward.users import FileUsers, ListedUsers, Users
from skitai.services.http.settings import pool_limits

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_log = Logger()


@hookimpl
def skitai_forward_proxy(instance: IInstance) -> ForwardProxy:
    """Give the proxy; raise ConfigError for a file of users that cannot be read."""
    proxies = _proxies(instance)
    if not proxies:
        gate = Gate(instance.config.server, _users(instance), instance.connector, instance.reactor)
        proxies.append(ForwardProxy(instance, gate, pool_limits(instance.section(SECTION))))
    return proxies[0]


def _proxies(instance: IInstance) -> list[ForwardProxy]:
    """Return the proxy of an instance, if it has one."""
    proxies: list[ForwardProxy] = instance.state(ForwardProxy, list)
    return proxies


def _users(instance: IInstance) -> Users | None:
    known = instance.config.server.proxy_users
    if known is None:
        return None
    if isinstance(known, UserList):
        return ListedUsers(known.passwords)
    try:
        return FileUsers(known, instance.reactor)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{known} cannot be used: {reason}"
        raise ConfigError(message, section="server", key="proxy_users") from error


@hookimpl
def skitai_startup(instance: IInstance) -> None:
    """Say for whom the server is a proxy: nobody should learn that from strangers."""
    if _proxies(instance) and instance.is_first:
        server = instance.config.server
        _log.info(
            "forward proxy for {clients} to {destinations}, {users}",
            clients=show_networks(server.proxy_clients) if server.proxy_clients else "this machine",
            destinations=", ".join(map(str, server.proxy_destinations)) or "all that is public",
            users="without passwords" if server.proxy_users is None else "with passwords",
        )


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[Any]:
    """Close the connections to destinations."""
    return DeferredList([closed for proxy in _proxies(instance) for closed in proxy.close()])


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show what the proxy does."""
    for proxy in _proxies(instance):
        counts = proxy.counts
        return {
            "Forward proxy": {
                "requests": counts.requests,
                "under way": counts.under_way,
                "tunnels": counts.tunnels,
                "open tunnels": counts.open_tunnels,
                "sent through tunnels_bytes": counts.sent_bytes,
                "received through tunnels_bytes": counts.received_bytes,
                "refused": sum(counts.refused.values()),
                "broken off": counts.broken,
                **{str(code): counts.failed[code] for code in (502, 503, 504)},
            }
        }
    return {}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count what the proxy does."""
    for proxy in _proxies(instance):
        counts = proxy.counts
        ways = {"sent": counts.sent_bytes, "received": counts.received_bytes}
        failed = {str(code): count for code, count in counts.failed.items()}
        return [
            counter("skitai_forward_requests_total", "Requests that were forwarded.", counts.requests),
            gauge("skitai_forward_under_way", "Forwarded requests under way.", counts.under_way),
            counter("skitai_forward_tunnels_total", "Tunnels that were asked for.", counts.tunnels),
            gauge("skitai_forward_tunnels_open", "Tunnels that are open.", counts.open_tunnels),
            counter("skitai_forward_tunnel_bytes_total", "Bytes through tunnels that ended.", ways, "way"),
            counter("skitai_forward_refused_total", "Requests refused, by key.", dict(counts.refused), "key"),
            counter("skitai_forward_broken_total", "Replies that broke off.", counts.broken),
            counter("skitai_forward_failed_total", "Error pages of the proxy.", failed, "status"),
        ]
    return []
