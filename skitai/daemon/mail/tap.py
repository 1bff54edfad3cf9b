"""``twist skitai-mail``: options in, the delivery agent out."""

from __future__ import annotations

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.logger import Logger
from twisted.python import usage

import skitai
from skitai.daemon.logs import keep_standard_streams, own_log, plain_unless_asked, reopen
from skitai.daemon.mail.agent import Agent
from skitai.daemon.mail.settings import read_settings
from skitai.daemon.notify import Notifier
from skitai.errors import ConfigError
from skitai.processes.orders import EXIT_CONFIG

_log = Logger()


class Options(usage.Options):
    """The command line of ``twist skitai-mail``."""

    synopsis = "[--config FILE]"
    longdesc = "Sends the mail of was.email, as [smtpda] of a configuration says."
    optParameters = [  # noqa: RUF012 - Twisted's way
        ["config", "c", None, "The configuration of a server, or skitaid.conf (the default)."],
    ]

    def opt_version(self) -> NoReturn:
        """Print the version of Skitai and exit."""
        print(f"Skitai {skitai.__version__}")
        raise SystemExit(0)


def makeService(options: Options) -> IService:
    """Return the agent; prints one line and exits with status 2 for a configuration that cannot be used."""
    from twisted.internet import reactor

    twist = options.parent
    if twist is not None and "fileLogObserverFactory" in twist:
        plain_unless_asked(twist, sys.argv[1:])
        keep_standard_streams(reactor.callWhenRunning)
    os.umask(0o077)
    read = partial(read_settings, None if options["config"] is None else Path(options["config"]).absolute())
    try:
        agent = AgentProcess(read(), read, reactor)
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    if twist is not None and "logFile" in twist:
        agent.own_log = twist["logFile"] = _own_log(twist["logFile"])
    return agent


def _own_log(opened: Any) -> Any:
    try:
        return own_log(opened, sys.argv[1:], None)
    except OSError as error:
        print(f"cannot open the log: {error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


class AgentProcess(Agent):
    """An agent that is told by signals: SIGHUP reads the configuration anew, SIGUSR1 opens the log anew."""

    #: The stream of the log.
    own_log: Any = None

    def startService(self) -> None:
        """Begin."""
        super().startService()
        notifier = Notifier(os.environ)
        self._reactor.callWhenRunning(self._take_signals)
        self._reactor.callWhenRunning(notifier.ready, "delivering mail")
        self._reactor.addSystemEventTrigger("before", "shutdown", notifier.stopping)

    def _take_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, action in ((signal.SIGHUP, self.reload), (signal.SIGUSR1, self._reopen_log)):
            signal.signal(number, lambda *_, action=action: self._reactor.callFromThread(action))

    def _reopen_log(self) -> None:
        try:
            reopen(self.own_log)
        except OSError as error:
            _log.error("cannot open the log anew: {error}", error=error)
