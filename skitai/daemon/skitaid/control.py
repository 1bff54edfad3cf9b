"""How commands come to a running skitaid: by a Unix socket that only its user can open.

A command is one line of JSON, ``{"do": ..., "name": ...}``, and so is the answer.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

_LINE_MAX = 1 << 20
#: Seconds that a client may take to say what it wants: skitaid waits for it.
_PATIENCE = 1.0
#: Seconds that skitaid may take to answer.
_ANSWER_PATIENCE = 10.0


class NotRunningError(Exception):
    """Nobody takes commands at the socket."""


class Control:
    """Takes commands at ``path``; ``act(command)`` returns the answer. Called in the main thread."""

    def __init__(self, path: Path, act: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._path = path
        self._act = act
        path.unlink(missing_ok=True)  # of one that was killed: nobody else runs, as the caller made sure
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self._listening.bind(str(path))
        finally:
            os.umask(mask)
        self._listening.listen()
        self._listening.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that is readable when a command comes."""
        return self._listening.fileno()

    def serve(self) -> None:
        """Take one command, and answer it."""
        try:
            connection, _ = self._listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # who asked has left
            connection.settimeout(_PATIENCE)
            connection.sendall(_line(self._answer(_read_line(connection))))

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            command = json.loads(line)
        except ValueError:
            return {"error": "this is no command"}
        return self._act(command) if isinstance(command, dict) else {"error": "this is no command"}

    def close(self) -> None:
        """Take no more commands."""
        self._listening.close()
        self._path.unlink(missing_ok=True)


def ask(path: Path, do: str, name: str | None = None) -> dict[str, Any]:
    """Have the skitaid at ``path`` do something; return its answer. Raises NotRunningError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_PATIENCE)
        try:
            connection.connect(str(path))
            connection.sendall(_line({"do": do, "name": name}))
            answer: dict[str, Any] = json.loads(_read_line(connection))
        except PermissionError as error:
            raise NotRunningError(f"{path} belongs to another user") from error
        except (OSError, ValueError) as error:
            raise NotRunningError("skitaid is not running") from error
        return answer


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def _read_line(connection: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n") and len(data) < _LINE_MAX:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data
