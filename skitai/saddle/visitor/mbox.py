"""``was.mbox``: messages to a visitor, for this page or the next ones."""

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
    """The messages for one visitor, oldest first. Made by ``MessageBoxes.load``, for one thread at a time.

    ``received`` tells whether the request had a cookie of this app, valid or no longer.
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

        It is shown for ``valid`` seconds, or once if that is 0. ``msg`` and ``extra`` are JSON values. Raises
        TypeError for others, and ValueError for a negative ``valid``.
        """
        if not isinstance(category, str):
            raise TypeError(f"a message's category must be text, not {type(category).__name__}")
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
        """Return the messages of these categories, or all; those to be shown once are then removed."""
        self._forget_expired()
        found = [each for each in self._messages.values() if not categories or each.category in categories]
        for message in found:
            if not message.valid:
                self.remove(message.id)
        return found

    def remove(self, message_id: int) -> None:
        """Remove a message, if it is there."""
        if self._messages.pop(message_id, None) is not None:
            self.changed = True

    def kept(self) -> list[Message]:
        """Return the messages that are left for the next request."""
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

    A cookie is small. If there are too many messages, the newest ones that fit are kept, and ``warn`` takes a
    line about the others: the response does not fail for them. ``warn`` also takes a line for each cookie
    that is refused; the box is then empty.
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
        # Another app may have a cookie of this name: only our own is ever removed.
        messages = MessageBox(
            (Message(*each) for each in opened.value or ()), self._seconds, received=opened.genuine
        )
        if opened.reason:
            self._warn(f"the cookie {COOKIE} holds no messages: {opened.reason}")
            messages.changed = True
        return messages

    def save(self, messages: MessageBox) -> str | None:
        """Return the cookie to set, "" to remove it, or None to leave it alone."""
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
        """Set or remove the cookie if the messages have changed."""
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
