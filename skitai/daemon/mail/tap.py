"""``twist skitai-mail``: options in, the delivery agent out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

import skitai
from skitai.config.places import daemon_log_folder, logs_kept
from skitai.daemon.logs import (
    keep_standard_streams,
    own_log,
    plain_unless_asked,
    reopen,
    silence_reactor,
)
from skitai.daemon.mail.agent import Agent
from skitai.daemon.mail.settings import MailSettings, as_owner, read_settings
from skitai.daemon.notify import Notifier
from skitai.errors import ConfigError
from skitai.processes.family import end_with_parent
from skitai.processes.orders import EXIT_CONFIG, PARENT_VARIABLE
from skitai.processes.rotation import RotatedLog, Rotation

_NAME = "smtpda"
#: Seconds between two looks whether the day of the log is over.
_ROTATION_SECONDS = 2.0


class Options(usage.Options):
    """The command line of ``twist skitai-mail``."""

    synopsis = "[--config FILE]"
    longdesc = "Sends the mail of was.email, as [smtpda] of a configuration says."
    optParameters = [  # noqa: RUF012 - Twisted's way
        ["config", "c", None, "The configuration of a server, or skitaid.conf (the default)."],
        ["logs", None, None, "Keep smtpda.log in this folder; default: daemons/smtpda in log_path."],
    ]
    optFlags = [  # noqa: RUF012 - Twisted's way
        ["verbose", "v", "Print the log on the console, whatever the configuration says of files."],
    ]

    def opt_version(self) -> NoReturn:
        """Print the version of Skitai and exit."""
        print(f"Skitai {skitai.__version__}")
        raise SystemExit(0)


def makeService(options: Options) -> IService:
    """Return the agent; prints one line and exits with status 2 for a configuration that cannot be used."""
    from twisted.internet import reactor

    is_beside = _end_with_parent()
    twist = options.parent
    if twist is not None and "fileLogObserverFactory" in twist:
        plain_unless_asked(twist, sys.argv[1:])
        keep_standard_streams(reactor.callWhenRunning)
    read = partial(read_settings, None if options["config"] is None else Path(options["config"]).absolute())
    if twist is not None and threading.current_thread() is threading.main_thread():
        # Before the log is opened: from then on, it may be moved away.
        call: Any = reactor.callFromThread  # type: ignore[attr-defined]
        signal.signal(signal.SIGUSR1, lambda *_: call(_reopen, twist))
    try:
        settings = read()
        log = _open_log(options, settings)
        if is_beside and log is None and twist is not None:
            silence_reactor(twist)  # its start and end are not those of the server, whose log it is
        os.umask(0o077)
        agent = AgentProcess(as_owner(settings, read), read, reactor)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    agent.rotate(log, partial(_reopen, twist))
    return agent


def _reopen(twist: Any) -> None:
    """Go on in a new file: that of the log was moved away."""
    reopen(twist.get("logFile"))


def _end_with_parent() -> bool:
    """End in good order when the server ends that has started this process, if any has; return whether."""
    parent = os.environ.pop(PARENT_VARIABLE, "")
    if parent:
        try:
            end_with_parent(int(parent), signal.SIGTERM)
        except ProcessLookupError:
            raise SystemExit(0) from None
    return bool(parent)


def _open_log(options: Options, settings: MailSettings) -> Path | None:
    """Open the log in the place of what ``twist`` has opened; return the file if it is the agent's alone."""
    twist = options.parent
    if twist is None or "logFile" not in twist:
        return None
    folder = _log_folder(options, settings)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        stream = own_log(twist["logFile"], sys.argv[1:], folder, f"{_NAME}.log")
        own = _own_file(stream, folder)
        if own is not None and settings.owner is not None:  # who goes on in new files
            for given in (own.parent, own):
                os.chown(given, settings.owner.uid, settings.owner.gid)
    except OSError as error:
        message = f"cannot keep a log in {folder}: {error.strerror}"
        raise ConfigError(message, path=str(settings.path), section="global", key="log_path") from error
    twist["logFile"] = stream
    return own


def _own_file(stream: Any, folder: Path | None) -> Path | None:
    own = None if folder is None else folder / f"{_NAME}.log"
    return own if own is not None and getattr(stream, "name", None) == str(own) else None


def _log_folder(options: Options, settings: MailSettings) -> Path | None:
    if options["verbose"]:
        return None
    if options["logs"] is not None:
        return Path(options["logs"]).absolute()
    log_path = settings.places["log_path"]
    return None if log_path is None else daemon_log_folder(log_path, _NAME)


class AgentProcess(Agent):
    """An agent that is told by signals: SIGHUP reads the configuration anew, SIGTERM ends it."""

    _is_told_to_end = False

    def rotate(self, path: Path | None, reopen_log: Callable[[], object]) -> None:
        """Rotate the log at ``path``, if it is the agent's alone."""
        keep = logs_kept(self._settings.places)
        logs = [RotatedLog(path)] if path is not None and keep else []
        self._rotation = Rotation(logs, keep=keep, reopen=reopen_log)
        self._rotation.look()

    def startService(self) -> None:
        """Begin."""
        self._reactor.callWhenRunning(self._take_signals)
        super().startService()
        self._repeat(self._rotation.look, _ROTATION_SECONDS)
        notifier = Notifier(os.environ)
        self._reactor.callWhenRunning(notifier.ready, "delivering mail")
        self._reactor.addSystemEventTrigger("before", "shutdown", notifier.stopping)

    def _take_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ending_once(signal.getsignal(number)))

    def _ending_once(self, handler: Any) -> Any:
        """Return a handler that ends the agent by ``handler``, once: the mail in hand has its time."""

        def handle(number: int, frame: Any) -> None:
            if not self._is_told_to_end:
                self._is_told_to_end = True
                handler(number, frame)

        return handle if callable(handler) else handler
