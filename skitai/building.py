"""Makes the server of a process: the only one, one of those that replace each other, or a worker."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import attrs
from twisted.logger import Logger

from skitai.command.beginning import (
    agent_wanted,
    identity_wanted,
    load_config,
    only_asks,
    open_own_log,
    options_of_twist,
)
from skitai.command.options import Options
from skitai.config import SHARED_SECTIONS, Config, describe, describe_section
from skitai.daemon.again import same_command
from skitai.daemon.logs import keep_streams_of_apps, logging_already, silence_reactor
from skitai.daemon.privileges import Identity, become, check_code
from skitai.daemon.relief.standin import StandIn
from skitai.daemon.relief.succession import Succession
from skitai.daemon.replacing.child import Replacing
from skitai.daemon.replacing.parent import fork_children
from skitai.daemon.supervisor.nurseries import logical_folder
from skitai.daemon.supervisor.sockets import Sockets
from skitai.errors import ConfigError
from skitai.formats import zone
from skitai.loop.cooperative import CannotCooperateError, host
from skitai.loop.renewal import renew
from skitai.net.handing import hand_over, handed_over
from skitai.net.sockets import ListenError, Opened, pass_on
from skitai.plugins.listing import describe_plugins
from skitai.processes import Board
from skitai.processes.orders import EXIT_CONFIG
from skitai.program import Announced
from skitai.worker.assembly import load_plugins
from skitai.worker.https import make_secure
from skitai.worker.logs import rotated_logs
from skitai.worker.nursery import Nursery, threads_besides, wishes_of
from skitai.worker.serving import Server, cannot_listen, open_as_configured
from skitai.worker.watch.signals import handlers_of_apps

_THREADS_STAY = (
    "threads were started while the apps were loaded, and are not there in the workers: {threads};"
    " let them start later, or set preload = no"
)

_log = Logger()


def make_server(
    options: Options,
    reactor: Any,
    config: Config,
    inherited: Sequence[int],
    identity: Identity | None,
) -> Announced:
    """Return the one server of ``config``, or print what the options ask for, and exit.

    ``inherited`` are descriptors of sockets that systemd passed; ``identity`` is whom the process becomes.
    Raises ConfigError and PluginError.
    """
    asks, twist = only_asks(options), options_of_twist(options)
    if twist is not None and not asks and config.server.reloader:
        return _make_replaced(options, reactor, config, inherited, identity)
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
        _check_mail(config)
    if asks:
        _report(server, with_config=bool(options["check"]))
    return server


def _check_mail(config: Config) -> None:
    """Raise ConfigError for what the delivery agent would end with."""
    from skitai.daemon.mail.rules import make_rules  # it brings what the agent is made of
    from skitai.daemon.mail.settings import read_settings

    make_rules(read_settings(config.path))


def make_worker(options: Options, reactor: Any, nursery: Nursery) -> Announced:
    """Load the server, and return it in each worker that is forked from this process."""
    config = load_config(options)
    if config.server.cooperative:
        _cooperate(config, reactor)
    logs = rotated_logs(config, open_own_log(options, config))
    try:
        sockets = nursery.introduce(wishes_of(config, logs, agent_wanted(options, config)))
    except ListenError as error:
        raise cannot_listen(config, error) from error
    secure = make_secure(config, reactor)  # once, so that TLS sessions are resumed by every worker
    identity = identity_wanted(config)
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


def _make_replaced(
    options: Options,
    reactor: Any,
    config: Config,
    inherited: Sequence[int],
    identity: Identity | None,
) -> Announced:
    """Load all but the apps, and return the server in each process that is forked to serve them."""
    command, folder = same_command(), logical_folder()
    if config.server.processes > 1:
        print("with the reloader, one process serves: processes is for without it", file=sys.stderr)
        config = attrs.evolve(config, server=attrs.evolve(config.server, processes=1))
    if config.server.cooperative:
        _cooperate(config, reactor)
    secure = make_secure(config, reactor)
    sockets = _taken_over(config, inherited) or open_as_configured(config, inherited)
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
        zone.restore(os.environ)
        os.execv(command[0], command)  # noqa: S606 - what was started before

    def check() -> str | None:
        try:
            load_config(options)
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
        if server.config.log_folder is not None:  # else the log is what was just written to
            _log.warn("{warning}", warning=warning)


def _cooperate(config: Config, reactor: object) -> None:
    try:
        host(reactor)
    except CannotCooperateError as error:
        raise config.error("cooperative", str(error)) from error


def _report(server: Server, *, with_config: bool) -> NoReturn:
    if with_config:
        print(describe(server.config, server.describe_mount))
        for name, keys in {**SHARED_SECTIONS, **server.plugins.config_sections()}.items():
            shown = describe_section(name, keys, server.section(name))
            if name not in server.config.sections:  # that some of them are there means something: [metrics]
                shown = "".join(f"; {line}\n" for line in shown.splitlines())
            print(shown)
    print(describe_plugins(server.plugins.plugins()), end="")
    raise SystemExit(0)
