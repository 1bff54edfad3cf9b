"""Heads of replies in old forms: folded fields, and lines that end in LF.

llhttp refuses both. So a head that it refuses is written anew and parsed once more (RFC 9112, sections 2.2
and 5.2). No other head takes this way.
"""

from __future__ import annotations

import re

_OLD_FORM = re.compile(rb"\n[ \t]|(?<!\r)\n")
_SPACE = b" \t"
_BEGINNING = b"HTTP/"


def has_old_form(data: bytes) -> bool:
    """Return whether ``data``, which may end anywhere in a head, has a folded field or a bare LF.

    What begins otherwise is no head: nobody waits for its end.
    """
    return data.startswith(_BEGINNING) and _OLD_FORM.search(data) is not None


class OldHead:
    """Collects the head of a reply, and interim ones before it, and writes it in today's form."""

    def __init__(self, received: bytes) -> None:
        self._data = bytearray(received)
        self._looked_at = 0
        self._lines: list[bytes] = []
        #: Where the present head begins among the lines.
        self._begin = 0
        self._is_complete = False

    def add(self, data: bytes) -> bytes:
        """Take the next bytes of the connection; return all of them, rewritten, once the head is complete.

        Until then, return nothing; from then on, ``data`` itself. All calls together take linear time.
        """
        if self._is_complete:
            return data
        self._data += data
        while (end := self._data.find(b"\n", self._looked_at)) >= 0:
            line = bytes(self._data[self._looked_at : end]).removesuffix(b"\r")
            self._looked_at = end + 1
            if line[:1] in (b" ", b"\t") and len(self._lines) > self._begin + 1:
                self._lines[-1] = self._lines[-1].rstrip(_SPACE)
                self._lines.append(b" " + line.strip(_SPACE))
            elif line:
                self._lines.append(b"\r\n" + line if len(self._lines) > self._begin else line)
            else:
                self._lines.append(b"\r\n\r\n")
                if not self._is_interim():
                    self._is_complete = True
                    return b"".join(self._lines) + bytes(self._data[self._looked_at :])
                self._begin = len(self._lines)
        return b""

    def _is_interim(self) -> bool:
        status = self._lines[self._begin].split(b" ", 2)[1:2]
        return status != [] and status[0][:1] == b"1" and status[0] != b"101"
