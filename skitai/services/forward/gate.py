"""Whom the forward proxy serves, and where it goes for them. Each check raises Refused."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong

from skitai.errors import OperationError
from skitai.http.fields import ALLOW_ALL
from skitai.net.destinations import ANY, Destination, Rules
from skitai.net.trust import TrustedProxies
from skitai.services.forward.reaching import allowed, not_allowed
from skitai.services.forward.refusals import Refused
from skitai.services.forward.targets import Target, read_target
from skitai.services.forward.users import Users, read_credentials
from skitai.services.proxy.fields import FOR_OTHERS

if TYPE_CHECKING:
    from skitai.config import ServerConfig
    from skitai.interfaces import IConnector

#: Whom it serves where the config names nobody.
_THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1"))
_CHALLENGE = ("Proxy-Authenticate", 'Basic realm="Skitai forward proxy", charset="UTF-8"')
_HTTP_PORT = 80


class Gate:
    """Judges requests by the keys of ``[server]``. Called in the reactor thread.

    ``users`` None: nobody must log in. ``connector`` finds addresses, within its time-out.
    """

    def __init__(
        self, server: ServerConfig, users: Users | None, connector: IConnector, reactor: Any
    ) -> None:
        self._reactor = reactor
        self._trusted = TrustedProxies(server.trusted_proxies)
        self._clients = TrustedProxies(server.proxy_clients or _THIS_MACHINE)
        self._only_this_machine = not server.proxy_clients
        self._users = users
        self._connector = connector
        items = server.proxy_destinations or (Destination(ANY),)
        self.rules = Rules(items, server.proxy_ports)
        self.connect_rules = Rules(items, server.proxy_connect_ports)

    def is_behind_proxy(self, request: Any) -> bool:
        """Return whether a request came from a proxy in front of this server, for anybody."""
        return self._trusted.trusts(request.connection.peer)

    async def admit(self, request: Any) -> Target:
        """Return what ``request`` asks for, if its client may ask for it and there is an address to go to."""
        self._check_client(request)
        await self._check_user(request)
        connects = request.method == b"CONNECT"
        if not connects and request.uri[:6].lower() == b"https:":
            raise Refused(400, "", "https:// is only asked for through a tunnel: use CONNECT")
        target = read_target(request.authority, None if connects else _HTTP_PORT)
        await self._check_destination(target, self.connect_rules if connects else self.rules, connects)
        return target

    def _check_client(self, request: Any) -> None:
        """Check the address of the connection, or that of its PROXY header: fields can be made up."""
        peer = request.connection.peer
        if request.version == "2":
            raise Refused(405, "http2", "it forwards nothing in HTTP/2", fields=(("Allow", ALLOW_ALL),))
        if self._trusted.trusts(peer):
            page = "it serves no clients of a proxy that stands in front of it"
            raise Refused(403, "trusted_proxies", page)
        if not self._clients.trusts(peer):
            raise Refused(403, "proxy_clients", "it does not serve this client")
        if self._only_this_machine and any(request.field(name) is not None for name in FOR_OTHERS):
            page = "it serves clients of other proxies only where the config names those"
            raise Refused(403, "proxy_clients", page)

    async def _check_user(self, request: Any) -> None:
        if self._users is None:
            return
        field = request.field(b"proxy-authorization")
        credentials = read_credentials(field)
        page = "a user and a password are needed"
        if credentials is not None:
            found = self._users.check(*credentials)
            if await found if isinstance(found, Deferred) else found:
                return
            page = "the user or the password is wrong"
            why = f"a wrong password, or an unknown user {credentials[0][:80]!r}"
        else:
            why = "no password" if field is None else "what is no Basic authentication"
        raise Refused(407, "proxy_users", page, why, (_CHALLENGE,))

    async def _check_destination(self, target: Target, rules: Rules, connects: bool) -> None:
        host, port = target.host, target.port
        if not rules.may_ask(host, port):
            about = rules.about(host)
            key = "proxy_destinations"
            if any(item.ports is None for item in about):  # those with ports of their own need no other key
                key = "proxy_connect_ports" if connects else "proxy_ports"
            what = f"port {port} of {host}" if about else host
            raise Refused(403, key, f"{what} is not allowed")
        if target.is_address:
            return
        try:
            searching = self._connector.resolve(host)
            found = await searching.addTimeout(self._connector.timeout, self._reactor)
        except TookTooLong as error:
            page = f"the address of {host} was not found within connect_timeout in [http]"
            raise Refused(504, "", page) from error
        except OperationError as error:
            raise Refused(502, "", f"{host} has no address", f"{host}: {error}") from error
        if not found:
            raise Refused(502, "", f"{host} has no address")
        if not allowed(rules, host, port, found):
            why = not_allowed(rules, host, port, found)
            raise Refused(403, "proxy_destinations", f"{host} has no address that is allowed", why)
