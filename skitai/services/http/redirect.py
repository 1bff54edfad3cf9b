"""Where a redirect leads, and with what request it is followed (RFC 9110, section 15.4)."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from skitai.errors import OperationError
from skitai.http.references import resolve
from skitai.net.addresses import HTTPNode
from skitai.services.http.urls import split_url

if TYPE_CHECKING:
    from skitai.services.http.request import HTTPRequest
    from skitai.services.http.result import HTTPResult

_REDIRECTS = frozenset([301, 302, 303, 307, 308])
#: What the names of credentials have in them: only the origin may see these that they were meant for.
_SECRET = re.compile(
    r"authoriz|authentic|cookie|token|secret|passw|credential|session|signature|jwt|csrf|xsrf|api-?key"
    r"|bearer|passphrase|(?:^|[-_])(?:auth|keys?|pass|passcode|pwd|otp|pin|sid)(?:[-_]|$)"
)
#: Those that look like it and are none. The client itself sets the first kind, for websockets.
_NO_SECRET = re.compile(r"sec-.*|idempotency-key")
_ABOUT_THE_BODY = frozenset(
    ["content-encoding", "content-language", "content-length", "content-type", "transfer-encoding"]
)
_SHOWN = 200


class RedirectError(OperationError):
    """A redirect that cannot be followed."""


def next_hop(node: HTTPNode, request: HTTPRequest, result: HTTPResult) -> tuple[HTTPNode, HTTPRequest] | None:
    """Return the node and the request that ``result`` redirects to, or None if it is no redirect.

    Raises ``RedirectError`` for a wrong Location, from https to http unless the request has ``downgrade``,
    and if a body must be sent again that cannot be.
    """
    location = result.get_header("location")
    if result.code not in _REDIRECTS or location is None:
        return None
    try:
        next_node, target = split_url(resolve(result.url, _cleaned(location)))
    except ValueError as error:
        raise RedirectError(f"a redirect that leads nowhere: {str(error)[:_SHOWN]}", node=node) from error
    request = attrs.evolve(_method_changed(request, result.code), target=target)
    if not request.repeatable:
        raise RedirectError(f"a redirect ({result.code}) of a body that cannot be sent again", node=node)
    if (next_node.tls, next_node.host, next_node.port) == (node.tls, node.host, node.port):
        return node, request  # the same node object, with the TLS profile of its cluster
    if node.tls and not next_node.tls and not request.downgrade:
        text = "a redirect from https to http, where everybody could read it: downgrade=True follows it"
        raise RedirectError(text, node=node)
    next_node = attrs.evolve(next_node, public=request.public)
    return next_node, attrs.evolve(request.without_fields(_is_secret), credentials=None, host=None)


def _method_changed(request: HTTPRequest, code: int) -> HTTPRequest:
    """Return the request with the method that follows: GET after a 303, and after a 301 or 302 to a POST."""
    becomes_get = (code == 303 and request.method != "HEAD") or (
        code in (301, 302) and request.method == "POST"
    )
    if not becomes_get:
        return request
    fewer = request.without_fields(_ABOUT_THE_BODY.__contains__)
    return attrs.evolve(fewer, method="GET", body=b"", stream=None)


def _is_secret(name: str) -> bool:
    """Whether a field of this lower-case name may be what the first origin knows its client by."""
    return _SECRET.search(name) is not None and _NO_SECRET.fullmatch(name) is None


def _cleaned(location: str) -> str:
    """Return a Location as browsers read it: as UTF-8 if it is, and with its spaces encoded."""
    with suppress(UnicodeDecodeError):
        location = location.encode("latin-1").decode("utf-8")
    return location.replace(" ", "%20")
