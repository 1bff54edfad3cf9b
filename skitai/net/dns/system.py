"""The system's own resolver, which may know mDNS, LDAP and more."""

from __future__ import annotations

import socket
from _socket import getaddrinfo  # that of ``socket`` may be gevent's, which is none for threads
from typing import Any

from twisted.internet.threads import deferToThreadPool


async def ask_system(reactor: Any, name: str) -> tuple[str, ...]:
    """Return the addresses that the system has for ``name``; none if it does not know it.

    Raises OSError if the system cannot look, for want of a descriptor for example, and RuntimeError if it has
    no thread. Twisted's resolver does the same, but never ends then. Called in the reactor thread.
    """
    try:
        found = await deferToThreadPool(
            reactor, reactor.getThreadPool(), getaddrinfo, name, 0, socket.AF_UNSPEC, socket.SOCK_STREAM
        )
    except socket.gaierror:
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
