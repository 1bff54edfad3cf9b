"""Websocket servers of the ``websockets`` package, each in a thread of its own."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http
import re
import socket
import ssl
import threading
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from certificates import Identity

LOOPBACK = Identity("127.0.0.1", authority=True)


def secured(folder):
    """Return the context of a server on the loopback, and the file with its certificate."""
    ca, key = folder / "ca.pem", folder / "key.pem"
    ca.write_bytes(LOOPBACK.pem)
    key.write_bytes(LOOPBACK.key_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca, key)
    return context, ca


class WebSocketServer:
    """Answers by path; ``requests`` are the handshakes, ``open`` the websockets.

    ``/echo``: each message comes back. ``/close?code&reason``: a message is answered with a close.
    ``/once``: the first message comes back, then a close (1001). ``/cut``: a message is answered by a lost
    connection. ``/silent``: never. ``/name``: with ``name``. ``/greet``: the server speaks first.
    ``/talk``: each message comes back twice, then ``bye`` ends. ``/status?404``: refused; ``/login``: with
    the user me and the password secret; ``/away?URL``: redirected. ``tls`` is a context of ``secured``.
    """

    def __init__(self, name="one", *, tls=None, **options):
        self.name = name
        self.requests = []
        self.open = set()
        self.messages = []
        self._server = serve(
            self._handle,
            "127.0.0.1",
            0,
            ssl=tls,
            process_request=self._look,
            select_subprotocol=lambda _, offered: "news" if "news" in offered else None,
            **options,
        )
        self._server.logger.disabled = True
        self.port = self._server.socket.getsockname()[1]
        self.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        for connection in list(self.open):
            connection.socket.close()

    def _look(self, connection, request):
        self.requests.append(request)
        where = urlsplit(request.path)
        if where.path == "/status":
            return connection.respond(http.HTTPStatus(int(where.query)), "the reason\n")
        if where.path == "/login":
            token = base64.b64encode(b"me:secret").decode()
            if request.headers.get("Authorization") != f"Basic {token}":
                response = connection.respond(http.HTTPStatus.UNAUTHORIZED, "who?\n")
                response.headers["WWW-Authenticate"] = 'Basic realm="r"'
                return response
        if where.path == "/away":
            response = connection.respond(http.HTTPStatus.FOUND, "there\n")
            response.headers["Location"] = where.query
            return response
        return None

    def _handle(self, connection):
        self.open.add(connection)
        try:
            self._converse(connection, urlsplit(connection.request.path))
        except ConnectionClosed:
            pass
        finally:
            self.open.discard(connection)

    def _converse(self, connection, where):
        if where.path == "/greet":
            connection.send("hello")
        for message in connection:
            self.messages.append(message)
            if where.path == "/close":
                code, reason = parse_qs(where.query)["code"][0], parse_qs(where.query).get("reason", [""])[0]
                connection.close(int(code), reason)
            elif where.path == "/cut":
                connection.socket.close()
                return
            elif where.path == "/name":
                connection.send(self.name)
            elif where.path == "/talk":
                if message == "bye":
                    return
                connection.send(message)
                connection.send(message)
            elif where.path != "/silent":
                connection.send(message)
            if where.path == "/once":
                connection.close(1001)


class RawServer:
    """Answers each handshake with the bytes ``reply(accept)``, and the first frame behind it with ``then``.

    ``accept`` is the value of Sec-WebSocket-Accept. After that it reads on until the client closes, and keeps
    what it has read in ``received``. It answers a close frame with the end of its half: clients wait for it.
    """

    def __init__(self, reply, then=b"", *, close=False):
        self.received = b""
        self.over = threading.Event()
        self._reply = reply
        self._then = then
        self._close = close
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/"

    def __enter__(self):
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client, contextlib.suppress(ConnectionError):
                    self._answer(client)
                self.over.set()

    def _answer(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(65536)
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
        client.sendall(self._reply(accept_value(key)))
        if self._close:
            return
        while data := client.recv(65536):
            if not self.received:
                client.sendall(self._then)
            self.received += data
            if _has_close(self.received):
                with contextlib.suppress(OSError):  # the client may have left meanwhile
                    client.shutdown(socket.SHUT_WR)


def _has_close(frames):
    """Return whether there is a close among short masked frames."""
    while len(frames) > 1 and frames[0] != 0x88:
        frames = frames[6 + (frames[1] & 127) :]
    return len(frames) > 1


def accept_value(key):
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def switching(accept, *fields, upgrade=b"websocket"):
    """Return the head of a reply that opens a websocket."""
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: " + upgrade]
    lines += [b"Sec-WebSocket-Accept: " + accept, *fields]
    return b"\r\n".join([*lines, b"", b""])
