"""Static files: those in a mounted directory, and nothing outside it."""

from __future__ import annotations

import io
import os
import re
import stat
from errno import ELOOP, ENOENT, ENOTDIR, ENXIO
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from attrs import frozen
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.http.fields import weighted_list
from skitai.http.paths import PERCENT
from skitai.http.ranges import FileAnswer, answer, refusal
from skitai.interfaces import IHeadResource
from skitai.net.exhaustion import no_descriptor
from skitai.server.request.request import Request
from skitai.server.static.options import FolderOptions, MaxAges
from skitai.server.static.sending import send, sent_shortly
from skitai.server.static.wholes import Fields, Wholes, fields_of, representation_of

if TYPE_CHECKING:
    from pathlib import Path

_log = Logger()

INDEX_NAMES = (b"index.htm", b"index.html")

_ALLOWED = b"GET, HEAD, OPTIONS"

# Not allowed in a decoded path: an empty segment, one that begins with a dot (``.``, ``..``, ``.git``), a
# backslash, a NUL. The exception is ``.well-known``, which is public (RFC 8615).
_FORBIDDEN = re.compile(rb"//|/\.(?!well-known(?:/|\Z))|[\\\0]")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# Not escaped in a redirect: the characters of paths and queries (RFC 3986), and escapes as they came.
_URL_SAFE = "/?%:@!$&'()*+,;=~"

# O_PATH, if the system has it, also opens directories that may be entered but not listed.
_OPEN_DIRECTORY = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# If a fifo or a terminal has replaced the file since it was found, opening it has no effect.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@frozen
class FoundFile:
    """A regular file below the root: its path there without symbolic links, and the name that it goes by."""

    segments: tuple[bytes, ...]
    name: bytes


@frozen
class Redirect:
    """The path names a directory with an index, but lacks the slash at its end: ``name``, without escapes."""

    name: bytes


