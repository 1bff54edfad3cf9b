"""Certificates of a server with workers, and of one of one process, are read anew on SIGHUP."""

import signal
import socket
import ssl

import pytest

from certificates import Identity
from serving import eventually
from supervised import OneProcess, Supervised
from wire import PATIENCE

ROOT = Identity(authority=True)


class Client:
    """Opens connections to the server, and keeps the session of the last."""

    def __init__(self, server):
        self._port = server.port
        self._context = ssl.create_default_context(cadata=ROOT.pem.decode())
        self._session = None

    def ask(self):
        """Return the serial number of the certificate, whether the session was resumed, and who answered."""
        with (
            socket.create_connection(("127.0.0.1", self._port), PATIENCE) as plain,
            self._context.wrap_socket(plain, server_hostname="a.org", session=self._session) as secure,
        ):
            secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            pid = secure.makefile("rb").read().rpartition(b"\r\n\r\n")[2]
            self._session = secure.session
            return int(secure.getpeercert()["serialNumber"], 16), secure.session_reused, pid


def put(folder):
    identity = Identity("a.org", issuer=ROOT, days=60)
    (folder / "a.pem").write_bytes(identity.pem + identity.key_pem())
    return identity.certificate.serial_number


@pytest.mark.parametrize(("kind", "workers"), [(OneProcess, 1), (Supervised, 2)], ids=["one", "workers"])
def test_reloaded(served, tmp_path, kind, workers):
    """SIGHUP brings a new certificate; a broken one keeps that of before. All workers resume sessions."""
    first = put(tmp_path)
    server = served(f"port = 0\nprocesses = {workers}\nssl = yes\ncertfile = a.pem", kind=kind)
    client = Client(server)
    assert client.ask()[0] == first
    answers = []
    eventually(lambda: answers.append(client.ask()) or len({pid for *_, pid in answers}) == workers)
    assert all(resumed for _, resumed, _ in answers)

    (tmp_path / "a.pem").write_text("x")
    server.signal(signal.SIGHUP)
    server.said("a.pem holds no certificate in PEM form")
    assert client.ask()[0] == first

    second = put(tmp_path)
    server.reload()
    eventually(lambda: client.ask()[0] == second)
