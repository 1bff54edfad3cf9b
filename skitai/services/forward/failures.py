"""Why the forward proxy has no reply or no tunnel for a client: a page that names the limit and its key."""

from __future__ import annotations

from skitai.errors import CODE_BUSY, CODE_DNS, CODE_SHUTDOWN, CODE_TIMEOUT


def page_of(error: BaseException) -> str:
    """Return the sentence for the client."""
    limit = getattr(error, "limit", "")
    code = getattr(error, "code", None)
    if limit:
        said = f"the destination took longer than {limit} in [http] allows"
    elif code == CODE_TIMEOUT:
        said = "the destination took longer to be connected than connect_timeout in [http] allows"
    elif code == CODE_BUSY:
        said = (
            "too many requests wait for the destination (connections_per_host and waiting_per_host in [http])"
        )
    elif code == CODE_SHUTDOWN:
        said = "the server is shutting down"
    elif code == CODE_DNS:
        said = "the destination has no address"
    else:
        said = "the destination refused, broke off or answered wrongly"
    return f"The forward proxy has no reply: {said}. The server's log says more."
