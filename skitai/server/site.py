"""Finds what answers a request: first the virtual host, then the mount."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import attrs
from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.resource import getChildForRequest
from twisted.web.server import NOT_DONE_YET

from skitai.config.routes import DEFAULT_HOST
from skitai.http.fields import ALLOW_ALL
from skitai.http.hosts import is_loopback, split_authority
from skitai.http.paths import PERCENT, below_point
from skitai.interfaces import IHeadResource
from skitai.server.clientcerts import admits
from skitai.server.request.refusallog import RefusalLog
from skitai.server.static.directory import StaticDirectory
from skitai.server.wsgi.resource import WSGIResource

if TYPE_CHECKING:
    from skitai.server.request.request import Request

#: What the log and the page say of a request for a host that nobody serves.
NO_SUCH_HOST = "its host is none of those that are served"
NO_SITE = "This server has no site of this name."
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_READING = (b"GET", b"HEAD")
_PORT = re.compile(rb":[0-9]*\Z")
#: The ports of http:// and of https://.
_USUAL = (80, 443)
# All escapes but that of a slash, which is data in its segment and no separator (RFC 3986, section 2.2).
_ESCAPES = re.compile(rb"(?:%(?!2[Ff])[0-9A-Fa-f]{2})+")


@attrs.frozen(eq=False)
class Place:
    """Where a request was served: the first name of the virtual host and the mount point, ``/`` for the root.

    A server has one object for each. ``client_cert`` is what the mount wants of its clients; see ``admits``.
    """

    host: str
    point: str
    client_cert: str | None = None


Directories = Sequence[tuple[bytes, StaticDirectory, Place]]


@attrs.frozen
class Mounts:
    """What one virtual host serves. A file in one of the ``directories`` comes before all ``resources``.

    Both are given as pairs of a mount point and what is mounted there. The mount point of the root is
    ``b""``; others look like ``b"/app"``. ``host`` is the first name of the virtual host. ``client_certs``
    has the option ``client_cert`` of mounts, by the ``id`` of what is mounted.
    """

    directories: Sequence[tuple[bytes, Any]]
    resources: Sequence[tuple[bytes, Any]]
    host: str = DEFAULT_HOST
    client_certs: Mapping[int, str] = attrs.field(factory=dict)
    #: Both with their places, the longest mount points first.
    directories_at: Directories = attrs.field(init=False)
    #: Those of the directories that allow other origins, and those that have a file for all other paths.
    with_cors_at: Directories = attrs.field(init=False)
    fallbacks_at: Directories = attrs.field(init=False)
    resources_at: Sequence[tuple[bytes, Any, Place]] = attrs.field(init=False)
    #: The mount points of resources but for the root, and those of the root alone.
    points: tuple[bytes, ...] = attrs.field(init=False)
    root_at: Sequence[tuple[bytes, Any, Place]] = attrs.field(init=False)

    @directories_at.default
    def _directories_at(self) -> Directories:
        return _with_places(self.directories, self)

    @with_cors_at.default
    def _with_cors_at(self) -> Directories:
        return tuple(found for found in self.directories_at if found[1].has_cors)

    @fallbacks_at.default
    def _fallbacks_at(self) -> Directories:
        return tuple(found for found in self.directories_at if found[1].has_fallback)

    @resources_at.default
    def _resources_at(self) -> Sequence[tuple[bytes, Any, Place]]:
        return _with_places(self.resources, self)

    @points.default
    def _points(self) -> tuple[bytes, ...]:
        return tuple(point for point, _ in self.resources if point)

    @root_at.default
    def _root_at(self) -> Sequence[tuple[bytes, Any, Place]]:
        return tuple(found for found in self.resources_at if not found[0])


def _with_places(pairs: Sequence[tuple[bytes, Any]], mounts: Mounts) -> tuple[tuple[bytes, Any, Place], ...]:
    longest_first = sorted(pairs, key=lambda pair: len(pair[0]), reverse=True)
    return tuple(
        (point, mounted, Place(mounts.host, point.decode() or "/", mounts.client_certs.get(id(mounted))))
        for point, mounted in longest_first
    )


class Site:
    """Passes each request to what is mounted at its path.

    ``exact`` holds virtual hosts by name. ``suffixes`` holds them by domain: ``example.org`` matches itself
    and everything below it. ``default`` is for all other names. ``connect`` gets requests with the method
    CONNECT, which are otherwise answered with 405. ``elsewhere`` is a resource for requests whose target
    names a host that is not ours (absolute-form, RFC 9112, section 3.2.2), if its ``takes(request)`` is true;
    others are answered as if the host were ours. All methods are called in the reactor thread.
    """

    def __init__(
        self,
        default: Mounts | None,
        exact: Mapping[bytes, Mounts] | None = None,
        suffixes: Mapping[bytes, Mounts] | None = None,
        *,
        connect: IHeadResource | None = None,
        elsewhere: Any = None,
    ) -> None:
        self._default = default
        self._elsewhere = elsewhere
        self._connect = connect
        self._exact = dict(exact or {})
        self._suffixes = dict(suffixes or {})
        self._refusals = RefusalLog(monotonic)
        self._has_hosts = bool(self._exact or self._suffixes)
        self._host_max = max(map(len, [*self._exact, *self._suffixes]), default=0)

    def handle(self, request: Request) -> None:
        """Answer ``request``, now or later."""
        try:
            self._dispatch(request, _render)
        except Exception:  # noqa: BLE001 - an error in a resource is a 500 for this request
            request.processingFailed(Failure())  # type: ignore[no-untyped-call]

    def judge(self, request: Request) -> bool:
        """Return whether ``request`` is taken care of, though only its head has arrived.

        A request that no resource answers gets its response at once. A resource that provides
        ``IHeadResource`` decides for itself. All others get the request when its body is complete.
        """
        try:
            if request.method == b"CONNECT":
                return self._connect is not None and self._connect.at_head(request)
            return self._dispatch(request, _ask_at_head)
        except Exception:  # noqa: BLE001 - see handle()
            request.processingFailed(Failure())  # type: ignore[no-untyped-call]
            return True

    def knows(self, authority: bytes) -> bool:
        """Return whether some virtual host answers requests with this host, perhaps with a port behind it."""
        return self._mounts_for(authority) is not None

    def _dispatch(self, request: Request, use: Callable[[Request, bytes, Any], bool]) -> bool:
        """Answer ``request``, or call ``use`` for its resource. Return whether it is taken care of."""
        path = request.path
        if self._elsewhere is not None and request.uri[:1] != b"/" and self._leads_elsewhere(request):
            return use(request, b"", self._elsewhere)
        if path == b"/ping" and request.method in _READING:  # for any host: a health check knows none
            request.respond("200 OK", [_TEXT], b"pong")
            return True
        if path == b"*":
            request.respond("204 No Content", [("Allow", ALLOW_ALL)], b"")
            return True
        mounts = self._mounts_for(request.authority) if self._has_hosts else self._default
        if mounts is None:
            self._refusals.tell(request, 503, NO_SUCH_HOST)
            request.fail(503, detail=NO_SITE)
            return True
        if PERCENT in path:
            path = _ESCAPES.sub(lambda escapes: unquote_to_bytes(escapes.group()), path)
        reading = request.method in _READING
        if mounts.directories and self._is_for_a_file(request, path, mounts, reading):
            return True
        # Most paths begin like no mount point but the root: one look at all of them says so.
        for point, resource, place in (
            mounts.resources_at if path.startswith(mounts.points) else mounts.root_at
        ):
            if not point or _below(point, path):
                if mounts.fallbacks_at and reading and _fall_back(request, path, mounts, len(point)):
                    return True
                request.place = place
                if place.client_cert is not None and not admits(request, place.client_cert):
                    return True
                return use(request, point, resource)
        if reading and mounts.fallbacks_at and _fall_back(request, path, mounts, -1):
            return True
        if not _may_learn(request, path, mounts.directories_at):
            return True
        if request.method == b"OPTIONS" and _answer_options(request, path, mounts.directories_at):
            return True
        if not reading and any(_found_files(request, path, mounts.directories_at)):
            request.fail(405, ("Allow", "GET, HEAD, OPTIONS"))
        else:
            request.fail(404)
        return True

    def _leads_elsewhere(self, request: Request) -> bool:
        """Return whether a target in absolute-form names another host.

        Ours are the names of virtual hosts, with the port of the connection or the usual one, and the address
        of the connection. What the client has said to a proxy is no business of what is mounted.
        """
        if request.path == b"*" or not self._elsewhere.takes(request):
            return False
        server = request.connection.server
        port, usual = getattr(server, "port", None), _USUAL[request.uri[:8].lower() == b"https://"]
        host, asked = split_authority(request.authority.lower(), usual)
        own = asked in (port, usual) and self._named(host) is not None
        if not own and (asked != port or not _is_at(server, host.decode("latin-1").strip("[]"))):
            return True
        request.headers = [field for field in request.headers if field[0] != b"proxy-authorization"]
        return False

    def _is_for_a_file(self, request: Request, path: bytes, mounts: Mounts, reading: bool) -> bool:
        """Return whether a folder has answered, which comes before all resources.

        OPTIONS is its business only where it has CORS: an app may have more to allow.
        """
        if reading:
            return _serve_file(request, path, mounts.directories_at)
        return request.method == b"OPTIONS" and _answer_options(request, path, mounts.with_cors_at)

    def _mounts_for(self, authority: bytes) -> Mounts | None:
        """Look for the exact name, then for the longest matching domain, then take the default."""
        return self._named(_PORT.sub(b"", authority.lower())) or self._default

    def _named(self, host: bytes) -> Mounts | None:
        """Return the virtual host of this name; None where only the default is left."""
        host = host.rstrip(b".")
        mounts = self._exact.get(host)
        # A longer name may lie in a domain that is known, but only its end counts: a dot is before that.
        domain = host[-self._host_max - 1 :].partition(b".")[2] if len(host) > self._host_max else host
        while mounts is None and domain:
            mounts = self._suffixes.get(domain)
            domain = domain.partition(b".")[2]
        return mounts


def _is_at(server: Any, host: str) -> bool:
    """Whether ``host`` is the address that a client has connected to, or stands for it on this machine."""
    address = getattr(server, "host", "")
    return host == address or (is_loopback(host) and is_loopback(address))


def _below(point: bytes, path: bytes) -> bool:
    """Whether ``path``, without escapes, is ``point`` or below it. Segments match as a whole."""
    return path.startswith(point) and path[len(point) : len(point) + 1] in (b"", b"/")


def _found_files(request: Request, path: bytes, directories: Directories) -> Iterator[Callable[[], None]]:
    """Yield a function that serves the file, for each directory that has it."""
    for point, directory, place in directories:
        if _below(point, path):
            found = directory.find(below_point(point, request.path))
            if found is not None:
                request.place = place
                yield partial(_serve_found, request, directory, found, place)


def _serve_found(request: Request, directory: StaticDirectory, found: Any, place: Place) -> None:
    if place.client_cert is None or admits(request, place.client_cert):
        directory.serve(request, found)


def _may_learn(request: Request, path: bytes, directories: Directories) -> bool:
    """Whether a client may learn that there is no file, or none for its method; otherwise it is answered.

    What the nearest folder wants for its files, it wants for that, too.
    """
    for point, _, place in directories:
        if _below(point, path):
            if place.client_cert is None:
                return True
            request.place = place
            return admits(request, place.client_cert)
    return True


def _serve_file(request: Request, path: bytes, directories: Directories) -> bool:
    for serve in _found_files(request, path, directories):
        serve()
        return True
    return False


def _answer_options(request: Request, path: bytes, directories: Directories) -> bool:
    for point, directory, place in directories:
        if _below(point, path) and directory.find(below_point(point, request.path)) is not None:
            request.place = place
            directory.serve_options(request)
            return True
    return False


def _fall_back(request: Request, path: bytes, mounts: Mounts, length: int) -> bool:
    """Serve the fallback of the nearest folder, if its mount point has more than ``length`` characters."""
    for point, directory, place in mounts.fallbacks_at:
        if len(point) > length and _below(point, path):
            found = directory.find_fallback(request)
            if found is not None:
                request.place = place
                _serve_found(request, directory, found, place)
                return True
    return False


def _ask_at_head(request: Request, point: bytes, resource: Any) -> bool:
    if type(resource) is WSGIResource:  # as in _render()
        return resource.at_head(request)
    if not IHeadResource.providedBy(resource):
        return False
    _split_path(request, point)
    return bool(resource.at_head(request))


def _split_path(request: Request, point: bytes) -> None:
    """Set ``prepath`` and ``postpath``, by which Twisted resources find their children."""
    segments = [unquote_to_bytes(segment) for segment in request.path.split(b"/")[1:]]
    depth = point.count(b"/")
    request.prepath, request.postpath = segments[:depth], segments[depth:]


def _render(request: Request, point: bytes, resource: Any) -> bool:
    if type(resource) is WSGIResource:  # the common case, which does not need the path in segments
        resource.render(request)
        return True
    _split_path(request, point)
    leaf = getChildForRequest(resource, request)  # type: ignore[no-untyped-call]
    try:
        body = leaf.render(request)
    except UnsupportedMethod as error:
        allowed = b", ".join(error.allowedMethods).decode("latin-1")
        request.fail(405, ("Allow", allowed))
        return True
    if body is not NOT_DONE_YET:
        if body or request.method != b"HEAD":
            request.responseHeaders.setRawHeaders(b"content-length", [b"%d" % len(body)])
        request.write(body)
        request.finish()
    return True
