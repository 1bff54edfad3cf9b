"""What answers for other hosts: it judges each request, and has it fetched, or opens a tunnel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.errors import MisuseError
from skitai.http.fields import ALLOW_ALL
from skitai.interfaces import IHeadResource
from skitai.net.addresses import HostNode
from skitai.services.forward.counts import ForwardCounts
from skitai.services.forward.failures import page_of
from skitai.services.forward.fetch import Fetch
from skitai.services.forward.message import OutwardMessage, hops_left
from skitai.services.forward.reaching import make_checked_connector
from skitai.services.forward.refusals import Refusals, Refused
from skitai.services.forward.tunnel import ConnectTunnel
from skitai.services.forward.way import LABEL, OneDestination, Outward
from skitai.services.http.pool import ConnectionPool
from skitai.services.proxy.failures import status_of
from skitai.services.proxy.fields import UnsendableError
from skitai.services.proxy.uploading import PushedBody
from skitai.services.proxy.way import AHEAD_MAX

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.config import ServerConfig
    from skitai.interfaces import IInstance
    from skitai.services.forward.gate import Gate
    from skitai.services.forward.targets import Target
    from skitai.services.http.pool import PoolLimits

_log = Logger()
_ESTABLISHED = "200 Connection established"


@implementer(IHeadResource)
class ForwardProxy(Resource):
    """Answers requests for other hosts, and CONNECT, as ``gate`` judges. Called in the reactor thread.

    Its connections are its own: requests of clients must not use those of apps, nor take their places.
    """

    isLeaf = True

    def __init__(self, instance: IInstance, gate: Gate, limits: PoolLimits) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = ForwardCounts()
        self._server: ServerConfig = instance.config.server
        self._reactor = instance.reactor
        self._gate = gate
        self._refusals = Refusals(instance.reactor.seconds)
        plain = make_checked_connector(self._reactor, instance.connector, gate.rules)
        self._tunnelling = make_checked_connector(self._reactor, instance.connector, gate.connect_rules)
        self.pool = ConnectionPool(self._reactor, limits, connector=plain)
        self._connectors = (plain, self._tunnelling)

    def close(self) -> list[Deferred[None]]:
        """Close all connections to destinations but those of tunnels."""
        return [self.pool.close(), *(connector.close() for connector in self._connectors)]

    # -- what the server asks ------------------------------------------------------------------------------

    def takes(self, request: Any) -> bool:
        """Return whether a request may be for another host at all.

        What a proxy in front of this server passes on is for this server, whatever its target says.
        """
        return request.version != "2" and not self._gate.is_behind_proxy(request)

    def at_head(self, request: Any) -> bool:
        """Judge a request before its body is read; the body then goes to the destination as it comes."""
        if request.method == b"CONNECT":
            self._begin(request, self._open_tunnel)
        elif request.body_length == 0:  # it asks for another protocol, which the destination is not told
            return False
        else:
            self._begin(request, self._stream)
        return True

    def render(self, request: Any) -> int:
        """Judge a request without a body."""
        self._begin(request, self._fetch)
        return NOT_DONE_YET

    def _begin(self, request: Any, go_on: Callable[[Any, Target], None]) -> None:
        judging = Deferred.fromCoroutine(self._judge(request, go_on))
        judging.addErrback(lambda failure: request.processingFailed(failure))

    async def _judge(self, request: Any, go_on: Callable[[Any, Target], None]) -> None:
        try:
            target = await self._gate.admit(request)
            if not request.gone:
                go_on(request, target)
        except Refused as refused:
            self.counts.refused[refused.key or str(refused.code)] += 1
            self._refusals.answer(request, refused)

    # -- requests with an absolute URI ---------------------------------------------------------------------

    def _fetch(self, request: Any, target: Target) -> None:
        if hops_left(request) == 0:
            self._answer_here(request)
        else:
            self._send(request, target)

    def _stream(self, request: Any, target: Target) -> None:
        body = PushedBody(request.body_length)
        self._send(request, target, body)

    def _send(self, request: Any, target: Target, body: PushedBody | None = None) -> None:
        server = self._server
        way = Outward(
            cluster=OneDestination(target.node),
            pool=self.pool,
            seconds=self._reactor.seconds,
            waiting_max=min(server.response_buffer_max, AHEAD_MAX),
            counts=self.counts,
            tells_client=server.proxy_forwarded,
        )
        try:
            message = OutwardMessage(way, request, stream=body)
        except UnsendableError as error:
            raise Refused(400, "", "the request could be taken for more than one", str(error)) from error
        if body is not None:
            request.stream_body(body)
        if not request.status_code:
            Fetch(way, request, message).start()

    def _answer_here(self, request: Any) -> None:
        """Answer what goes no further (RFC 9110, section 7.6.2), but not with the request: it has secrets."""
        if request.method == b"OPTIONS":
            request.respond("204 No Content", [("Allow", ALLOW_ALL)], b"")
        else:
            request.fail(405, ("Allow", ALLOW_ALL))

    # -- tunnels -------------------------------------------------------------------------------------------

    def _open_tunnel(self, request: Any, target: Target) -> None:
        counts, server = self.counts, self._server
        client = getattr(request.connection.peer, "host", None) or "unix"
        retry = (("Retry-After", "10"),)
        if counts.open_tunnels >= server.proxy_tunnels_max:
            raise Refused(503, "proxy_tunnels_max", "there are too many tunnels", fields=retry)
        if counts.clients[client] >= server.proxy_tunnels_per_client:
            page = "this client has too many tunnels"
            raise Refused(503, "proxy_tunnels_per_client", page, fields=retry)
        counts.tunnel_begins(client)

        def ended(sent: int, received: int) -> None:
            counts.tunnel_ends(client)
            counts.sent_bytes += sent
            counts.received_bytes += received

        tunnel = ConnectTunnel(self._reactor, server.proxy_idle_timeout, ended)
        factory = Factory.forProtocol(lambda: tunnel.member)  # type: ignore[type-var]  # an IProtocol will do
        connecting = self._tunnelling.connect(HostNode(target.host, target.port), factory)
        connecting.addCallback(lambda _: self._connected(request, tunnel))
        connecting.addErrback(self._not_connected, request, tunnel)

    def _connected(self, request: Any, tunnel: ConnectTunnel) -> None:
        """Begin the tunnel: its client may have sent something already."""
        tunnel.client.connected = tunnel.open
        try:
            if not request.gone:
                request.take_over(tunnel.client, _ESTABLISHED)
        except MisuseError:  # the connection was answered otherwise
            tunnel.close()
        if request.gone:
            tunnel.close()

    def _not_connected(self, failure: Failure, request: Any, tunnel: ConnectTunnel) -> None:
        tunnel.close()
        error: Any = failure.value
        code = status_of(error)
        self.counts.failed[code] += 1
        _log.warn(
            "{label} has no tunnel to {target}: {error}",
            label=LABEL,
            target=request.uri.decode("latin-1"),
            error=error,
        )
        if not request.gone:
            request.fail(code, detail=page_of(error))
