"""Files that others change, and that several processes append to while they are moved away."""

from __future__ import annotations

import os


def state_of(path: str | os.PathLike[str]) -> object:
    """Return what differs when the file at ``path`` has changed; None if it is not there. Any thread."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def begin_anew(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Have what is written to ``descriptor`` from now on go to a new file at ``path``, or the one there now.

    Whoever holds the descriptor notices nothing. Raises OSError, and then nothing has changed. Called in any
    thread.
    """
    fresh = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.dup2(fresh, descriptor, inheritable=False)
    finally:
        os.close(fresh)


class AppendedFile:
    """Appends text to the file at ``path``: it stands for a text stream where one is only written to.

    Several processes may append to one file: each text is written in one piece, so that no line is torn
    (write(2) with O_APPEND). The first text opens the file, so that a mere check leaves none. All methods
    raise OSError where the file cannot be written to, and ``write`` raises ValueError after ``close``. They
    may be called in any thread, but ``write`` by one at a time.
    """

    encoding = "utf-8"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self._descriptor = -1
        self._is_torn = False
        self.closed = False

    def open(self) -> None:
        """Open the file before there is any text: to fail early, or while the process has the right to."""
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self.name, flags, 0o666)

    def fileno(self) -> int:
        """Return the descriptor of the file, which is open from now on."""
        self.open()
        return self._descriptor

    def write(self, text: str) -> int:
        """Append ``text``; return its length. What a full disk has cut off does not run into what follows."""
        if self.closed:
            raise ValueError("the log is closed")
        self.open()
        encoded = text.encode("utf-8", "backslashreplace")
        data = memoryview(b"\n" + encoded if self._is_torn else encoded)
        while data:  # a disk that fills up takes a part, and refuses the rest
            written = os.write(self._descriptor, data)
            data = data[written:]
            self._is_torn = bool(data)
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def isatty(self) -> bool:
        """Return whether the file is a terminal."""
        return self._descriptor >= 0 and os.isatty(self._descriptor)

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away."""
        if self._descriptor >= 0 and not self.closed:
            begin_anew(self._descriptor, self.name)
            self._is_torn = False

    def close(self) -> None:
        """Close the file for good."""
        self.closed = True
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