@implementer(IHeadResource)
class StaticDirectory(Resource):
    """The files below ``root``, as a leaf resource. Clients may cache them for ``max_age`` seconds.

    ``options`` are those of the mount line, in the place of ``max_age``. The root may be a symbolic link. It
    is followed on each request, so that it can be switched to a new release. Files are read in the reactor
    thread, because only the disk can delay that. All methods are called in the reactor thread.
    """

    isLeaf = True

    def __init__(self, root: Path, max_age: int = 0, options: FolderOptions | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._root = os.fsencode(os.path.abspath(root))
        self._options = options or FolderOptions(MaxAges(max_age))
        #: Whether OPTIONS is answered here, also where an app has the same path.
        self.has_cors = bool(self._options.cors)
        #: Whether a file is served for paths that name none.
        self.has_fallback = self._options.fallback is not None
        self._wholes = Wholes(self._options)

    def find(self, path: bytes) -> FoundFile | Redirect | None:
        """Return the file that ``path`` names, or None.

        ``path`` is the percent-encoded path after the mount point, without the query. It is empty or begins
        with a slash; the empty one and ``b"/"`` name the index of the root. The result is None for anything
        but a regular file, and for paths that clients may not name: those that lead out of the root, that
        have a hidden segment, or that are not UTF-8. A path that names nothing costs one system call, or two
        if it ends with a slash.
        """
        name = _decoded(path)
        if name is None:
            return None
        if not name or name.endswith(b"/"):
            return self._index(name or b"/")
        mode = self._mode(name)
        if stat.S_ISREG(mode):
            return self._contained(name)
        if stat.S_ISDIR(mode) and self._index(name + b"/"):
            return Redirect(name)
        return None

    def find_fallback(self, request: Any) -> FoundFile | None:
        """Return the file that a GET or HEAD ``request`` gets which names none, or None.

        That is for the addresses of an app that runs in the browser. So a path with a dot in its last segment
        only counts if the request is for a page: a script that is missing must not be found as HTML.
        """
        return self.fallback_file() if self.has_fallback and _wants_page(request) else None

    def fallback_file(self) -> FoundFile | None:
        """Return the file that is served for paths that name none; None if it is not there."""
        name = (self._options.fallback or "").encode()
        return self._contained(name) if stat.S_ISREG(self._mode(name)) else None

    def serve_options(self, request: Any) -> None:
        """Answer an OPTIONS ``request`` (an ``IRequest``) for a file (RFC 9110, section 9.3.7)."""
        get = request.requestHeaders.getRawHeaders
        asks = get(b"access-control-request-method") is not None
        names = b", ".join(get(b"access-control-request-headers", []))
        fields = self._options.preflight_fields(get(b"origin", [None])[0], asks, names)
        self._send(request, FileAnswer(HTTPStatus.NO_CONTENT, {b"Allow": _ALLOWED}), None, fields)

    def serve(self, request: Any, found: FoundFile | Redirect) -> None:
        """Answer a GET or HEAD ``request`` (an ``IRequest``) with what ``find`` has returned.

        A file without permission to read is answered with 403, and not left to the app, so that its owner
        sees the mistake. A file that is gone by now is 404, and too many open files are 503.
        """
        if isinstance(found, Redirect):
            cache_control = self._options.max_ages.cache_control(found.name)
            headers = {b"Location": _with_slash(request), b"Cache-Control": cache_control}
            self._send(request, refusal(HTTPStatus.MOVED_PERMANENTLY, headers), None)
            return
        try:
            file, status = _open_beneath(self._root, found.segments)
        except OSError as error:
            self._send(request, refusal(self._code_of(error, found), {}), None)
            return
        # A site of Twisted's own may have requests of another class.
        if not self.has_cors and type(request) is Request:
            whole = self._wholes.of(found.name, status, file)
            if sent_shortly(request, file, whole, self._wholes):
                return
        representation = representation_of(found.name, status, file, self._options)
        self._send(request, answer(request.method, request.requestHeaders, representation), file)

    def _code_of(self, error: OSError, found: FoundFile) -> HTTPStatus:
        """Return the status code for a file that cannot be opened, and log why it is not 404."""
        if error.errno in (ENOENT, ENOTDIR, ELOOP, ENXIO):
            return HTTPStatus.NOT_FOUND
        path = os.fsdecode(b"/".join((self._root, *found.segments)))
        _log.warn(
            "cannot serve {path}: {why}", path=path, why=no_descriptor(error.errno) or error.strerror or error
        )
        return HTTPStatus.FORBIDDEN if isinstance(error, PermissionError) else HTTPStatus.SERVICE_UNAVAILABLE

    def at_head(self, request: Any) -> bool:
        """Answer ``request`` at once: files need no body."""
        self.render(request)
        return True

    def render(self, request: Any) -> int:
        """Find the file that ``request`` (an ``IRequest``) names, and serve it."""
        if request.method not in (b"GET", b"HEAD", b"OPTIONS"):
            self._send(request, refusal(HTTPStatus.METHOD_NOT_ALLOWED, {b"Allow": _ALLOWED}), None)
        elif found := self.find(_below_mount(request)) or self.find_fallback(request):
            if request.method == b"OPTIONS":
                self.serve_options(request)
            else:
                self.serve(request, found)
        else:
            self._send(request, refusal(HTTPStatus.NOT_FOUND, {}), None)
        return NOT_DONE_YET

    def _send(
        self,
        request: Any,
        answer: FileAnswer,
        file: io.FileIO | None,
        fields: Fields | None = None,
    ) -> None:
        """Send ``answer`` with the ``fields`` of the mount, by default those for its status."""
        if fields is None:
            origin = request.requestHeaders.getRawHeaders(b"origin", [None])[0] if self.has_cors else None
            fields = self._options.fields(answer.code, origin)
        send(request, answer, fields_of(answer, fields), file)

    def _index(self, directory: bytes) -> FoundFile | None:
        """Return the index of a directory, whose name ends with a slash, or None."""
        for name in INDEX_NAMES:
            if stat.S_ISREG(self._mode(directory + name)):
                return self._contained(directory + name)
        return None

    def _mode(self, name: bytes) -> int:
        """Return the ``st_mode`` of the file ``name``, or 0 if it cannot be examined."""
        try:
            return os.stat(self._root + name).st_mode
        except OSError:
            return 0

    def _contained(self, name: bytes) -> FoundFile | None:
        """Return the existing file ``name``, or None if a symbolic link leads out of the root."""
        segments = name[1:].split(b"/")
        prefix = self._root
        for segment in segments:
            prefix = prefix + b"/" + segment
            if os.path.islink(prefix):
                break
        else:
            return FoundFile(tuple(segments), name)
        root, target = os.path.realpath(self._root), os.path.realpath(self._root + name)
        if os.path.commonpath([root, target]) != root:
            return None
        # The target's path may have hidden segments: Kubernetes lays out its volumes like that.
        return FoundFile(tuple(os.path.relpath(target, root).split(b"/")), name)


def _open_beneath(root: bytes, segments: tuple[bytes, ...]) -> tuple[io.FileIO, os.stat_result]:
    """Open a regular file without following a link below ``root``, so that no race leads out of it.

    Raises OSError, which is FileNotFoundError if the file is no longer a regular one.
    """
    directory = os.open(root, _OPEN_DIRECTORY)
    try:
        for segment in segments[:-1]:
            child = os.open(segment, _OPEN_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = child
        descriptor = os.open(segments[-1], _OPEN_FILE, dir_fd=directory)
    finally:
        os.close(directory)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), os.fsdecode(b"/".join((root, *segments))))
    return io.FileIO(descriptor), status


def _decoded(path: bytes) -> bytes | None:
    """Return ``path`` percent-decoded, or None if clients may not name it."""
    name = path
    if PERCENT in path:
        name = unquote_to_bytes(path)
        if _BROKEN_ESCAPE.search(path) or name.count(b"/") != path.count(b"/"):
            return None
    if name[:1] not in (b"", b"/") or _FORBIDDEN.search(name):
        return None
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return name


def _wants_page(request: Any) -> bool:
    """Return whether ``request`` is for a page: it asks for HTML, or for anything at a path without a dot."""
    fields = request.requestHeaders.getRawHeaders(b"accept")
    accepted = {name for name, weight in weighted_list(b",".join(fields or ()).decode("latin-1")) if weight}
    if "text/html" in accepted:
        return True
    return (not fields or "*/*" in accepted) and b"." not in request.path.rpartition(b"/")[2]


def _below_mount(request: Any) -> bytes:
    """Return the part of the path below the resource, still percent-encoded."""
    segments = request.path.split(b"/")[1 + len(request.prepath) :]
    return b"".join(b"/" + segment for segment in segments)


def _with_slash(request: Any) -> bytes:
    """Return the request's path with a slash at its end, and its query, as a reference to this host."""
    # Two slashes in front would make the next segment a host name.
    path = quote(request.path.strip(b"/"), safe=_URL_SAFE)
    _, mark, query = request.uri.partition(b"?")
    return f"/{path}/{mark.decode()}{quote(query, safe=_URL_SAFE)}".encode("ascii")
