"""Carriers for development: mail goes to a folder or to the terminal, and no further."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from skitai.daemon.mail.dialogue import Letter, unreachable
from skitai.mail.state import RecipientOutcome

#: What ``smtpserver`` begins with where it names no server.
FILE, CONSOLE = "file:", "console:"
_TAKEN = 250


class _Sink:
    """What all sinks share: nothing is to be opened, and nothing takes long."""

    deadline: float | None = None
    is_open = True

    def open(self, is_ending: Callable[[], bool]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


class FolderSink(_Sink):
    """Each mail becomes ``ID.eml`` in a folder, which is there as a whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def deliver(self, letter: Letter) -> list[RecipientOutcome]:
        """Write the mail as it would be sent, under its envelope in two fields of the header."""
        path = self._folder / f"{letter.id}.eml"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._folder, prefix=".", suffix=".tmp", delete=False) as file:
                file.write(_with_envelope(letter))
            os.replace(file.name, path)
        except OSError as error:
            raise unreachable(error) from None
        return [RecipientOutcome(one, "sent", _TAKEN, f"OK {path}") for one in letter.recipients]


class ConsoleSink(_Sink):
    """Each mail is printed."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream

    def deliver(self, letter: Letter) -> list[RecipientOutcome]:
        """Print the mail; what the terminal has no character for is escaped."""
        stream = self._stream or sys.stdout
        text = _with_envelope(letter).decode("utf-8", "backslashreplace").replace("\r\n", "\n")
        known = getattr(stream, "encoding", None) or "utf-8"
        text = text.rstrip().encode(known, "backslashreplace").decode(known)
        print(f"{text}\n{'-' * 72}", file=stream, flush=True)
        return [RecipientOutcome(one, "sent", _TAKEN, "OK") for one in letter.recipients]


def _with_envelope(letter: Letter) -> bytes:
    said = f"X-Envelope-From: <{letter.sender}>\nX-Envelope-To: {', '.join(letter.recipients)}\n"
    return said.encode("utf-8", "backslashreplace") + letter.data
