"""What an app's visitors keep for it: the seals of sessions, messages and tokens."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import cache

from skitai.saddle.visitor.mbox import MessageBoxes
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Sessions


class Keeping:
    """Made once for an app from its ``securekey`` (None: messages and tokens only, until the process ends).

    ``warn`` takes one line for each cookie that is refused.
    """

    def __init__(
        self,
        securekey: str | bytes | Sequence[str | bytes] | None,
        session_timeout: float,
        warn: Callable[[str], None],
    ) -> None:
        keys = [securekey] if isinstance(securekey, str | bytes) else list(securekey or [process_key()])
        self.box = SecureBox(keys)
        self.messages = MessageBoxes(self.box, warn=warn)
        #: None where no key outlives the process: a session must.
        self.sessions = Sessions(self.box, session_timeout, warn=warn) if securekey else None


@cache
def process_key() -> bytes:
    """Return a key that only this process knows."""
    return secrets.token_bytes(32)
