"""``was.log`` and ``was.traceback``: one line each in the log of the apps."""

from __future__ import annotations

import io
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO
from weakref import WeakKeyDictionary

from twisted.logger import Logger

from skitai.errors import ConfigError
from skitai.plugins import hookimpl

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

#: Whatever ends a line somewhere or steers a terminal: a message must not forge a line of its own.
_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")

_server_log = Logger()


class AppLog:
    """Writes lines such as ``2016.03.03 03:37:41 [info] called index`` to a text stream.

    ``clock`` returns seconds since the epoch; lines show local time. The methods may be called in any
    thread, and never raise for what the stream does: a line that it refuses goes to the server's log.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._lock = Lock()

    def log(self, msg: object, category: str = "info") -> None:
        """Write ``msg`` as one line, with its control characters escaped."""
        moment = time.strftime("%Y.%m.%d %H:%M:%S", time.localtime(self._clock()))
        line = _CONTROLS.sub(_escaped, f"{moment} [{category}] {msg}")
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError) as error:  # the disk is full, the stream is closed
            _server_log.error("Cannot write to the app log ({error}): {line}", error=error, line=line)

    def traceback(self, identifier: str = "") -> None:
        """Write the exception being handled as one line, its frames outermost first.

        ``identifier`` is for finding the line again. Without an exception the line says so.
        """
        category = f"expt:{identifier}" if identifier else "expt"
        error = sys.exception()
        if error is None:
            self.log("no exception is being handled", category)
            return
        frames = (
            f"[{frame.f_code.co_filename}|{frame.f_code.co_name}|{line}]"
            for frame, line in traceback.walk_tb(error.__traceback__)
        )
        self.log(" ".join([str(type(error)), str(error), *frames]), category)


def open_log_file(path: str) -> TextIO:
    """Return a stream that appends each line to ``path`` in one piece.

    Raises ConfigError when the file cannot be written to.
    """
    try:
        # Unbuffered: workers share the file, and a line in one write() never mixes with another's.
        file = open(path, "ab", buffering=0)  # noqa: SIM115 - skitai_shutdown closes it
    except OSError as error:
        problem = f"cannot write to {path!r} ({error.strerror}): create its directory or name another file"
        raise ConfigError(problem, section="server", key="app_log") from error
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", write_through=True)


#: The files that instances write to; a process may hold several instances.
_files: WeakKeyDictionary[IInstance, TextIO] = WeakKeyDictionary()


@hookimpl
def skitai_attributes(instance: IInstance) -> Mapping[str, Callable[[Any], Any]]:
    """Give ``was.log`` and ``was.traceback``, which write to ``[server] app_log`` (``-``: standard error)."""
    path = str(instance.config.server.app_log)
    if path == "-":
        app_log = AppLog(sys.stderr)
    else:
        _files[instance] = open_log_file(path)
        app_log = AppLog(_files[instance])
    return {"log": lambda _was: app_log.log, "traceback": lambda _was: app_log.traceback}


@hookimpl(trylast=True)
def skitai_shutdown(instance: IInstance) -> None:
    """Close the instance's file, when the other plugins had their last word."""
    file = _files.pop(instance, None)
    if file is not None:
        file.close()


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
