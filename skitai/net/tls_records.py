"""Counts the records of TLS that bring a server nothing: a client could keep it busy with them."""

from __future__ import annotations

from time import monotonic

#: Bytes before each record: kind, version and length (RFC 8446, section 5.1).
_HEADER = 5
#: Records without data: how many at once, and how many are forgiven in a second.
_BURST, _RATE = 100, 10
#: Bytes that come before they are looked at: those of a few dozen records, and few beside an idle connection.
LOOK_BYTES = 1024


class Records:
    """Follows what one client sends, encrypted as it is.

    OpenSSL changes the keys as often as a client wants (section 4.6.3), thousands of times in one read, while
    everybody else waits. Honest clients do that once in gigabytes, and a handshake takes some four records.
    """

    __slots__ = ("_forgiven", "_left", "_unread", "_useless")

    def __init__(self) -> None:
        #: What has come and was not looked at, and the bytes that are still to come of a record before it.
        self._unread = b""
        self._left = 0
        self._useless = 0
        self._forgiven = monotonic()

    def are_too_many(self, encrypted: bytes, with_data: int) -> bool:
        """Return whether too many records had no data; ``with_data`` of those that ``encrypted`` ends had."""
        self._useless -= with_data
        self._unread += encrypted
        return len(self._unread) >= LOOK_BYTES and self._count()

    def _count(self) -> bool:
        unread, position = self._unread, self._left
        end = len(unread)
        useless = self._useless
        while position + _HEADER <= end:
            position += _HEADER + (unread[position + 3] << 8 | unread[position + 4])
            useless += 1
        # The beginning of a header is looked at once more, with its rest.
        self._unread, self._left = (unread[position:], 0) if position < end else (b"", position - end)
        self._useless = useless
        return useless > _BURST and not self._forgive(monotonic())

    def _forgive(self, now: float) -> bool:
        """Return whether there are few enough, in view of the time since there last were too many."""
        self._useless -= min(self._useless, int((now - self._forgiven) * _RATE))
        self._forgiven = now
        return self._useless <= _BURST
