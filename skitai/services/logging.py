"""The log of the apps: ``was.log`` and ``was.traceback``, and what they tell Python's logging."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

from twisted.logger import Logger

from skitai.context import current_request_id
from skitai.errors import words_of
from skitai.formats.colours import coloured, wants_colours
from skitai.formats.loglines import about_request, moved_in, one_line, stamp, traceback_lines
from skitai.loop.native import Lock
from skitai.plugins import hookimpl
from skitai.processes.files import AppendedFile
from skitai.services.records import Records

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_server_log = Logger()


class AppLog:
    """Writes lines such as ``2016.03.03 03:37:41 [info] called index`` to ``stream``.

    ``clock`` returns seconds since the epoch; lines show local time. The methods may be called in any thread.
    A stream that fails does not raise: its line goes to the server's log.
    """

    def __init__(
        self, stream: TextIO | AppendedFile | StandardError, clock: Callable[[], float] = time.time
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = Lock()

    def log(self, msg: object, category: str = "info", *, request_id: str = "") -> None:
        """Write ``msg`` as one line, with its control characters escaped; ``request_id`` is at its end."""
        self._write(self._line(msg, category, request_id))

    def record(self, msg: str, category: str, trace: str = "", request_id: str = "") -> None:
        """Write ``msg``, whose first line is as those of ``log``, and a traceback as Python prints it."""
        first, *others = msg.split("\n")
        lines = [self._line(first, category, request_id), *map(moved_in, others)]
        if trace:
            lines += traceback_lines(trace)
        self._write("\n".join(lines))

    def _line(self, msg: object, category: str, request_id: str) -> str:
        return one_line(f"{stamp(self._clock())} [{category}] {msg}{about_request(request_id)}")

    def _write(self, line: str) -> None:
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, the stream is closed
            _server_log.error("Cannot write to the app log ({error}): {line}", error=error, line=line)

    def traceback(self, identifier: str = "", *, request_id: str = "") -> None:
        """Write the exception being handled as one line, its frames outermost first.

        ``identifier`` helps to find the line again. If no exception is being handled, the line says so.
        """
        error = sys.exception()
        if error is None:
            self.log("no exception is being handled", _category(identifier), request_id=request_id)
        else:
            self.exception(error, identifier, request_id=request_id)

    def exception(self, error: BaseException, identifier: str = "", *, request_id: str = "") -> None:
        """Write ``error`` as ``traceback`` does, whether it is being handled or not."""
        frames = (
            f"[{frame.f_code.co_filename}|{frame.f_code.co_name}|{line}]"
            for frame, line in traceback.walk_tb(error.__traceback__)
        )
        words = " ".join([str(type(error)), words_of(error), *frames])
        self.log(words, _category(identifier), request_id=request_id)


class StandardError:
    """Writes to ``sys.stderr`` as it is at that moment: an app or a test may have replaced it."""

    def write(self, text: str) -> None:
        """Write ``text``, at once."""
        if sys.stderr is not None:  # None in a process that was started without one
            sys.stderr.write(coloured(text) if wants_colours(sys.stderr) else text)
            sys.stderr.flush()

    def flush(self) -> None:
        """Do nothing: nothing is buffered."""


class InstanceLog:
    """The log of the apps of one instance, at ``path`` or, for ``-``, on standard error."""

    def __init__(self, path: str) -> None:
        #: None on standard error.
        self.file = None if path == "-" else AppendedFile(path)
        self.app_log = AppLog(self.file or StandardError())
        self.records = Records(self.app_log)


def _log_of(instance: IInstance) -> InstanceLog:
    path = str(instance.config.server.app_log)
    log: InstanceLog = instance.state(InstanceLog, partial(InstanceLog, path))
    return log


@hookimpl
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.log`` and ``was.traceback``, which write to ``[server] app_log`` (``-``: standard error)."""
    app_log = _log_of(instance).app_log
    return {
        "log": lambda was: partial(app_log.log, request_id=_id_of(was)),
        "traceback": lambda was: partial(app_log.traceback, request_id=_id_of(was)),
    }


def _id_of(was: Any) -> str:
    return getattr(was, "request_id", "")


@hookimpl(tryfirst=True)
def skitai_load_app(instance: IInstance) -> None:
    """Let the app that is about to be loaded configure Python's logging."""
    _log_of(instance).records.step_aside()


@hookimpl(trylast=True)
def skitai_app_loaded(instance: IInstance) -> None:
    """Take what the app says to Python's logging, unless it has configured that."""
    _log_of(instance).records.take_root()


@hookimpl
def skitai_app_failed(instance: IInstance, error: BaseException, doing: str) -> None:
    """Write what an app did not catch; without a file, the server's log puts it on standard error already."""
    log = _log_of(instance)
    log.records.take_root()  # it may have failed to load
    if log.file is not None:
        log.app_log.exception(error, doing, request_id=current_request_id())


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
    log.records.end()
    if log.file is not None:
        log.file.close()


def _category(identifier: str) -> str:
    return f"expt:{identifier}" if identifier else "expt"
