"""The stores of an app: sessions, messages and tokens, in cookies that only the app can read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import cache

from skitai.saddle.visitor.mbox import MessageBoxes
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Sessions


class VisitorStores:
    """The sessions and messages of one app, and the box that seals them. Used in any thread.

    ``securekey`` is the app's key, or several. Without one there are no sessions, and messages and tokens
    last until the process ends. ``warn`` takes one line for each cookie that is refused.
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
        #: None without a key that outlives the process, as a session must.
        self.sessions = Sessions(self.box, session_timeout, warn=warn) if securekey else None


@cache
def process_key() -> bytes:
    """Return a key that only this process knows."""
    return secrets.token_bytes(32)
