"""``was.mbox``: messages to a visitor, shown by this page or by the next ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from skitai.formats.jsontext import as_json
from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.seal import SecureBox, require_json

COOKIE: Final = "NOTIS"
"""The name to hide from ``was.cookie``."""

_PURPOSE: Final = f"the messages {COOKIE}"
_log: Final = logging.getLogger("skitai.saddle")


class Message(NamedTuple):
    """One message: ``created`` is in seconds since 1970, ``valid`` in seconds (0: until it is shown once)."""

    id: int
    category: str
    created: int
    valid: float
    msg: Any
    extra: dict[str, Any]


class MessageBox:
    """The messages for one visitor, oldest first. Made by ``MessageBoxes.load``; for one thread at a time.

    ``received`` tells whether a cookie of this app's brought them, or held what is worth nothing any more.
    """

    def __init__(
        self, messages: Iterable[Message], seconds: Callable[[], float], *, received: bool = False
    ) -> None:
        self._messages = {message.id: message for message in messages}
        self._last_id = max(self._messages, default=0)
        self._seconds = seconds
        self.received = received
        self.changed = False

    def send(self, msg: Any, category: str = "info", valid: float = 0, **extra: Any) -> int:
        """Leave a message and return its id.

        ``valid`` is how many seconds it is shown; with 0 it is shown once, whenever that is. ``msg`` and
        ``extra`` are JSON values. Raises TypeError for others, ValueError for a negative ``valid``.
        """
        if not isinstance(category, str):
            raise TypeError(f"a message's category is text, not {type(category).__name__}")
        if isinstance(valid, bool) or not isinstance(valid, int | float) or not valid >= 0:
            raise ValueError(f"valid is {valid!r}: give the seconds that the message is shown, or 0 for once")
        require_json("valid", valid)
        require_json("the message", msg)
        require_json("what goes with the message", extra)
        self._last_id += 1
        created = int(self._seconds())
        self._messages[self._last_id] = Message(self._last_id, category, created, valid, msg, extra)
        self.changed = True
        return self._last_id

    def get(self, *categories: str) -> list[Message]:
        """Return the messages of these categories (of all without any), and forget those to be shown once."""
        self._forget_expired()
        found = [each for each in self._messages.values() if not categories or each.category in categories]
        for message in found:
            if not message.valid:
                self.remove(message.id)
        return found

    def remove(self, message_id: int) -> None:
        """Forget a message; nothing happens where it is not there."""
        if self._messages.pop(message_id, None) is not None:
            self.changed = True

    def kept(self) -> list[Message]:
        """Return what is left for the next request, without forgetting anything."""
        self._forget_expired()
        return list(self._messages.values())

    def __repr__(self) -> str:
        return f"<MessageBox with {len(self._messages)} messages>"

    def _forget_expired(self) -> None:
        now = self._seconds()
        for message in list(self._messages.values()):
            if message.valid and now >= message.created + message.valid:
                self.remove(message.id)


class MessageBoxes:
    """Reads message boxes from cookies and writes them back: one for an app, in any thread.

    A cookie bounds what can wait for the next request, so the newest messages that fit are kept, and
    ``warn`` takes one line when others are lost: an answer is not spoiled for a message too many. It also
    takes one line for each cookie that is refused; such a box starts empty.
    """

    def __init__(
        self,
        box: SecureBox,
        *,
        seconds: Callable[[], float] = time.time,
        warn: Callable[[str], None] = _log.warning,
    ) -> None:
        self._box = box
        self._seconds = seconds
        self._warn = warn

    def load(self, cookie_value: str | None) -> MessageBox:
        """Return the messages that a cookie holds."""
        if not cookie_value:
            return MessageBox((), self._seconds)
        opened = self._box.look(_PURPOSE, cookie_value, self._seconds())
        # Removed later only if it is this app's: another one may keep its messages under the same name.
        messages = MessageBox(
            (Message(*each) for each in opened.value or ()), self._seconds, received=opened.genuine
        )
        if opened.reason:
            self._warn(f"the cookie {COOKIE} holds no messages: {opened.reason}")
            messages.changed = True
        return messages

    def save(self, messages: MessageBox) -> str | None:
        """Return the cookie to set, "" where it is to be removed, None to leave it alone."""
        kept = messages.kept()
        if not messages.changed:
            return None
        fitting = _newest_that_fit(kept, self._box.capacity())
        if len(fitting) < len(kept):
            self._warn(f"{len(kept) - len(fitting)} messages are lost: a cookie cannot hold more")
        if not fitting:
            return "" if messages.received else None
        return self._box.seal(_PURPOSE, fitting, expires=None, now=self._seconds())

    def store(self, messages: MessageBox, cookies: Cookies) -> None:
        """Set or remove the cookie where the messages changed."""
        value = self.save(messages)
        if value is not None:
            cookies.write_hidden(COOKIE, value, "never")


def _newest_that_fit(messages: list[Message], capacity: int) -> list[Message]:
    room = capacity - len("[]")
    fitting: list[Message] = []
    for message in reversed(messages):
        needed = len(as_json(message)) + len(",")
        if needed <= room:
            fitting.insert(0, message)
            room -= needed
    return fitting
