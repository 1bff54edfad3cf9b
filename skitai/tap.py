"""``twist skitai``: options in, one Twisted service out."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.application.service import IService
from twisted.logger import Logger

from skitai.command.options import Options
from skitai.config import SHARED_SECTIONS, Config, Given, describe, describe_section, load
from skitai.daemon.again import same_command
from skitai.daemon.becoming import become_supervisor
from skitai.daemon.logs import (
    keep_standard_streams,
    keep_streams_of_apps,
    logging_already,
    own_log,
    plain_unless_asked,
    reopen,
    silence_reactor,
)
from skitai.daemon.mail.beside import agent_command
from skitai.daemon.mail.rules import make_rules
from skitai.daemon.mail.settings import read_settings
from skitai.daemon.privileges import Identity, become, check_code, identity_of
from skitai.daemon.relief.standin import StandIn
from skitai.daemon.relief.succession import Succession
from skitai.daemon.replacing.child import Replacing
from skitai.daemon.replacing.parent import fork_children
from skitai.daemon.supervisor.nurseries import logical_folder
from skitai.daemon.supervisor.sockets import Sockets
from skitai.errors import ConfigError
from skitai.loop.cooperative import CannotCooperateError, host
from skitai.loop.renewal import renew
from skitai.net.handing import hand_over, handed_over
from skitai.net.listening import take_inherited
from skitai.net.sockets import ListenError, Opened, pass_on
from skitai.plugins.listing import describe_plugins
from skitai.plugins.manager import create_plugin_manager
from skitai.processes import Board
from skitai.processes.orders import EXIT_CONFIG
from skitai.program import Announced, or_exit
from skitai.worker.assembly import load_plugins
from skitai.worker.https import make_secure
from skitai.worker.logs import rotated_logs, rotation_of
from skitai.worker.nursery import Nursery, threads_besides, wishes_of
from skitai.worker.serving import Server, cannot_listen, open_as_configured
from skitai.worker.watch.signals import handlers_of_apps, ignore_stray_signals

_THREADS_STAY = (
    "threads were started while the apps were loaded, and are not there in the workers: {threads};"
    " let them start later, or set preload = no"
)

_log = Logger()


def makeService(options: Options) -> IService:
    """Return the service that ``options`` ask for.

    Prints one line and exits with status 2 for a configuration that cannot be served; prints what was asked
    for and exits with 0 for ``--check``, ``--plugins`` and ``keys``.
    """
    if options.keys_of is not None:
        _report_keys(options.keys_of)
    from twisted.internet import reactor

    twist = _twist(options)
    if twist is not None:
        plain_unless_asked(twist, sys.argv[1:])
        keep_standard_streams(reactor.callWhenRunning)
    ignore_stray_signals()
    nursery = Nursery.of(os.environ)
    if nursery is not None:
        server = or_exit(lambda: _make_worker(options, reactor, nursery), nursery.broken)
    else:
        server = or_exit(lambda: _make(options, reactor))
    server.own_log = None if twist is None else twist["logFile"]
    if nursery is None:
        server.agent_command = _agent_command(options, server.config)
    return server


def _twist(options: Options) -> Any:
    """Return the options of ``twist``; None under ``twistd``, which opens its log later and may fork."""
    twist = options.parent
    return twist if twist is not None and "fileLogObserverFactory" in twist else None


def _make(options: Options, reactor: object) -> Announced:
    inherited = take_inherited(reactor, os.environ)  # before a plugin imports what would take them
    config = _load(options)
    asks = options["check"] or options["plugins"]
    log = None if asks else _open_own_log(options, config)
    if not asks:
        rotation_of(config, log, lambda: reopen(log)).look()  # before anything is written
        _say_where_logs_are(config)
    twist = _twist(options)
    identity = None if asks else _identity(config)
    if config.server.processes > 1 and not asks and twist is None:
        raise config.error("processes", "needs twist skitai: twistd runs one process")
    if twist is not None and not asks and config.server.reloader:
        return _make_replaced(options, reactor, config, inherited)
    if twist is not None and not asks and (config.server.processes > 1 or identity or _is_first()):
        become_supervisor(twist, inherited)  # for a user, too: it can begin anew, as it stays root
    if config.server.cooperative:
        _cooperate(config, reactor)  # before plugins and apps are imported, which take what they find
    if identity is None:
        stand_in = StandIn.of(os.environ)
        server = Announced(
            config, load_plugins(config), reactor, inherited,
            sockets=_taken_over(config, inherited), board=Board.given(os.environ),
        )  # fmt: skip
        if twist is not None:
            seconds = config.server.stop_seconds
            server.succession = Succession(reactor, server, inherited, stand_in, seconds)
    else:
        secure, sockets = make_secure(config, reactor), open_as_configured(config, inherited)
        _become(config, identity)
        server = Announced(
            config, load_plugins(config), reactor, inherited,
            secure=secure, sockets=sockets, board=Board.given(os.environ),
        )  # fmt: skip
        server.may_begin_anew = False  # only root can open the same again
    server.needs_apps = _needs_apps(config)
    _warn(server)
    if options["check"] and "smtpda" in config.sections:
        make_rules(read_settings(config.path))  # what the agent would end with
    if asks:
        _report(server, with_config=bool(options["check"]))
    return server


def _make_replaced(options: Options, reactor: Any, config: Config, inherited: Sequence[int]) -> Announced:
    """Load all but the apps, and return the server in each process that is forked to serve them."""
    command, folder = same_command(), logical_folder()
    if config.server.processes > 1:
        print("with the reloader, one process serves: processes is for without it", file=sys.stderr)
        config = attrs.evolve(config, server=attrs.evolve(config.server, processes=1))
    if config.server.cooperative:
        _cooperate(config, reactor)
    secure = make_secure(config, reactor)
    sockets = _taken_over(config, inherited) or open_as_configured(config, inherited)
    identity = _identity(config)
    if identity is not None:
        _become(config, identity)
    server = Announced(
        config, load_plugins(config), reactor,
        secure=secure, sockets=sockets, board=Board.given(os.environ),
    )  # fmt: skip
    _warn(server)
    server.code.take_over([] if config.is_given else [config.path], config.server.reload_include)
    with logging_already(options.parent):
        if threads := threads_besides():
            _log.warn(_THREADS_STAY, threads=", ".join(threads))

    def anew() -> NoReturn:
        hand_over(sockets, os.environ)
        if inherited:
            pass_on(inherited, os.environ)
        with suppress(OSError):
            os.chdir(folder)
        os.execv(command[0], command)  # noqa: S606 - what was started before

    def check() -> str | None:
        try:
            _load(options)
        except ConfigError as error:
            return str(error)
        return None

    forked = fork_children(anew)
    renew(reactor)
    if forked.why:
        silence_reactor(options.parent)
    server.succession = Replacing(reactor, server, forked, check)
    return server


def _needs_apps(config: Config) -> bool:
    """Whether it is of no use to serve without the app: one that is reloaded may yet be mended."""
    return config.is_given and not config.server.reloader


def _taken_over(config: Config, inherited: Sequence[int]) -> list[Opened] | None:
    """Return what ``config`` names, if the process of before this one has handed over sockets."""
    present = handed_over(os.environ)
    if not present:
        return None
    sockets = Sockets(inherited, present)
    try:
        found = sockets.want(list(map(str, config.server.endpoints)))
    except ListenError as error:
        raise cannot_listen(config, error) from error
    sockets.keep(found)
    return found


def _make_worker(options: Options, reactor: Any, nursery: Nursery) -> Announced:
    """Load the server, and return it in each worker that is forked from this process."""
    config = _load(options)
    if config.server.cooperative:
        _cooperate(config, reactor)
    logs = rotated_logs(config, _open_own_log(options, config))
    try:
        sockets = nursery.introduce(wishes_of(config, logs, _agent_command(options, config)))
    except ListenError as error:
        raise cannot_listen(config, error) from error
    secure = make_secure(config, reactor)  # once, so that TLS sessions are resumed by every worker
    identity = _identity(config)
    if identity is not None:
        _become(config, identity)
    server = Announced(config, load_plugins(config), reactor, secure=secure, sockets=sockets)
    _warn(server)
    with logging_already(options.parent):
        failed = server.load_now() if config.server.preload else []
        keep_streams_of_apps(reactor.callWhenRunning)
        server.signals_of_apps = handlers_of_apps()
        if threads := threads_besides():
            _log.warn(_THREADS_STAY, threads=", ".join(threads))
    if failed and _needs_apps(config):
        nursery.broken("\n".join(failed))
        raise SystemExit(EXIT_CONFIG)
    place = nursery.serve(failed)
    silence_reactor(options.parent)
    renew(reactor)
    server.take(place)
    return server


def _agent_command(options: Options, config: Config) -> tuple[str, ...]:
    """Return the command of the delivery agent; nothing if there is to be none, as under ``twistd``."""
    twist = _twist(options)
    if twist is None:
        if "smtpda" in config.sections:
            _log.warn(
                "twistd starts no delivery agent: run twist skitai-mail --config {path}", path=config.path
            )
        return ()
    return agent_command(config, twist, verbose=bool(options["verbose"]))


def _load(options: Options) -> Config:
    logs = None if options["logs"] is None else Path.cwd() / options["logs"]
    source = options.source
    if isinstance(source, Given) and str(source.folder) not in sys.path:
        sys.path.append(str(source.folder))
    return load(source, options.overrides, spelt=options.spelt, logs=logs, verbose=bool(options["verbose"]))


def _say_where_logs_are(config: Config) -> None:
    """Tell who starts the server at a terminal, where nothing else is shown."""
    if config.log_folder is not None and sys.stderr.isatty():
        print(f"the logs are in {config.log_folder}", file=sys.stderr)


def _open_own_log(options: Options, config: Config) -> Any:
    """Return the stream of the server's own log, in the place of what ``twist`` has opened.

    Without ``--log-file``, it goes to the folder of the other logs, if there is one. Raises ConfigError.
    """
    twist = _twist(options)
    try:
        if config.log_folder is not None:
            config.log_folder.mkdir(parents=True, exist_ok=True)
        if twist is None:
            return None
        twist["logFile"] = own_log(twist["logFile"], sys.argv[1:], config.log_folder)
    except OSError as error:
        message = f"cannot keep logs in {config.log_folder}: {error.strerror}"
        raise config.error("log_path", message, section="global") from error
    return twist["logFile"]


def _identity(config: Config) -> Identity | None:
    server = config.server
    if server.user is None and server.group is None:
        return None
    try:
        return identity_of(server.user, server.group)
    except ValueError as error:
        raise config.error("group" if server.user is None else "user", str(error)) from error


def _is_first() -> bool:
    """Whether this is the first process of a container: it must reap orphans, and a supervisor does so.

    A server must not: it cannot tell them from the children of apps, whose exit statuses apps want to know.
    """
    return os.getpid() == 1


def _become(config: Config, identity: Identity) -> None:
    logs = (config.server.access_log, config.server.app_log)
    try:
        become(identity, [log for log in logs if isinstance(log, Path)])
        check_code()
    except OSError as error:
        raise config.error("user", f"cannot become {identity.name}: {error.strerror}") from error


def _warn(server: Server) -> None:
    for warning in server.warnings:
        print(warning, file=sys.stderr)


def _cooperate(config: Config, reactor: object) -> None:
    try:
        host(reactor)
    except CannotCooperateError as error:
        raise config.error("cooperative", str(error)) from error


def _report_keys(wanted: str) -> NoReturn:
    from skitai.command.keys import chapters, for_terminal  # it looks at more than a server loads

    try:
        print(for_terminal(chapters(create_plugin_manager()), wanted), end="")
    except ValueError as error:
        print(error, file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None
    raise SystemExit(0)


def _report(server: Server, *, with_config: bool) -> NoReturn:
    if with_config:
        print(describe(server.config, server.describe_mount))
        for name, keys in {**SHARED_SECTIONS, **server.plugins.config_sections()}.items():
            print(describe_section(name, keys, server.section(name)))
    print(describe_plugins(server.plugins.plugins()), end="")
    raise SystemExit(0)
