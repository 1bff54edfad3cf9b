"""A mail that this process, and nobody else, deals with."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from skitai.mail.envelope import Envelope, envelope_from
from skitai.mail.files import (
    ENVELOPE,
    MESSAGE,
    STATE,
    create,
    move,
    name_path,
    open_plain,
    owner_to_be,
    read,
    remove,
    sync_folder,
    write_all,
)
from skitai.mail.state import RecipientOutcome, retry_line, state_from, try_lines


class Claim:
    """The lock on one mail, as long as it is not released; it dies with the process.

    Blocking file work: for threads, but one at a time. ``Spool.claim`` makes it. It is a context manager that
    releases at the end. Methods raise OSError, with the path.
    """

    def __init__(self, folder: Path, descriptor: int, envelope: Envelope, lines: bytes) -> None:
        """Raise ValueError if ``lines``, what the state says, is malformed."""
        self.envelope = envelope
        self._folder = folder
        self._descriptor: int | None = descriptor
        self._state = state_from(lines)
        self._lines = lines[: self._state.size]

    @property
    def id(self) -> str:
        """The id of the mail."""
        return self.envelope.id

    @property
    def tries(self) -> int:
        """How many tries were recorded."""
        return self._state.tries

    @property
    def next_at(self) -> float | None:
        """When the next try is due, in seconds since the epoch; None: now."""
        return self._state.next_at

    @property
    def outcomes(self) -> dict[str, RecipientOutcome]:
        """The last outcome of each recipient that has any, by address."""
        return dict(self._state.outcomes)

    @property
    def pending(self) -> tuple[str, ...]:
        """The recipients that have neither got the mail nor been refused.

        A crash between ``record`` and what follows it leaves a mail without any: do what follows.
        """
        return self._state.pending(self.envelope.recipients)

    def message(self) -> bytes:
        """Return the message as it was written."""
        return read(self._path(MESSAGE))

    def record(self, outcomes: Sequence[RecipientOutcome], next_at: float | None) -> None:
        """Keep what became of a try, and when the next is due; durable when this returns.

        If it raises (a full disk), nothing is recorded, and this may be called again.
        """
        self._append(try_lines(outcomes, next_at, time.time()))

    def make_due(self, *, refused: bool = False) -> None:
        """Make the next try due now; with ``refused``, anew for those who were refused, too."""
        self._append(retry_line(time.time(), refused=refused))

    def done(self) -> None:
        """Remove the mail.

        Durable when this returns, if something is pending; else, what is recorded keeps it from being sent
        again. So who has just sent it to all need not record that first.
        """
        remove(self._path(ENVELOPE))
        if self.pending:
            sync_folder(self._folder)
        # In this order: were there a message and no state, a power failure could bring the envelope back.
        remove(self._path(MESSAGE))
        remove(self._path(STATE))
        self.release()

    def give_up(self, reason: str) -> None:
        """Move the mail to ``undeliver/``, with ``reason`` beside it."""
        self._leave_for("undeliver", reason)

    def set_aside(self, reason: str) -> None:
        """Move the mail to ``bad/``, with ``reason`` beside it: it cannot be dealt with at all."""
        self._leave_for("bad", reason)

    def release(self) -> None:
        """Let go of the mail. A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _path(self, suffix: str) -> str:
        return f"{self._folder}/{self.id}{suffix}"

    def _leave_for(self, name: str, reason: str) -> None:
        move(self.id, self._folder, self._folder.parent / name, reason)
        self.release()

    def _append(self, lines: bytes) -> None:
        assert self._descriptor is not None, "the mail was released"
        path = self._path(STATE)
        size = len(self._lines)
        state = state_from(self._lines + lines)
        descriptor = self._open_state(path)
        try:
            os.ftruncate(descriptor, size)  # a torn line at the end would spoil the next
            os.lseek(descriptor, size, os.SEEK_SET)
            write_all(descriptor, lines)
            os.fsync(descriptor)
            if not size:
                sync_folder(self._folder)
        except OSError as error:
            name_path(error, path)
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)
        self._state, self._lines = state, self._lines + lines

    def _open_state(self, path: str) -> int:
        try:
            return open_plain(path, os.O_WRONLY)
        except FileNotFoundError:
            return create(path, b"", owner_to_be(self._folder))


def read_envelope(mail_id: str, folder: Path) -> Envelope:
    """Return the envelope of a mail; raises OSError and ValueError, with a sentence for people."""
    return envelope_of(mail_id, read(f"{folder}/{mail_id}{ENVELOPE}"))


def envelope_of(mail_id: str, data: bytes) -> Envelope:
    """Return the envelope of a mail from its text; raises ValueError, with a sentence for people."""
    envelope = envelope_from(data)
    if envelope.id != mail_id:
        raise ValueError(f"the envelope is that of the mail {envelope.id}")
    return envelope


def read_state(mail_id: str, folder: Path) -> bytes:
    """Return the lines of the state of a mail, none if it was not tried yet; raises OSError."""
    try:
        return read(f"{folder}/{mail_id}{STATE}")
    except FileNotFoundError:
        return b""
