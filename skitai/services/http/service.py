"""``was.get`` and the others: they turn an app's arguments into an operation and perform it over the pool."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import attrs
from twisted.internet.defer import Deferred

from skitai.calls.deadline import checked_seconds
from skitai.calls.operation import Operation
from skitai.calls.raising import called_as
from skitai.calls.service import Service
from skitai.config.http import HTTP_CLUSTER_KEYS, TLS_KEYS, cluster_times
from skitai.context import current_request_id
from skitai.http.requestids import FIELD
from skitai.net.addresses import HTTPNode, member_node
from skitai.net.pem import TLSConfigError
from skitai.services.http.auth import Logins, fingerprint, parse_auth
from skitai.services.http.contents import Content, Params, content_of, form, json_content, query_of
from skitai.services.http.conversation import converse
from skitai.services.http.multipart import multipart_content
from skitai.services.http.profiles import cluster_profile
from skitai.services.http.request import Headers, HTTPRequest, build_request, header_pairs
from skitai.services.http.result import HTTPResult, ReplyResult
from skitai.services.http.urls import split_cluster, split_url
from skitai.services.http.words import KEYWORDS

if TYPE_CHECKING:
    from skitai.services.http.pool import ConnectionPool

#: How many operations a service remembers that consist of a URL only.
_PLAIN_OPERATIONS = 1024

_YES_NO = {"yes": True, "no": False}
# Bodies of these are not read, so a dict becomes the query, as with a form of method=get.
_DATA_IN_QUERY = frozenset(["GET", "HEAD", "DELETE", "OPTIONS"])
_SECRET_HEADERS = frozenset(["authorization", "cookie", "proxy-authorization"])

#: How a header of the app's own begins, in lower case.
_HAS_ID = f"{FIELD.lower()}:"

Filter = Callable[[Any], Any]


class HTTPService(Service):
    """Requests of one method. Services of several methods share a pool and so its connections.

    ``logins`` are the logins that worked; services may share them, too.
    """

    cluster_types = frozenset({"http"})
    cluster_keys = frozenset(HTTP_CLUSTER_KEYS)
    result_type: type[ReplyResult] = HTTPResult

    def __init__(self, method: str, pool: ConnectionPool, logins: Logins | None = None) -> None:
        self.method = method
        #: How apps call it.
        self.name = f"was.{method.lower()}()"
        self._pool = pool
        self._logins = Logins() if logins is None else logins
        # Views ask the same few URLs again and again, so each is parsed once.
        self._plain_operation = lru_cache(_PLAIN_OPERATIONS)(self.operation)

    def begin(self, submit: Callable[[Operation], Any], *args: Any, **kwargs: Any) -> Any:
        """Submit the operation at once and return its ``Call``. Called in the app's thread."""
        if kwargs or len(args) != 1 or type(args[0]) is not str:
            return submit(with_request_id(called_as(self.name, self.operation, KEYWORDS, *args, **kwargs)))
        return submit(with_request_id(self._plain_operation(args[0])))

    def operation(
        self,
        uri: str,
        data: Any = None,
        auth: Any = None,
        headers: Headers | None = None,
        use_cache: bool = True,
        *,
        follow: int = 0,
        filter: Filter | None = None,  # noqa: A002 - the name that apps know
        params: Params | None = None,
        json: Any = None,
        timeout: float | None = None,
        downgrade: bool = False,
        public: bool = False,
    ) -> Operation:
        """Return the operation for ``uri``, a URL or ``@cluster/path``.

        ``data``: a dict (a form; with GET, part of the query), str (UTF-8), bytes or a binary file, which is
        read as it is sent. ``auth``: ``(user, password)`` or ``"user:password"``, for Basic and Digest.
        ``headers``: a dict or a list of pairs. ``use_cache=False``: do not answer from the cache.
        ``follow``: how many redirects to follow. ``filter``: takes the result where the app waits for it, and
        returns the one to use instead. ``params``: a dict or a list of pairs that goes into the query.
        ``json``: a value that is sent as JSON, in the place of ``data``. ``timeout``: seconds for the whole
        call, where ``getwait`` names no others. ``downgrade``: also follow redirects from https to http.
        ``public``: connect to public addresses only, for URLs and redirects that strangers may have chosen.
        Raises TypeError or ValueError that names the wrong argument. Called in the app's thread.
        """
        origin: HTTPNode | str
        if isinstance(uri, str) and uri.startswith("@"):
            origin, target = split_cluster(uri)
        else:
            origin, target = split_url(uri)
        if isinstance(data, Mapping) and self.method in _DATA_IN_QUERY:
            target, data = _with_query(target, form(data)), None
        if params is not None:
            target = _with_query(target, query_of(params))
        pairs = header_pairs(headers) if headers else []
        content = self.content(data) if json is None else self.json_content(data, json)
        request = build_request(self.method, target, content, pairs)
        if auth is not None or follow:
            request = _with_options(request, pairs, auth, follow)
        node = None
        if downgrade or public:
            request = attrs.evolve(request, downgrade=bool(downgrade), public=bool(public))
            if public and not isinstance(origin, str):  # the members of a cluster are the config's
                node = origin = attrs.evolve(origin, public=True)
        key = None if request.stream is not None else _cache_key(origin, request, pairs, content)
        if timeout is not None:
            _check_timeout(timeout)
        return Operation(
            uri, request, key, request.idempotent, use_cache, filter=filter, node=node, timeout=timeout
        )

    def content(self, data: Any) -> Content:
        """Return the body for an app's ``data``; see ``content_of``. Called in the app's thread."""
        return content_of(data)

    def json_content(self, data: Any, value: Any) -> Content:
        """Return ``value`` as the body; see ``json_content``. Called in the app's thread."""
        if data is not None:
            raise TypeError("data and json are two bodies: give one of them")
        return json_content(value)

    def node(self, target: str) -> HTTPNode:
        """Return the node that a URL names; raise ValueError otherwise. Called in the app's thread."""
        return split_url(target)[0]

    def member(self, address: str, options: Mapping[str, str]) -> HTTPNode:
        """Return the node of ``host[:port]``; the options of its cluster say whether it speaks TLS."""
        if "/" in address and not address.startswith(("/", "http://", "https://")):
            # The address is not shown, because it may hold a password.
            raise ValueError("an http member is host[:port]; for a database write type = postgresql")
        ssl = str(options.get("ssl", "no")).lower()
        if ssl not in _YES_NO:
            raise ValueError(f"ssl = {ssl!r} must be yes or no")
        profile = cluster_profile(options, self._pool.connector.tls)
        if profile is not None and not _YES_NO[ssl]:
            first = next(key for key in options if key in TLS_KEYS)
            raise TLSConfigError(first, "has no effect without ssl = yes")
        times = cluster_times(options)
        return member_node(address, tls=_YES_NO[ssl], profile=profile, times=times)

    def perform(self, node: HTTPNode, operation: Operation) -> Deferred[Any]:
        """Send the request to ``node``: fire with the ``HTTPResult``, or fail with an ``OperationError``.

        The result has status 2 if the node is not to blame: for a file that cannot be read, or a redirect
        that cannot be followed. Cancelling closes the socket at once. Called in the reactor thread.
        """
        request = operation.request
        if request.plain:
            return self._pool.ask(node, request)
        return Deferred.fromCoroutine(converse(self._pool.ask, self._logins, node, request))


