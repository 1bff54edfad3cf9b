"""Opens connections with TLS one after the other: a handshake, one request, the end.

Run as ``python -m benchmarks.tls_client PORT COUNT new|resumed``; prints how many sessions were resumed.
"""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import suppress

from benchmarks.measure import REQUEST, read_answer
from benchmarks.process import unverified


def connect(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
    """Ask once, say goodbye, and return the session that a later connection may resume."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with context.wrap_socket(plain, session=session) as client:
        client.sendall(REQUEST)
        read_answer(client)
        found = client.session
        client.settimeout(0)
        with suppress(OSError):  # there is no goodbye yet, or the server has gone first
            client.unwrap()
        return found


def main(port: int, count: int, resumes: bool) -> int:
    """Open ``count`` connections and return how many could resume a session."""
    context = unverified()
    session = connect(port, context, None)
    for _ in range(count):
        session = connect(port, context, session if resumes else None)
    return int(context.session_stats()["hits"])


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "resumed"))
