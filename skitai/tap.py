"""``twist skitai``: options in, one Twisted service out.

Most of Skitai is imported only where a server is made: the process that becomes the supervisor of several
workers needs little of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.application.service import IService

from skitai.command.beginning import (
    agent_wanted,
    identity_wanted,
    load_config,
    only_asks,
    open_own_log,
    options_of_twist,
)
from skitai.command.options import Options
from skitai.config import Config
from skitai.daemon.becoming import become_supervisor
from skitai.daemon.logs import keep_standard_streams, plain_unless_asked, reopen
from skitai.daemon.privileges import Identity
from skitai.daemon.refusing import or_exit
from skitai.formats import zone
from skitai.net.listening import take_inherited
from skitai.processes.collecting import collecting_less
from skitai.processes.orders import EXIT_CONFIG
from skitai.worker.logs import rotation_of
from skitai.worker.nursery import Nursery
from skitai.worker.watch.signals import ignore_stray_signals


def makeService(options: Options) -> IService:
    """Return the service that ``options`` ask for.

    Prints one line and exits with status 2 for a configuration that cannot be served; prints what was asked
    for and exits with 0 for ``--check``, ``--plugins`` and ``keys``.
    """
    if options.keys_of is not None:
        _report_keys(options.keys_of)
    from twisted.internet import reactor

    zone.keep()
    twist = options_of_twist(options)
    if twist is not None:
        plain_unless_asked(twist, sys.argv[1:])
        keep_standard_streams(reactor.callWhenRunning)
    ignore_stray_signals()
    nursery = Nursery.of(os.environ)
    if nursery is None:
        config, inherited, identity = or_exit(lambda: _begin(options, reactor))
    with collecting_less():
        from skitai.building import make_server, make_worker

        if nursery is not None:
            server = or_exit(lambda: make_worker(options, reactor, nursery), nursery.broken)
        else:
            server = or_exit(lambda: make_server(options, reactor, config, inherited, identity))
    server.own_log = None if twist is None else twist["logFile"]
    if nursery is None:
        server.agent_command = agent_wanted(options, server.config)
    return server


def _begin(options: Options, reactor: Any) -> tuple[Config, Sequence[int], Identity | None]:
    """Return what is served, on which sockets of systemd, and as whom; or become a supervisor."""
    inherited = take_inherited(reactor, os.environ)  # before a plugin imports what would take them
    config = load_config(options)
    asks, twist = only_asks(options), options_of_twist(options)
    if asks:
        return config, inherited, None
    log = open_own_log(options, config)
    rotation_of(config, log, lambda: reopen(log)).look()  # before anything is written
    _say_where_logs_are(config)
    identity = identity_wanted(config)
    if config.server.processes > 1 and twist is None:
        raise config.error("processes", "needs twist skitai: twistd runs one process")
    is_supervised = config.server.processes > 1 or identity or _is_first()
    if twist is not None and not config.server.reloader and is_supervised:
        become_supervisor(twist, inherited)  # for a user, too: it can begin anew, as it stays root
    return config, inherited, identity


def _say_where_logs_are(config: Config) -> None:
    """Tell who starts the server at a terminal, where nothing else is shown."""
    if config.log_folder is not None and sys.stderr.isatty():
        print(f"the logs are in {config.log_folder}", file=sys.stderr)


def _is_first() -> bool:
    """Whether this is the first process of a container: it must reap orphans, and a supervisor does so.

    A server must not: it cannot tell them from the children of apps, whose exit statuses apps want to know.
    """
    return os.getpid() == 1


def _report_keys(wanted: str) -> NoReturn:
    from skitai.command.keys import chapters, for_terminal  # it looks at more than a server loads
    from skitai.plugins.manager import create_plugin_manager

    try:
        print(for_terminal(chapters(create_plugin_manager()), wanted), end="")
    except ValueError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    raise SystemExit(0)