class UploadService(HTTPService):
    """POST of a form with files (multipart/form-data)."""

    def __init__(self, pool: ConnectionPool, logins: Logins | None = None) -> None:
        super().__init__("POST", pool, logins)
        self.name = "was.upload()"

    def content(self, data: Any) -> Content:
        """Return the form that is sent; see ``multipart_content``. Called in the app's thread."""
        return multipart_content(data)

    def json_content(self, data: Any, value: Any) -> Content:  # noqa: ARG002 - as above
        """Raise TypeError: a form is no JSON. Called in the app's thread."""
        raise TypeError("a form with files has no json: give all fields and files in data")


def with_request_id(operation: Operation) -> Operation:
    """Return an operation that passes on the id of the request for which it is, unless the app gives one.

    Called in the app's thread.
    """
    request_id = current_request_id()
    request: HTTPRequest = operation.request
    if not request_id or _HAS_ID in request.fields.lower():
        return operation
    return operation.with_request(request.with_field(FIELD, request_id))


def _with_options(request: HTTPRequest, pairs: list[tuple[str, str]], auth: Any, follow: Any) -> HTTPRequest:
    """Return the request with the options that may take several requests and replies."""
    if isinstance(follow, bool) or not isinstance(follow, int):
        raise TypeError(f"follow must be a number of redirects, such as 5, not {follow!r}")
    if follow < 0:
        raise ValueError(f"follow must be a number of redirects, such as 5, not {follow}")
    if auth is None:
        return attrs.evolve(request, follow=follow)
    if any(name.lower() == "authorization" for name, _ in pairs):
        raise ValueError("auth: the headers hold an Authorization already: give one of the two")
    return attrs.evolve(request, credentials=parse_auth(auth), follow=follow)


def _cache_key(
    origin: HTTPNode | str, request: HTTPRequest, pairs: list[tuple[str, str]], content: Content
) -> Hashable:
    """Return a key for all that the reply may depend on; secrets are in it as fingerprints only."""
    fields = []
    for name, value in pairs:
        key = name.lower()
        fields.append((key, fingerprint(value) if key in _SECRET_HEADERS else value))
    if content.type is not None and all(name != "content-type" for name, _ in fields):
        fields.append(("content-type", content.type))
    login = request.credentials and request.credentials.fingerprint
    how = request.follow, request.downgrade, request.public
    return request.method, origin, request.target, request.body, tuple(sorted(fields)), login, how


def _check_timeout(timeout: float) -> None:
    if isinstance(timeout, tuple):
        raise TypeError(
            f"timeout is the time for the whole call, one number, not {timeout!r}: the times for connecting"
            " and for silence are connect_timeout and silence_timeout in the config"
        )
    if checked_seconds("timeout", timeout) <= 0:
        raise ValueError(f"timeout must be more than 0 seconds, not {timeout!r}")


def _with_query(target: str, query: str) -> str:
    if not query:
        return target
    joint = "?" if "?" not in target else "" if target[-1] in "?&" else "&"
    return f"{target}{joint}{query}"
