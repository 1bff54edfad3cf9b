"""Mounts that want the certificate of their client: ``client_cert=require`` and ``client_cert=request``."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.request.request import Request

#: The value of the option with which a request without a certificate is refused.
REQUIRE = "require"

_PLAIN = "This address needs a client certificate, which only HTTPS can carry: open it with https://."
_NONE = (
    "This address needs a client certificate, and none was sent. Install one that this server accepts, and"
    " open the address again in a new window: a client is asked once for each connection."
)
_EXPIRED = "The client certificate that was sent for this address has expired meanwhile: renew it."


def admits(request: Request, wanted: str) -> bool:
    """Return whether ``request`` may go to a mount whose option is ``wanted``; otherwise it is answered.

    The app finds what the certificate says in the environ. It comes from the handshake of this connection
    alone: that of a proxy's client is not known. Called in the reactor thread.
    """
    from skitai.net.client_certificates import NO_CERTIFICATE  # OpenSSL only where it is needed

    transport = request.connection.transport
    found = getattr(transport, "client_certificate", None)
    expired = found is not None and found.has_expired(time())  # a session may be older
    if found is not None and not expired:
        request.client_variables = found.variables
        return True
    request.client_variables = NO_CERTIFICATE
    if wanted != REQUIRE:
        return True
    reason = _EXPIRED if expired else _NONE if hasattr(transport, "client_certificate") else _PLAIN
    request.fail(403, detail=reason)
    return False
