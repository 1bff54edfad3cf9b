"""An HTTP client that sends literal bytes and reports what came back, framing included."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field

#: Seconds. Generous: only a server that hangs ever waits as long.
PATIENCE = 60


@dataclass
class Response:
    """One response; ``complete`` is False where the connection ended before the framing said so."""

    status: str
    fields: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True
    pieces: list[bytes] = field(default_factory=list)

    @property
    def code(self) -> int:
        return int(self.status.split()[0])

    def all(self, name: str) -> list[str]:
        """Return the values of all fields of that name."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str | None:
        """Return the value of the one field of that name, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{name} came {len(values)} times: {values}"
        return values[0] if values else None


class Client:
    """One connection to ``address``: a port on the loopback interface, or the path of a Unix socket."""

    def __init__(self, address: int | str, *, receive_buffer: int | None = None) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address if isinstance(address, str) else ("127.0.0.1", address))
        except OSError:
            self.socket.close()
            raise
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target="/", method="GET", fields=(), body=b"", host="localhost") -> Response:
        """Send one request and return its response; a body goes with its Content-Length."""
        lines = [
            f"{method} {target} HTTP/1.1",
            f"Host: {host}",
            *(f"{name}: {text}" for name, text in fields),
        ]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        return self.response(method)

    def read_head(self) -> Response:
        """Read status and fields; the body is left unread."""
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), f"not a status line: {line!r}"
        assert line.endswith(b"\r\n")
        fields = []
        while (field_line := self._file.readline()) not in (b"\r\n", b""):
            name, colon, text = field_line.decode("latin-1").partition(":")
            assert colon, f"not a field: {field_line!r}"
            fields.append((name, text.strip()))
        return Response(line[9:].decode("latin-1").strip(), fields)

    def response(self, method: str = "GET") -> Response:
        """Read one response, by its own framing."""
        response = self.read_head()
        if response.code == 100:
            return self.response(method)
        if method == "HEAD" or response.code in (101, 204, 304):
            return response
        if response["Transfer-Encoding"] == "chunked":
            self._read_chunks(response)
        elif response["Content-Length"] is not None:
            length = int(response["Content-Length"])
            response.body = self.read(length)
            response.complete = len(response.body) == length
        else:
            response.body = self.read()
        return response

    def _read_chunks(self, response: Response) -> None:
        while (piece := self.read_chunk()) is not None and piece:
            response.pieces.append(piece)
        response.complete = piece == b""
        response.body = b"".join(response.pieces)

    def read_chunk(self) -> bytes | None:
        """Return the next chunk; empty for the last one, None where the connection was cut."""
        try:
            size = self._file.readline()
        except ConnectionResetError:
            return None
        if not size.endswith(b"\r\n"):
            return None
        length = int(size, 16)
        data = self.read(length + 2)
        if len(data) < length + 2:
            return None
        assert data.endswith(b"\r\n"), f"no end of a chunk: {data[-20:]!r}"
        return data[:-2]

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes, or fewer where the connection ended; all until its end for -1."""
        data = bytearray()
        try:
            while size < 0 or len(data) < size:
                more = self._file.read1(65536 if size < 0 else size - len(data))
                if not more:
                    break
                data += more
        except ConnectionResetError:
            pass
        return bytes(data)

    def at_end(self) -> bool:
        """Whether the server closed the connection, with nothing more to read; waits for either."""
        return self.read(1) == b""


def ask(address: int | str, target="/", method="GET", fields=(), body=b"", host="localhost") -> Response:
    """Send one request on a connection of its own and return the response."""
    with Client(address) as client:
        return client.ask(target, method, fields, body, host)
