"""Remote procedure calls as a service: the app gets a proxy, the node a POST, the result a value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from skitai.calls.raising import called_as
from skitai.errors import CODE_BAD_REPLY, OperationError
from skitai.formats.spelling import Keywords
from skitai.http.fields import media_type
from skitai.services.http.request import Headers, header_pairs
from skitai.services.http.service import HTTPService, with_request_id
from skitai.services.http.words import KEYWORDS
from skitai.services.rpc.faults import FAULTS
from skitai.services.rpc.proxy import RPCProxy
from skitai.services.rpc.result import RPCResult

if TYPE_CHECKING:
    from skitai.calls.operation import Operation
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.auth import Logins
    from skitai.services.http.pool import ConnectionPool
    from skitai.services.http.result import HTTPResult
    from skitai.services.rpc.codec import Codec

#: Bytes of a reply. Its values take many times as much memory.
DOCUMENT_MAX = 16 * 1024 * 1024
# Bytes that are parsed in one turn of the reactor: the work of some milliseconds.
_PIECE = 16 * 1024

#: Its options are those of a POST, which has the body that the method makes.
_KEYWORDS = Keywords(
    KEYWORDS.hints, KEYWORDS.known | {*signature(HTTPService.operation).parameters} - {"self", "data", "json"}
)

_OK = 200
_SUCCESSES = range(200, 300)
# Of a refusal that is no document of the protocol, what stands in the message: types, and bytes.
_PLAIN_TYPES = frozenset(("application/json", "application/problem+json", "text/plain"))
_WORDS_MAX = 500


class RPCService(HTTPService):
    """Calls of one protocol, over the connections of an HTTP pool.

    A node that sends a reply is well. So a fault, an HTTP status that is no success or a malformed document
    makes a failed result, but no other node is asked, and the node does not rest. A fault counts under any
    status: many servers send theirs with 500 or 400.
    """

    result_type = RPCResult

    def __init__(self, codec: Codec, pool: ConnectionPool, logins: Logins | None = None) -> None:
        super().__init__("POST", pool, logins)
        self._codec = codec
        self.name = f"was.{codec.service}()"

    def begin(self, submit: Callable[[Operation], Any], *args: Any, **kwargs: Any) -> RPCProxy:
        """Return the proxy that submits its first method call. The arguments are those of ``endpoint``."""
        prepare = called_as(self.name, self.endpoint, _KEYWORDS, *args, **kwargs)
        return RPCProxy(lambda method, params, named: submit(with_request_id(prepare(method, params, named))))

    def endpoint(
        self,
        uri: str,
        data: None = None,
        auth: Any = None,
        headers: Headers | None = None,
        use_cache: bool = True,
        *,
        idempotent: bool = False,
        **options: Any,
    ) -> Callable[[str, tuple[Any, ...], dict[str, Any]], Operation]:
        """Return a function that makes the operation for a method and its arguments.

        The arguments and ``options`` are those of ``was.post``, except that there is no ``data``.
        ``idempotent``: the method may be called twice, so another member of a cluster is asked after a
        failure in the middle. Raises TypeError or ValueError that names the wrong argument. Called in the
        app's thread.
        """
        given = "data" if data is not None else "json" if "json" in options else None
        if given is not None:
            raise TypeError(
                f"{given} makes no sense with {self._codec.name}: give it to the method that you call"
            )
        fields = header_pairs(headers) if headers else []
        if not any(name.lower() == "content-type" for name, _ in fields):
            fields.append(("Content-Type", self._codec.media_types[0]))
        options = {"auth": auth, "headers": fields, "use_cache": use_cache, **options}
        post = partial(self.operation, uri, **options)
        post(data=b"")  # raises for wrong arguments here, not when the method is called

        def prepare(method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
            operation = post(data=self._codec.encode(method, args, kwargs))
            return attrs.evolve(operation, idempotent=idempotent, name=method)

        return prepare

    def perform(self, node: HTTPNode, operation: Operation) -> Deferred[RPCResult]:
        """Call the method on ``node``: fire with the ``RPCResult``, or fail with an ``OperationError``.

        Cancelling closes the socket at once. Called in the reactor thread.
        """
        replying = super().perform(node, operation)
        return Deferred.fromCoroutine(self._read(replying, operation.target))

    async def _read(self, replying: Deferred[HTTPResult], target: str) -> RPCResult:
        reply = await replying
        try:
            result = RPCResult(await self._value(reply), code=reply.code, msg=reply.msg, node=reply.node)
        except (OperationError, *FAULTS) as error:
            result = RPCResult.failed(error, reply.node, target)
        result.version, result.headers, result.asked = reply.version, reply.headers, reply.asked
        return result

    async def _value(self, reply: HTTPResult) -> Any:
        """Return the value in a reply; raise its fault, or OperationError if it has neither."""
        reply.reraise()
        try:
            value = await self._document(reply)
        except ValueError as error:
            if reply.code != _OK:
                raise _refused(reply) from None
            text = f"bad {self._codec.name} reply: {self._type_hint(reply)}{error}"
            raise OperationError(text, code=CODE_BAD_REPLY) from error
        if reply.code not in _SUCCESSES:
            raise _refused(reply)
        return value

    async def _document(self, reply: HTTPResult) -> Any:
        """Return the value in the body of a reply; raise its fault, or ValueError if it has neither."""
        _check_size(reply)
        reader = self._codec.reader()
        for start in range(0, len(reply.data), _PIECE):
            if start:  # others have a turn between two pieces
                await deferLater(self._pool.reactor, 0)
            reader.feed(reply.data[start : start + _PIECE])
        return reader.close()

    def _type_hint(self, reply: HTTPResult) -> str:
        """Return a hint on a wrong content type. Not an error of its own: many servers send one."""
        kind = media_type(reply.get_header("content-type"))
        if not kind or kind in self._codec.media_types:
            return ""
        return f"the content type {kind!r:.100} is not that of {self._codec.name}, and "


def _refused(reply: HTTPResult) -> OperationError:
    """Return the error for another status than 200, with what the server says if that is short and plain."""
    words = ""
    if media_type(reply.get_header("content-type")) in _PLAIN_TYPES and len(reply.data) <= _WORDS_MAX:
        words = " ".join(reply.text.split())
    status = f"HTTP status {reply.code} {reply.msg}"
    return OperationError(f"{status}: {words}" if words.isprintable() and words else status, code=reply.code)


def _check_size(reply: HTTPResult) -> None:
    if len(reply.data) > DOCUMENT_MAX:
        raise ValueError(f"the document is larger than {DOCUMENT_MAX} bytes")
