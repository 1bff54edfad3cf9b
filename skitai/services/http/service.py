"""``was.get``, ``was.post``: an app's arguments in, an operation out, performed over the connection pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skitai.calls.operation import Operation
from skitai.calls.service import Service
from skitai.services.http.address import HTTPNode, member_node, split_cluster, split_url
from skitai.services.http.request import Headers, build_request
from skitai.services.http.result import HTTPResult

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.services.http.pool import ConnectionPool
    from skitai.services.http.result import HTTPResult

_YES_NO = {"yes": True, "no": False}


class HTTPService(Service):
    """Requests of one method. Services of several methods share a pool, and with it the connections."""

    cluster_type = "http"
    cluster_keys = frozenset({"ssl"})
    result_type = HTTPResult

    def __init__(self, method: str, pool: ConnectionPool) -> None:
        self.method = method
        self._pool = pool

    def operation(
        self, uri: str, data: Any = None, *, headers: Headers | None = None, use_cache: bool = True
    ) -> Operation:
        """Return the operation for ``uri``, a URL or ``@cluster/path``.

        ``data``: a dict (a form; for GET, more of the query), str (UTF-8) or bytes. ``headers``: a dict or
        a list of pairs. ``use_cache=False``: do not answer from the cache.
        Raises TypeError or ValueError naming the argument that makes no sense. Called in the app's thread.
        """
        origin: HTTPNode | str
        if isinstance(uri, str) and uri.startswith("@"):
            origin, target = split_cluster(uri)
        else:
            origin, target = split_url(uri)
        request, identity = build_request(self.method, target, data, headers)
        key = (self.method, origin, request.target, request.body, identity)
        return Operation(uri, request, key, request.idempotent, use_cache)

    def node(self, target: str) -> HTTPNode:
        """Return the node that a URL names; raise ValueError otherwise. Called in the app's thread."""
        return split_url(target)[0]

    def member(self, address: str, options: Mapping[str, str]) -> HTTPNode:
        """Return the node of ``host[:port]``; the option ``ssl`` says whether it speaks TLS."""
        ssl = str(options.get("ssl", "no")).lower()
        if ssl not in _YES_NO:
            raise ValueError(f"ssl = {ssl!r} must be yes or no")
        return member_node(address, tls=_YES_NO[ssl])

    def perform(self, node: HTTPNode, operation: Operation) -> Deferred[HTTPResult]:
        """Send the request to ``node``: fire with the ``HTTPResult``, or fail with an ``OperationError``.

        Cancelling closes the socket at once. Called in the reactor thread.
        """
        return self._pool.ask(node, operation.request)
