"""A port without TLS that leads to HTTPS."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from skitai.http.hosts import split_authority
from skitai.server.request.refusallog import RefusalLog
from skitai.server.site import NO_SITE, NO_SUCH_HOST, Mounts, Site
from skitai.server.static.directory import StaticDirectory

if TYPE_CHECKING:
    from skitai.server.request.request import Request

#: Where authorities look for what proves that a name is ours (RFC 8555, section 8.3).
_CHALLENGES = b"/.well-known/acme-challenge/"
_HTTP_PORT, _HTTPS_PORT = 80, 443
_READING = (b"GET", b"HEAD")


class Redirecting:
    """Redirects what comes to ``port`` without encryption to HTTPS, and leaves the rest to ``site``.

    Challenges of authorities are answered on ``port`` itself: from ``webroot``, or by the site if that is
    None. So is ``/ping``. A host that the site does not know gets 421. All methods are called in the reactor
    thread; they are those of ``Site``.
    """

    def __init__(self, site: Site, port: int, webroot: Path | None) -> None:
        self._site = site
        self._port = port
        self._refusals = RefusalLog(monotonic)
        #: The port with TLS, once it is known.
        self.https_port = _HTTPS_PORT
        self._challenges = (
            site if webroot is None else Site(Mounts([(b"", StaticDirectory(webroot, max_age=0))], []))
        )

    def handle(self, request: Request) -> None:
        """Answer ``request``, now or later."""
        site = self._site_for(request)
        if site is None:
            self._redirect(request)
        else:
            site.handle(request)

    def judge(self, request: Request) -> bool:
        """Return whether ``request`` is taken care of, though only its head has arrived."""
        site = self._site_for(request)
        if site is None:
            self._redirect(request)
            return True
        if request.method == b"CONNECT" and self._is_here(request.connection):
            return False  # the port is not for that
        return site.judge(request)

    def _site_for(self, request: Request) -> Site | None:
        if not self._is_here(request.connection):
            return self._site
        path = request.path
        if path.startswith(_CHALLENGES):
            return self._challenges
        return None if path.startswith(b"/") and path != b"/ping" else self._site

    def _is_here(self, connection: Any) -> bool:
        """Whether a connection came to the port, and not encrypted up to a trusted proxy."""
        return not connection.secure and getattr(connection.transport.getHost(), "port", None) == self._port

    def _redirect(self, request: Request) -> None:
        host, port = split_authority(request.authority, _HTTP_PORT)
        if not host:
            self._refusals.tell(request, 400, "it names no host, so it cannot be led to HTTPS")
            request.fail(400)
            return
        if not self._site.knows(request.authority):
            self._refusals.tell(request, 421, NO_SUCH_HOST)
            request.fail(421, detail=NO_SITE)
            return
        # Whoever came by another port than ours came through something that maps ports.
        to = self.https_port if port == self._port else _HTTPS_PORT
        where = host if to == _HTTPS_PORT else b"%b:%d" % (host, to)
        query = b"?" + request.query if request.query else b""
        location = (b"https://" + where + request.path + query).decode("latin-1")
        # 301 is known to all clients, but lets them change POST to GET (RFC 9110, section 15.4.2).
        status = "301 Moved Permanently" if request.method in _READING else "308 Permanent Redirect"
        fields = [("Location", location), ("Content-Type", "text/plain; charset=utf-8")]
        request.respond(status, fields, b"Please use HTTPS.\n")
