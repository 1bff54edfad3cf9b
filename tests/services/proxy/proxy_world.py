"""Members that speak literal bytes, and a proxy in front of them, all on loopback sockets."""

from __future__ import annotations

import re
import socket
from contextlib import suppress

from instances import RunningInstance, make_instance
from skitai.services.http import plugin as http_plugin
from wire import PATIENCE

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def shut_down(shut):
    """Have the threads come back that wait for the socket ``shut``."""
    with suppress(OSError):
        shut.shutdown(socket.SHUT_RDWR)


class Connection:
    """A member's end of a connection of the proxy."""

    def __init__(self, accepted):
        self.socket = accepted
        accepted.settimeout(PATIENCE)
        self.file = accepted.makefile("rb")

    def head(self):
        """Return the head of the next request; empty where the proxy has closed."""
        lines = []
        while (line := self.file.readline()) not in (b"\r\n", b""):
            lines.append(line)
        return b"".join(lines)

    def request(self):
        """Return the head and the body of the next request."""
        head = self.head()
        if b"transfer-encoding: chunked" in head.lower():
            return head, b"".join(iter(self.chunk, b""))
        length = _LENGTH.search(head)
        return head, self.file.read(int(length[1]) if length else 0)

    def chunk(self):
        """Return the next chunk; empty for the last one."""
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.readline() == b"\r\n"
        return data

    def send(self, data):
        self.socket.sendall(data)

    def answer(self, data=OK):
        """Read a request, send ``data``, and return the head and the body of the request."""
        asked = self.request()
        self.send(data)
        return asked

    def reset(self):
        """Close with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def rest(self):
        """Return what comes until the proxy closes."""
        data = b""
        try:
            while more := self.file.read1(65536):
                data += more
        except ConnectionResetError:
            pass
        return data

    def at_end(self):
        """Whether the proxy closes, with nothing more to read; waits for either."""
        return self.rest() == b""

    def close(self):
        self.file.close()
        self.socket.close()


class Member:
    """A listening socket: the test itself is the member."""

    def __init__(self, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.socket.settimeout(PATIENCE)
        self.port = self.socket.getsockname()[1]
        self.connections = []

    def accept(self):
        """Return the next connection."""
        connection = Connection(self.socket.accept()[0])
        self.connections.append(connection)
        return connection

    def nobody_waits(self):
        """Whether no further connection was made."""
        self.socket.setblocking(False)
        try:
            self.socket.accept()
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False

    def came(self):
        """Return what came over the connections that wait, until the proxy has closed them."""
        data = b""
        self.socket.setblocking(False)
        while True:
            try:
                accepted = self.socket.accept()[0]
            except BlockingIOError:
                break
            self.connections.append(Connection(accepted))
            data += self.connections[-1].rest()
        self.socket.settimeout(PATIENCE)
        return data

    def let_go(self):
        """Shut all down: what threads wait for cannot be closed."""
        shut_down(self.socket)
        for connection in self.connections:
            shut_down(connection.socket)

    def close(self):
        for connection in self.connections:
            connection.close()
        self.socket.close()


class Proxy(RunningInstance):
    """A server with routes to ``members`` as ``@up``; ``server``, ``http`` and ``up`` are lines of config."""

    def __init__(
        self, loop, folder, members, routes="/ = @up", server="access_log = off", http="", up="", plugins=()
    ):
        addresses = ", ".join(
            member if isinstance(member, str) else f"127.0.0.1:{member.port}" for member in members
        )
        config = folder / "proxy.conf"
        config.write_text(
            "[server]\nip = 127.0.0.1\nport = 0\n"
            f"{server}\n[http]\n{http}\n[routes:line]\n{routes}\n[@up]\nmembers = {addresses}\n{up}\n"
        )
        super().__init__(loop, make_instance(loop.reactor, config, http=http_plugin, **dict(plugins)))

    def counts(self):
        """Return the row of the status page."""
        return self.loop.call(self.instance._overview)["Reverse proxy"][0]
