"""The own log of a process that skitaid runs, or of skitaid: plain lines, rotated each day.

An agent uses it so::

    log = OwnLog(options.log, keep=keep)  # skitaid gives its agents --log FILE --keep N
    log.begin()                            # from here on, twisted.logger writes there
    ...
    log.look()                             # about once a second, in the thread of the agent
    log.reopen()                           # at SIGUSR1
"""

from __future__ import annotations

from pathlib import Path

from twisted.logger import globalLogBeginner

from skitai.daemon.logs import open_log, plain_observer, reopen
from skitai.processes.files import AppendedFile
from skitai.processes.rotation import RotatedLog, Rotation


class OwnLog:
    """The log ``name``: a file, or ``-`` for standard output, which is not rotated.

    The last ``keep`` files of former days are kept; with 0, the file is not rotated here. Raises OSError for
    a file that cannot be written. Used in one thread.
    """

    def __init__(self, name: str, *, keep: int) -> None:
        self.stream = open_log(name)
        logs = [RotatedLog(Path(name))] if keep and isinstance(self.stream, AppendedFile) else []
        self._rotation = Rotation(logs, keep=keep, reopen=self.reopen)

    def begin(self) -> None:
        """Have Twisted's log written here. What is of a former day is moved aside before."""
        self.look()
        globalLogBeginner.beginLoggingTo([plain_observer(self.stream)], redirectStandardIO=False)

    def look(self) -> None:
        """Rotate the log if its day is over; go on in a new file if others have moved it away."""
        self._rotation.look()

    def reopen(self) -> None:
        """Go on in a new file of the same name, after the old one was moved away."""
        reopen(self.stream)
