"""What a request's head must be (RFC 9110, RFC 9112), beyond what llhttp has checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from skitai.server.limits import Limits
    from skitai.server.request import Request

# RFC 9110, section 7.2: uri-host [":" port]; an empty one is allowed where the target has no authority.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
_OWS_PER_FIELD = len(b": \r\n")
_KNOWN_VERSIONS = frozenset({"1.0", "1.1"})


class HeadError(SkitaiError):
    """A request that is refused for its head (or the length of its body) with the status ``code``."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"refused with {code}")


def examine(request: Request, limits: Limits) -> None:
    """Check the head of ``request`` and note what the channel needs to know of it.

    Sets the request's ``host``, ``path``, ``query``, ``body_max`` (0: it has no body) and
    ``expects_continue``. Raises HeadError. Called in the reactor thread.
    """
    if request.version not in _KNOWN_VERSIONS:
        raise HeadError(505)
    hosts = 0
    host = length = coding = content_type = expect = b""
    size = len(request.uri)
    for name, value in request.headers:
        size += len(name) + len(value) + _OWS_PER_FIELD
        if name == b"host":
            hosts += 1
            host = value
        elif name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            coding = value
        elif name == b"content-type":
            content_type = value
        elif name == b"expect":
            expect = value
    if size > limits.header_max:
        raise HeadError(431)
    _set_target(request, host, hosts)
    if coding or length:
        _set_body(request, length, coding, content_type, limits)
    if expect and request.version == "1.1":
        if expect.lower() != b"100-continue":
            raise HeadError(417)
        request.expects_continue = request.body_max > 0


def _set_target(request: Request, host: bytes, hosts: int) -> None:
    """RFC 9112, section 3.2."""
    if hosts > 1 or (hosts == 0 and request.version == "1.1"):
        raise HeadError(400)
    uri = request.uri
    if not uri.startswith(b"/"):
        if request.method == b"CONNECT":
            raise HeadError(405)
        absolute = _ABSOLUTE.fullmatch(uri)
        if absolute is not None:
            host, uri = absolute.group(1), absolute.group(2)
            if not host:
                raise HeadError(400)
            if not uri.startswith(b"/"):
                uri = b"/" + uri
        elif uri != b"*" or request.method != b"OPTIONS":
            raise HeadError(400)
    if b"#" in uri:
        raise HeadError(400)
    if host and _HOST.fullmatch(host) is None:
        raise HeadError(400)
    request.authority = host
    request.path, _, request.query = uri.partition(b"?")


def _set_body(request: Request, length: bytes, coding: bytes, content_type: bytes, limits: Limits) -> None:
    """RFC 9112, section 6.3; llhttp has refused both fields together and anything that is not a number."""
    if coding and request.version == "1.0":
        raise HeadError(400)
    multipart = content_type[:19].lower() == b"multipart/form-data"
    body_max = limits.multipart_max if multipart else limits.body_max
    # Longer than any limit, and too long for int() to be cheap.
    if len(length) > 18 or (length and int(length) > body_max):
        raise HeadError(413)
    if coding or int(length):
        request.body_max = body_max
