"""``was.ws``: it turns an app's arguments into a message, and has the pool send it and wait for the reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.service import Service
from skitai.calls.step import Step
from skitai.interfaces import IServiceMethods
from skitai.services.http.request import Headers, header_pairs
from skitai.services.http.service import HTTPService
from skitai.services.http.urls import split_url
from skitai.services.websocket.conversing import connect
from skitai.services.websocket.jobs import Exchange
from skitai.services.websocket.messages import message_of
from skitai.services.websocket.opening import (
    Opening,
    RefusedError,
    check_headers,
    checked_subprotocols,
)
from skitai.services.websocket.result import WebSocketResult
from skitai.services.websocket.urls import as_http
from skitai.services.websocket.words import KEYWORDS
from skitai.websocket.closing import ABNORMAL, GOING_AWAY, TRY_AGAIN_LATER, WebSocketClosed
from skitai.websocket.conversation import ConversationLimits

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode
    from skitai.services.websocket.pool import SocketPool
    from skitai.websocket.conversation import Message

#: The type of the clusters that only websockets ask.
CLUSTER_TYPE = "websocket"

#: How many openings are remembered that consist of a URL only.
_PLAIN_OPENINGS = 1024
#: HTTP statuses of a server that cannot serve now: another member of a cluster may.
_UNWELL_STATUSES = frozenset((502, 503, 504))
#: The like for close codes. 1012 and 1014 are those of IANA's registry: a restart, and a bad gateway.
_UNWELL_CODES = frozenset((GOING_AWAY, ABNORMAL, 1012, TRY_AGAIN_LATER, 1014))


@attrs.frozen
class MessageRequest:
    """The request of an operation: a message for a websocket with this opening."""

    opening: Opening
    message: Message = attrs.field(repr=False)


@implementer(IServiceMethods)
class WebSocketService(Service):
    """Messages and conversations over the websockets of a pool.

    ``handshakes`` checks the arguments of the request that opens one, and reads the members of clusters. A
    node that refuses, or closes the websocket for a reason of its own, is well: the result has status 2, but
    no other node is asked, and the node does not rest.
    """

    cluster_types = frozenset({"http", CLUSTER_TYPE})
    cluster_keys = HTTPService.cluster_keys
    result_type = WebSocketResult

    def __init__(
        self, pool: SocketPool, handshakes: HTTPService, limits: ConversationLimits | None = None
    ) -> None:
        self.pool = pool
        #: How much may wait in a conversation.
        self.limits = limits or ConversationLimits()
        self._handshakes = handshakes
        # Views ask the same few URLs again and again, so each is parsed once.
        self._plain_opening = lru_cache(_PLAIN_OPENINGS)(self.opening)
        self.methods: Mapping[str, Callable[..., Any]] = {"connect": partial(connect, self)}

    def begin(self, submit: Callable[[Operation], Any], *args: Any, **kwargs: Any) -> Any:
        """Submit the operation at once and return its ``Call``. Called in the app's thread."""
        return submit(called_as("was.ws()", self.operation, KEYWORDS, *args, **kwargs))

    def operation(
        self,
        uri: str,
        message: Any,
        auth: Any = None,
        headers: Headers | None = None,
        use_cache: bool = True,
        *,
        encoding: Any = None,
        subprotocols: Iterable[str] = (),
        idempotent: bool = False,
        follow: int = 0,
        filter: Any = None,  # noqa: A002 - the name that apps know
        downgrade: bool = False,
        public: bool = False,
    ) -> Operation:
        """Return the operation that sends ``message`` and takes one reply.

        ``uri`` is a ``ws://``, ``wss://``, ``http://`` or ``https://`` URL or ``@cluster/path``. ``message``:
        a str is sent as text, bytes as binary; ``encoding``: as ``"text"`` or ``"binary"``. ``idempotent``:
        the message may be sent twice, where nobody knows whether it was read. The others are those of
        ``was.get``, and for the handshake. Raises TypeError or ValueError that names the wrong argument.
        Called in the app's thread.
        """
        given = message_of(message, encoding)
        is_plain = not (headers or subprotocols or follow or public)
        if auth is None and is_plain and isinstance(uri, str):
            opening, key = self._plain_opening(uri)
        else:
            opening, key = self.opening(uri, auth, headers, subprotocols, follow, downgrade, public)
        return Operation(
            uri, MessageRequest(opening, given), (key, given), bool(idempotent), use_cache, filter=filter
        )

    def opening(
        self,
        uri: str,
        auth: Any = None,
        headers: Headers | None = None,
        subprotocols: Iterable[str] = (),
        follow: int = 0,
        downgrade: bool = False,
        public: bool = False,
    ) -> tuple[Opening, Any]:
        """Return what a websocket is opened with, and what tells it apart in keys of the cache."""
        names = checked_subprotocols(subprotocols)
        pairs = header_pairs(headers) if headers else []
        check_headers(pairs)
        handshake = self._handshakes.operation(
            as_http(uri), None, auth, pairs, follow=follow, downgrade=downgrade, public=public
        )
        node: Any = handshake.node
        return Opening(handshake.request, names, node), (handshake.cache_key, names)

    def node(self, target: str) -> HTTPNode:
        """Return the node that a URL names; raise ValueError otherwise. Called in the app's thread."""
        return split_url(as_http(target))[0]

    def member(self, address: str, options: Mapping[str, str]) -> HTTPNode:
        """Return the node of ``host[:port]``; the options of its cluster say whether it speaks TLS."""
        return self._handshakes.member(address, options)

    def perform(self, node: HTTPNode, operation: Operation) -> Deferred[Any]:
        """Send the message to ``node``: fire with the result, or fail with an ``OperationError``.

        Cancelling closes the websocket at once. Called in the reactor thread.
        """
        request = operation.request
        if isinstance(request, Step):
            done = request.perform(self, node)
        else:
            exchange = Exchange(request.opening, request.message, repeatable=operation.idempotent)
            done = self.pool.start(node, exchange)
        return done.addErrback(_of_healthy, node, operation)


def _of_healthy(failure: Failure, node: HTTPNode, operation: Operation) -> Failure | WebSocketResult:
    """Return the failed result of a node that is well, or else the failure."""
    error = failure.value
    if isinstance(error, RefusedError) and error.code not in _UNWELL_STATUSES:
        result = WebSocketResult.failed(error, node, operation.target)
        result.headers = error.headers
        return result
    if isinstance(error, WebSocketClosed) and error.close_code not in _UNWELL_CODES:
        return WebSocketResult.failed(error, node, operation.target)
    return failure
