"""Where a redirect leads, and with what request it is followed (RFC 9110, section 15.4)."""

from __future__ import annotations

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
#: Fields that only the origin may see that they were meant for.
_SECRETS = frozenset(["authorization", "cookie", "proxy-authorization"])
_ABOUT_THE_BODY = frozenset(
    ["content-encoding", "content-language", "content-length", "content-type", "transfer-encoding"]
)
_SHOWN = 200


class RedirectError(OperationError):
    """A redirect that cannot be followed."""


def next_hop(node: HTTPNode, request: HTTPRequest, result: HTTPResult) -> tuple[HTTPNode, HTTPRequest] | None:
    """Return the node and the request that ``result`` redirects to, or None if it is no redirect.

    Raises ``RedirectError`` for a wrong Location, and if a body must be sent again that cannot be.
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
    return next_node, attrs.evolve(request.without_fields(_SECRETS), credentials=None, host=None)


def _method_changed(request: HTTPRequest, code: int) -> HTTPRequest:
    """Return the request with the method that follows: GET after a 303, and after a 301 or 302 to a POST."""
    becomes_get = (code == 303 and request.method != "HEAD") or (
        code in (301, 302) and request.method == "POST"
    )
    if not becomes_get:
        return request
    return attrs.evolve(request.without_fields(_ABOUT_THE_BODY), method="GET", body=b"", stream=None)


def _cleaned(location: str) -> str:
    """Return a Location as browsers read it: as UTF-8 if it is, and with its spaces encoded."""
    with suppress(UnicodeDecodeError):
        location = location.encode("latin-1").decode("utf-8")
    return location.replace(" ", "%20")
