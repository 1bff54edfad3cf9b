"""Why the proxy has no reply for a client: the status, and a page that names the limit and its key."""

from __future__ import annotations

from OpenSSL.SSL import Error as TLSError

from skitai.errors import CODE_BUSY, CODE_DNS, CODE_SHUTDOWN, CODE_TIMEOUT, OperationError
from skitai.net.client_tls import Fault, PeerCertificateError
from skitai.net.failures import NoDescriptorError, NoProxyError, speaks_no_tls

#: The code where a cluster has no members: names that DNS does not know at present.
CODE_NOBODY = 709
#: What is no fault of the member that was asked.
NOT_THE_MEMBERS = frozenset((CODE_BUSY, CODE_NOBODY, CODE_SHUTDOWN))
#: The keys that help where a member's certificate is refused: no authority helps against expiry.
_CERTIFICATE_KEYS = {
    Fault.UNTRUSTED: "ca or verify",
    Fault.OF_ANOTHER: "members or verify",
    Fault.USELESS: "verify",
}


def status_of(error: BaseException) -> int:
    """Return 504 if a member was too slow, 503 if none could be asked, and 502 for all others."""
    if not isinstance(error, OperationError):
        return 502
    if error.code == CODE_TIMEOUT:
        return 504
    return 503 if error.code in NOT_THE_MEMBERS else 502


def keys_of(cluster: str, error: BaseException) -> str:
    """Return the keys of the config that decide on what went wrong, and where they stand."""
    code = getattr(error, "code", None)
    if isinstance(error, NoDescriptorError):
        return "LimitNOFILE=, ulimit -n"
    limit = getattr(error, "limit", "") or ("connect_timeout" if code == CODE_TIMEOUT else "")
    if limit:
        return f"{limit} in [http] or [@{cluster}]"
    if code == CODE_BUSY:
        return "connections_per_host and waiting_per_host in [http]"
    if isinstance(error, NoProxyError):
        return "proxy in [http]"
    refused = error.__cause__
    if isinstance(refused, PeerCertificateError):
        return f"{_CERTIFICATE_KEYS[refused.fault]} in [@{cluster}]"
    if isinstance(refused, TLSError) and speaks_no_tls(refused):
        return f"ssl or members in [@{cluster}]"
    return f"members in [@{cluster}]"


def page_detail(label: str, cluster: str, error: BaseException) -> str:
    """Return the sentence for the client: it names the proxy and its limits, and no other machine."""
    keys = keys_of(cluster, error)
    code = getattr(error, "code", None)
    if isinstance(error, NoDescriptorError):
        said = f"this server can open no more connections ({keys})"
    elif hasattr(error, "limit"):
        said = f"its member took longer than {keys} allows"
    elif code == CODE_TIMEOUT:
        said = f"its members took longer to be connected than {keys} allows"
    elif code == CODE_BUSY:
        said = f"too many requests wait for its members ({keys})"
    elif code == CODE_NOBODY:
        said = f"there are no members at present ({keys})"
    elif isinstance(error, NoProxyError):
        said = f"the proxy before its members cannot be reached ({keys})"
    elif code == CODE_DNS:
        said = f"its members have no address ({keys})"
    elif isinstance(error.__cause__, PeerCertificateError):
        said = f"the certificate of its member is refused ({keys})"
    else:
        said = f"its member refused, broke off or answered wrongly ({keys})"
    return f"{label[:1].upper()}{label[1:]} has no reply: {said}. The server's log says more."
