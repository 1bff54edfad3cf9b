"""Why a connection could not be made, as an UnsentError with a message for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL.SSL import Error as TLSError
from twisted.internet import error

from skitai.errors import (
    CODE_BUSY,
    CODE_DNS,
    CODE_EXCEPTION,
    CODE_SOCKET_ERROR,
    CODE_TIMEOUT,
    TIMEOUT,
    UnsentError,
)
from skitai.net.addresses import HostNode
from skitai.net.client_tls import PeerCertificateError
from skitai.net.exhaustion import no_descriptor
from skitai.net.race import BarredError

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from skitai.net.addresses import UnixNode
    from skitai.net.proxies import Proxy


class NoDescriptorError(UnsentError):
    """There is no descriptor left for a connection: no other machine is to blame."""


class NoProxyError(UnsentError):
    """The proxy before a node cannot be reached: the node is not to blame."""


def connect_error(node: HostNode | UnixNode, reason: Failure) -> UnsentError:
    """Return the error for Twisted's ``reason`` why there is no connection to ``node``."""
    cause = reason.value
    kind: type[UnsentError] = UnsentError
    if isinstance(cause, UnsentError):
        return cause
    if isinstance(cause, error.DNSLookupError) and isinstance(node, HostNode):
        code, text = CODE_DNS, f"host {node.host!r} was not found"
    elif isinstance(cause, BarredError):
        code, text = CODE_SOCKET_ERROR, f"{node.label} is at no public address"
    elif isinstance(cause, error.TimeoutError):
        return connect_timeout(node)
    elif isinstance(cause, error.ConnectionRefusedError):
        code, text = CODE_EXCEPTION, f"{node.label} refused the connection"
    elif isinstance(cause, PeerCertificateError):
        code, text = CODE_EXCEPTION, f"the certificate of {node.label} {cause}"
    elif isinstance(cause, TLSError):
        said = "it speaks no TLS" if speaks_no_tls(cause) else tls_text(cause)
        code, text = CODE_EXCEPTION, f"TLS with {node.label} failed: {said}"
    elif exhausted := no_descriptor(getattr(cause, "osError", None) or getattr(cause, "errno", None)):
        kind, code, text = NoDescriptorError, CODE_BUSY, f"no connection to {node.label}: {exhausted}"
    else:
        code, text = CODE_SOCKET_ERROR, f"no connection to {node.label}: {reason.getErrorMessage()}"
    failure = kind(text, code=code, node=node)
    failure.__cause__ = cause
    return failure


def connect_timeout(node: HostNode | UnixNode, proxy: Proxy | None = None) -> UnsentError:
    """Return the error for a connection to ``node``, maybe through ``proxy``, that was not made in time."""
    through = f" through {proxy.label}" if proxy is not None else ""
    text = f"no connection to {node.label}{through} in time"
    return UnsentError(text, code=CODE_TIMEOUT, status=TIMEOUT, node=node)


def of_proxy(cause: UnsentError, node: HostNode | UnixNode) -> UnsentError:
    """Return the error for ``node`` whose proxy could not be reached because of ``cause``."""
    kind = NoDescriptorError if isinstance(cause, NoDescriptorError) else NoProxyError
    error = kind(
        f"{cause.message} (the proxy for {node.label})", code=cause.code, status=cause.status, node=node
    )
    error.__cause__ = cause.__cause__
    return error


def speaks_no_tls(failure: TLSError) -> bool:
    """Return whether the other side has answered the beginning of TLS with something else."""
    return tls_text(failure) in ("wrong version number", "packet length too long", "record layer failure")


def tls_text(failure: TLSError) -> str:
    """Return OpenSSL's reasons, which mostly come as a list of (library, function, reason)."""
    entries = failure.args[0] if failure.args else None
    return "; ".join(entry[-1] for entry in entries) if isinstance(entries, list) else str(failure)
