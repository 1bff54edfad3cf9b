"""Counts the records of TLS that bring a server nothing: a client could keep it busy with them."""

from __future__ import annotations

from time import monotonic

#: Bytes before each record: kind, version and length (RFC 8446, section 5.1).
_HEADER = 5
#: Records without data: how many at once, and how many are forgiven in a second.
_BURST, _RATE = 100, 10


class Records:
    """Follows what one client sends, encrypted as it is.

    OpenSSL changes the keys as often as a client wants (section 4.6.3), thousands of times in one read, while
    everybody else waits. Honest clients do that once in gigabytes, and a handshake takes some four records.
    """

    __slots__ = ("_forgiven", "_head", "_left", "_useless")

    def __init__(self) -> None:
        #: The beginning of a header, and the bytes that are still to come of a record whose header was whole.
        self._head = b""
        self._left = 0
        self._useless = 0
        self._forgiven = monotonic()

    def are_too_many(self, encrypted: bytes, with_data: int) -> bool:
        """Return whether too many records had no data; ``with_data`` of those that ``encrypted`` ends had."""
        if self._head:
            encrypted, self._head = self._head + encrypted, b""
        position, end = self._left, len(encrypted)
        useless = self._useless - with_data
        while position + _HEADER <= end:
            position += _HEADER + (encrypted[position + 3] << 8 | encrypted[position + 4])
            useless += 1
        if position < end:
            self._head, self._left = encrypted[position:], 0
        else:
            self._left = position - end
        self._useless = useless
        return useless > _BURST and not self._forgive(monotonic())

    def _forgive(self, now: float) -> bool:
        """Return whether there are few enough, in view of the time since there last were too many."""
        self._useless -= min(self._useless, int((now - self._forgiven) * _RATE))
        self._forgiven = now
        return self._useless <= _BURST
