"""What stands in the spool, for people and for the start of the agent: read without any lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import attrs

from skitai.mail.claim import read_envelope, read_state
from skitai.mail.envelope import Envelope
from skitai.mail.files import REASON, read
from skitai.mail.state import RecipientOutcome, State, state_from


@attrs.frozen
class Entry:
    """A mail in the folder ``place``: ``spool`` (waiting), ``undeliver`` or ``bad``.

    ``envelope`` is None, and ``state`` that of a new mail, where they cannot be read. ``reason`` says why it
    does not wait any more, or why it cannot be read.
    """

    id: str
    place: str
    envelope: Envelope | None
    state: State
    reason: str = ""

    @property
    def created(self) -> float | None:
        """When the app sent it, in seconds since the epoch."""
        return self.envelope.created if self.envelope else None

    @property
    def sender(self) -> str:
        """The address of the sender."""
        return self.envelope.sender if self.envelope else ""

    @property
    def recipients(self) -> tuple[str, ...]:
        """The addresses of all recipients."""
        return self.envelope.recipients if self.envelope else ()

    @property
    def subject(self) -> str:
        """The subject."""
        return self.envelope.subject if self.envelope else ""

    @property
    def pending(self) -> tuple[str, ...]:
        """The recipients that have neither got the mail nor been refused."""
        return self.state.pending(self.recipients)

    @property
    def tries(self) -> int:
        """How many tries were recorded."""
        return self.state.tries

    @property
    def next_at(self) -> float | None:
        """When the next try is due, in seconds since the epoch; None: now."""
        return self.state.next_at

    @property
    def last(self) -> RecipientOutcome | None:
        """The last thing that a server said about one who has not got the mail."""
        said = [outcome for outcome in self.state.outcomes.values() if outcome.verdict != "sent"]
        return said[-1] if said else None


def read_entry(mail_id: str, folder: Path) -> Entry | None:
    """Return what is known of the mail; None if it is gone. Raises OSError."""
    reason = _reason(mail_id, folder)
    try:
        envelope = read_envelope(mail_id, folder)
        return Entry(mail_id, folder.name, envelope, state_from(read_state(mail_id, folder)), reason)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return Entry(mail_id, folder.name, None, State(), reason or str(error))


def read_entries(mail_ids: list[str], folder: Path) -> Iterator[Entry]:
    """Yield what is known of the mails that are still there."""
    for mail_id in mail_ids:
        entry = read_entry(mail_id, folder)
        if entry is not None:
            yield entry


def _reason(mail_id: str, folder: Path) -> str:
    try:
        return read(folder / f"{mail_id}{REASON}").decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return ""
