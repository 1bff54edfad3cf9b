"""One request of a client on its way to its destination, and the reply on its way back."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from skitai.errors import CODE_BAD_REPLY, OperationError
from skitai.services.forward.failures import page_of
from skitai.services.proxy.exchange import Exchange
from skitai.services.proxy.forwarding import PSEUDONYM

if TYPE_CHECKING:
    from skitai.services.http.result import HTTPResult


class Fetch(Exchange):
    """An exchange with the one destination that the client has named. Called in the reactor thread."""

    __slots__ = ()

    def begin(self, reply: HTTPResult) -> None:
        """Begin the response, unless the destination pretends to be this proxy."""
        if reply.code == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            self._fail(OperationError("it asks for the password of a proxy", code=CODE_BAD_REPLY))
            return
        reply.headers = [*reply.headers, ("Via", f"{reply.version} {PSEUDONYM}")]
        super().begin(reply)

    def _page(self, error: BaseException) -> str:
        return page_of(error)

    def _keys(self, error: BaseException) -> str:  # noqa: ARG002 - of Exchange
        """Return nothing: the page names them."""
        return ""
