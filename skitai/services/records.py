"""Python's ``logging`` and ``warnings`` in the log of the apps, unless these handle them themselves."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from twisted.logger import globalLogBeginner

from skitai.context import current_request_id

if TYPE_CHECKING:
    from skitai.services.logging import AppLog


class RecordHandler(logging.Handler):
    """Writes each record that no handler of an app writes: as Python's "last resort", but to the apps' log.

    A record counts as written if a handler of its logger, or of one above, that prints or keeps files takes
    it, or if the root logger has any handler of the app's own. Django's logger has one that mails errors, and
    one that prints in debug mode only; so its errors are written here.
    """

    def __init__(self, app_log: AppLog) -> None:
        super().__init__()
        self._app_log = app_log

    def emit(self, record: logging.LogRecord) -> None:
        """Write ``record`` with its level, logger and traceback. Called in any thread."""
        if any(_writes(handler, record) for handler in self._others(record.name)):
            return
        try:
            text = record.getMessage().rstrip("\n")  # that of a warning ends with one
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        except Exception:  # noqa: BLE001 - arguments that do not fit, or an object that cannot be shown
            self.handleError(record)
            return
        if record.stack_info:
            trace += record.stack_info
        self._app_log.record(f"{record.name}: {text}", record.levelname.lower(), trace, current_request_id())

    def _others(self, name: str) -> Iterator[logging.Handler]:
        """Yield the handlers that a record of the logger ``name`` comes to, but for this one."""
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            yield from (handler for handler in logger.handlers if handler is not self)
            logger = logger.parent if logger.propagate else None


def _writes(handler: logging.Handler, record: logging.LogRecord) -> bool:
    is_of_root = handler in logging.root.handlers
    if not (is_of_root or isinstance(handler, logging.StreamHandler)):
        return False
    if isinstance(handler, logging.NullHandler):
        return False
    return record.levelno >= handler.level and bool(handler.filter(record))


class Records:
    """Brings what apps say to Python's logging, and warnings, to ``app_log``.

    The process has one logging for all: what starts last has it. Called where apps run.
    """

    def __init__(self, app_log: AppLog) -> None:
        self._handler = RecordHandler(app_log)
        self._before: logging.Handler | None = None
        self._has_begun = False

    def step_aside(self) -> None:
        """Leave the root logger to the app that is about to be loaded: it may configure logging.

        ``logging.basicConfig`` does nothing where the root logger has a handler.
        """
        if not self._has_begun:
            self._has_begun = True
            self._before, logging.lastResort = logging.lastResort, self._handler
            logging.captureWarnings(True)
        logging.root.removeHandler(self._handler)

    def take_root(self) -> None:
        """Handle what comes to the root logger, unless the app handles that itself.

        A handler there keeps Flask's ``app.logger`` from printing by itself, and ``logging.warning`` from
        configuring anything. The handler that these, and ``logging.basicConfig(level=...)``, make has no
        other purpose: this one takes its place.
        """
        if getattr(warnings.showwarning, "__self__", None) is globalLogBeginner:
            # Twisted takes them when the server's log begins: in a worker, after the app was loaded.
            logging.captureWarnings(False)
            logging.captureWarnings(True)
        handlers = logging.root.handlers
        if self._handler in handlers or not all(map(_is_default, handlers)):
            return
        for handler in list(handlers):
            logging.root.removeHandler(handler)
        logging.root.addHandler(self._handler)

    def end(self) -> None:
        """Leave logging as it was."""
        if not self._has_begun:
            return
        self._has_begun = False
        logging.root.removeHandler(self._handler)
        if logging.lastResort is self._handler:
            logging.lastResort = self._before
            logging.captureWarnings(False)


def _is_default(handler: logging.Handler) -> bool:
    """Return whether ``logging.basicConfig`` has made ``handler``, and nobody has said where and how."""
    return (
        type(handler) is logging.StreamHandler
        and (handler.stream is sys.stderr or getattr(handler.stream, "name", None) == "<stderr>")
        and handler.level == logging.NOTSET
        and not handler.filters
        and getattr(handler.formatter, "_fmt", None) == logging.BASIC_FORMAT
    )
