"""The addresses of a host name, for what makes its connections by itself, such as libpq."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from skitai.errors import CODE_DNS, CODE_SOCKET_ERROR, UnsentError
from skitai.net.race import interleaved

if TYPE_CHECKING:
    from twisted.python.failure import Failure


def resolve(resolver: Any, host: str) -> Deferred[list[str]]:
    """Ask ``resolver``, an ``IHostnameResolver``: fire with the addresses of ``host``, the best first.

    Fails with UnsentError (code 704) if there are none. Called in the reactor thread.
    """
    if isIPAddress(host) or isIPv6Address(host):
        return succeed([host])
    receiver = _Receiver(host)
    resolver.resolveHostName(receiver, host)
    return receiver.resolved


@implementer(IResolutionReceiver)
class _Receiver:
    """Collects addresses. Cancelling ``resolved`` ends the wait, not the search, which others may share."""

    def __init__(self, host: str) -> None:
        self.resolved: Deferred[list[str]] = Deferred()
        self._host = host
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:  # noqa: N803
        """Do nothing."""

    def addressResolved(self, address: IAddress) -> None:
        """Take one address."""
        self._found.append(address.host)  # type: ignore[attr-defined]  # it is one of IP

    def resolution_failed(self, reason: Failure) -> None:
        """Tell that the name could not be looked up."""
        if not self.resolved.called:
            text = f"host {self._host!r} cannot be looked up: {reason.getErrorMessage()}"
            self.resolved.errback(UnsentError(text, code=CODE_SOCKET_ERROR))

    def resolutionComplete(self) -> None:
        """Tell what was found."""
        if self.resolved.called:
            return
        if self._found:
            self.resolved.callback(list(interleaved(self._found)))
        else:
            self.resolved.errback(UnsentError(f"host {self._host!r} was not found", code=CODE_DNS))
