"""Opens connections with TLS one after the other: a handshake, one request, the end.

Run as ``python -m benchmarks.tls_client``. It reads lines ``PORT COUNT new|resumed``, and prints for each how
many of its connections resumed a session, when they are over.
"""

from __future__ import annotations

import socket
import ssl
import sys
from contextlib import suppress

from benchmarks.measure import REQUEST, read_answer
from benchmarks.process import unverified


class Client:
    """A client of the server at ``port``, which has connected once, so that it has a session to resume."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = unverified()
        self._session = self._connect(None)

    def connect(self, count: int, resumes: bool) -> int:
        """Open ``count`` connections and return how many resumed a session."""
        before = self._hits()
        for _ in range(count):
            self._session = self._connect(self._session if resumes else None)
        return self._hits() - before

    def _hits(self) -> int:
        return int(self._context.session_stats()["hits"])

    def _connect(self, session: ssl.SSLSession | None) -> ssl.SSLSession | None:
        """Ask once, say goodbye, and return the session that a later connection may resume."""
        plain = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        with self._context.wrap_socket(plain, session=session) as client:
            client.sendall(REQUEST)
            read_answer(client)
            found = client.session
            client.settimeout(0)
            with suppress(OSError):  # there is no goodbye yet, or the server has gone first
                client.unwrap()
            return found


def main() -> None:
    """Do what each line says."""
    clients: dict[int, Client] = {}
    for line in sys.stdin:
        port, count, kind = line.split()
        client = clients.get(int(port)) or clients.setdefault(int(port), Client(int(port)))
        print(client.connect(int(count), kind == "resumed"), flush=True)


if __name__ == "__main__":
    main()
