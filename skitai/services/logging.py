"""``was.log`` and ``was.traceback``: one line each in the log of the apps."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from twisted.logger import Logger

from skitai.errors import words_of
from skitai.formats.loglines import one_line, stamp
from skitai.loop.native import Lock
from skitai.plugins import hookimpl
from skitai.processes.files import begin_anew

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_server_log = Logger()


class AppLog:
    """Writes lines such as ``2016.03.03 03:37:41 [info] called index`` to ``stream``.

    ``clock`` returns seconds since the epoch; lines show local time. The methods may be called in any thread.
    A stream that fails does not raise: its line goes to the server's log.
    """

    def __init__(
        self, stream: TextIO | LogFile | StandardError, clock: Callable[[], float] = time.time
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = Lock()

    def log(self, msg: object, category: str = "info") -> None:
        """Write ``msg`` as one line, with its control characters escaped."""
        line = one_line(f"{stamp(self._clock())} [{category}] {msg}")
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, the stream is closed
            _server_log.error("Cannot write to the app log ({error}): {line}", error=error, line=line)

    def traceback(self, identifier: str = "") -> None:
        """Write the exception being handled as one line, its frames outermost first.

        ``identifier`` helps to find the line again. If no exception is being handled, the line says so.
        """
        error = sys.exception()
        if error is None:
            self.log("no exception is being handled", _category(identifier))
        else:
            self.exception(error, identifier)

    def exception(self, error: BaseException, identifier: str = "") -> None:
        """Write ``error`` as ``traceback`` does, whether it is being handled or not."""
        frames = (
            f"[{frame.f_code.co_filename}|{frame.f_code.co_name}|{line}]"
            for frame, line in traceback.walk_tb(error.__traceback__)
        )
        self.log(" ".join([str(type(error)), words_of(error), *frames]), _category(identifier))


class LogFile:
    """Appends lines to the file at ``path``, which the first one opens, so that a mere check leaves no file.

    Raises OSError where the file cannot be written to, ValueError after ``close``.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._closed = False

    def write(self, text: str) -> None:
        """Append ``text`` in one piece."""
        if self._closed:
            raise ValueError("the log is closed")
        if self._file is None:
            # Unbuffered: workers share the file, and a line that is written at once does not mix with others.
            self._file = open(self._path, "ab", buffering=0)  # noqa: SIM115 - closed in close()
        self._file.write(text.encode("utf-8", "backslashreplace"))

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away. Raises OSError."""
        if self._file is not None and not self._closed:
            begin_anew(self._file.fileno(), self._path)

    def close(self) -> None:
        """Close the file for good."""
        self._closed = True
        if self._file is not None:
            self._file.close()


class StandardError:
    """Writes to ``sys.stderr`` as it is at that moment: an app or a test may have replaced it."""

    def write(self, text: str) -> None:
        """Write ``text``, at once."""
        if sys.stderr is not None:  # None in a process that was started without one
            sys.stderr.write(text)
            sys.stderr.flush()

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


class InstanceLog:
    """The log of the apps of one instance, at ``path`` or, for ``-``, on standard error."""

    def __init__(self, path: str) -> None:
        #: None on standard error.
        self.file = None if path == "-" else LogFile(path)
        self.app_log = AppLog(self.file or StandardError())


def _log_of(instance: IInstance) -> InstanceLog:
    path = str(instance.config.server.app_log)
    log: InstanceLog = instance.state(InstanceLog, partial(InstanceLog, path))
    return log


@hookimpl
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.log`` and ``was.traceback``, which write to ``[server] app_log`` (``-``: standard error)."""
    app_log = _log_of(instance).app_log
    return {"log": lambda _was: app_log.log, "traceback": lambda _was: app_log.traceback}


@hookimpl
def skitai_app_failed(instance: IInstance, error: BaseException, doing: str) -> None:
    """Write what an app did not catch; without a file, the server's log puts it on standard error already."""
    log = _log_of(instance)
    if log.file is not None:
        log.app_log.exception(error, doing)


@hookimpl
def skitai_reopen_logs(instance: IInstance) -> None:
    """Go on in a new file."""
    log = _log_of(instance)
    if log.file is not None:
        log.file.reopen()


@hookimpl(trylast=True)
def skitai_shutdown(instance: IInstance) -> None:
    """Close the instance's file, after all other plugins have shut down."""
    log = _log_of(instance)
    if log.file is not None:
        log.file.close()


def _category(identifier: str) -> str:
    return f"expt:{identifier}" if identifier else "expt"
