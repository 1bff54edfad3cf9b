"""Operations that take several requests, because of a login or of redirects."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from skitai.errors import OperationError
from skitai.services.http.auth import Logins, login_for
from skitai.services.http.filesource import BodyError
from skitai.services.http.redirect import RedirectError, next_hop
from skitai.services.http.result import HTTPResult

if TYPE_CHECKING:
    from skitai.net.addresses import HTTPNode
    from skitai.services.http.request import HTTPRequest

_Ask = Callable[["HTTPNode", "HTTPRequest"], Awaitable[HTTPResult]]


async def converse(ask: _Ask, logins: Logins, node: HTTPNode, request: HTTPRequest) -> HTTPResult:
    """Return the last reply, or a failed result if something went wrong that is not the fault of ``node``.

    ``ask`` sends one request; the ``OperationError`` that it raises for the first node is passed on.
    ``logins`` holds the logins that are known. Called in the reactor thread.
    """
    try:
        result = await _logged_in(ask, logins, node, request)
    except BodyError as error:
        return _failed(error, node, request)
    if not request.follow:
        return result
    # Node and request have done their part: a later error must not count against the first node, nor say that
    # nothing was sent. So it becomes a failed result.
    seen = {(request.method, node, request.target)}
    while True:
        try:
            hop = next_hop(node, request, result)
            if hop is None:
                return result
            if len(seen) > request.follow:
                raise RedirectError(f"more than {request.follow} redirects", node=node)
            node, request = hop
            if (step := (request.method, node, request.target)) in seen:
                raise RedirectError("redirects lead in a circle", node=node)
            seen.add(step)
            result = await _logged_in(ask, logins, node, request)
        except OperationError as error:
            return _failed(error, node, request)


async def _logged_in(ask: _Ask, logins: Logins, node: HTTPNode, request: HTTPRequest) -> HTTPResult:
    """Return the reply; if it is a challenge that can be answered, send the request again with the login."""
    credentials = request.credentials
    if credentials is None:
        return await ask(node, request)
    login, answered = logins.get(node, credentials), 0
    while True:
        signed = request
        if login is not None:
            signed = request.with_field("Authorization", login.header(request.method, request.target))
        result = await ask(node, signed)
        if result.code != 401:
            if answered and login is not None:
                logins.keep(node, credentials, login)
            return result
        logins.forget(node, credentials)
        renewed = login_for(credentials, result.headers)
        if renewed is None:
            result.msg += " (no login was sent: none of the challenges is Basic, or Digest with qop=auth)"
            return result
        if not request.repeatable:
            result.msg += " (no login was sent: the body, which has no length, cannot be sent a second time)"
            return result
        # Refused credentials are wrong, and another try would not help; unless only the nonce was stale.
        if answered and not (renewed.stale and answered == 1):
            return result
        login = renewed
        answered += 1


def _failed(error: OperationError, node: HTTPNode, request: HTTPRequest) -> HTTPResult:
    result = HTTPResult.failed(error, node)
    assert isinstance(result, HTTPResult)
    result.asked = request.target
    error.url = result.url
    return result
