"""Which app, directory or resource answers a request: virtual hosts, then mounts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from twisted.python.failure import Failure
from twisted.web.resource import getChildForRequest
from twisted.web.server import NOT_DONE_YET

from skitai.server.static import StaticDirectory
from skitai.server.wsgi import WSGIResource

if TYPE_CHECKING:
    from skitai.server.request import Request

_TEXT = ("Content-Type", "text/plain; charset=utf-8")


def _longest_first(pairs: Sequence[tuple[bytes, Any]]) -> tuple[tuple[bytes, Any], ...]:
    return tuple(sorted(pairs, key=lambda pair: len(pair[0]), reverse=True))


@attrs.frozen
class Mounts:
    """What one virtual host serves: directories first, where they have the file, then resources.

    Both are pairs of mount point (``b""`` for the root, else such as ``b"/app"``) and what is mounted there.
    """

    directories: Sequence[tuple[bytes, StaticDirectory]] = attrs.field(converter=_longest_first)
    resources: Sequence[tuple[bytes, Any]] = attrs.field(converter=_longest_first)


def _below(point: bytes, path: bytes) -> bool:
    """Whether ``path`` is ``point`` or something under it: never half a segment."""
    return path.startswith(point) and path[len(point) : len(point) + 1] in (b"", b"/")


class Site:
    """Hands each request to what is mounted where it points.

    ``exact`` are virtual hosts by name, ``suffixes`` by domain (``example.org`` matches itself and
    everything under it), ``default`` is for all others. All methods are called in the reactor thread.
    """

    def __init__(
        self,
        default: Mounts | None,
        exact: Mapping[bytes, Mounts] | None = None,
        suffixes: Mapping[bytes, Mounts] | None = None,
    ) -> None:
        self._default = default
        self._exact = dict(exact or {})
        self._suffixes = dict(suffixes or {})
        self._has_hosts = bool(self._exact or self._suffixes)

    def handle(self, request: Request) -> None:
        """Answer ``request``, or start something that will."""
        try:
            self._dispatch(request)
        except Exception:  # noqa: BLE001 - a resource's defect is this request's 500
            request.processingFailed(Failure())  # type: ignore[no-untyped-call]

    def _dispatch(self, request: Request) -> None:
        path = request.path
        if path == b"/ping":  # before any virtual host: a health check knows no names
            request.respond("200 OK", [_TEXT], b"pong")
            return
        if path == b"*":
            request.respond(
                "204 No Content", [("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")], b""
            )
            return
        mounts = self._mounts_for(request.authority) if self._has_hosts else self._default
        if mounts is None:
            request.fail(503)
            return
        if mounts.directories and self._serve_file(request, mounts.directories):
            return
        for point, resource in mounts.resources:
            if _below(point, path):
                self._render(request, point, resource)
                return
        request.fail(404)

    def _mounts_for(self, authority: bytes) -> Mounts | None:
        """Exact name, then the longest domain it lies in, then the default."""
        host = authority.lower()
        if not host.startswith(b"["):
            host = host.partition(b":")[0].rstrip(b".")
        mounts = self._exact.get(host)
        domain = host
        while mounts is None and domain:
            mounts = self._suffixes.get(domain)
            domain = domain.partition(b".")[2]
        return mounts or self._default

    def _serve_file(self, request: Request, directories: Sequence[tuple[bytes, StaticDirectory]]) -> bool:
        if request.method not in (b"GET", b"HEAD"):
            return False
        for point, directory in directories:
            if _below(point, request.path):
                found = directory.find(request.path[len(point) :])
                if found is not None:
                    directory.serve(request, found)
                    return True
        return False

    def _render(self, request: Request, point: bytes, resource: Any) -> None:
        if type(resource) is WSGIResource:  # the common case, spared the splitting of the path
            resource.render(request)
            return
        request.prepath = point.split(b"/")[1:]
        request.postpath = request.path[len(point) :].split(b"/")[1:]
        leaf = getChildForRequest(resource, request)  # type: ignore[no-untyped-call]
        body = leaf.render(request)
        if body is not NOT_DONE_YET:
            request.write(body)
            request.finish()
