"""What the options of ``twist skitai`` say of the process: its config, its log, its user."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from skitai.command.options import Options
from skitai.config import Config, Given, load
from skitai.daemon.logs import own_log
from skitai.daemon.mail.beside import agent_command
from skitai.daemon.privileges import Identity, identity_of

_log = Logger()


def options_of_twist(options: Options) -> Any:
    """Return the options of ``twist``; None under ``twistd``, which opens its log later and may fork."""
    twist = options.parent
    return twist if twist is not None and "fileLogObserverFactory" in twist else None


def only_asks(options: Options) -> bool:
    """Whether something is to be printed, and nothing to be served."""
    return bool(options["check"] or options["plugins"])


def load_config(options: Options) -> Config:
    """Return the config that is to be served. Raises ConfigError."""
    logs = None if options["logs"] is None else Path.cwd() / options["logs"]
    source = options.source
    if isinstance(source, Given) and str(source.folder) not in sys.path:
        sys.path.append(str(source.folder))
    return load(source, options.overrides, spelt=options.spelt, logs=logs, verbose=bool(options["verbose"]))


def open_own_log(options: Options, config: Config) -> Any:
    """Return the stream of the server's own log, in the place of what ``twist`` has opened.

    Without ``--log-file``, it goes to the folder of the other logs, if there is one. Raises ConfigError.
    """
    twist = options_of_twist(options)
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


def identity_wanted(config: Config) -> Identity | None:
    """Return the user that the server is to become; None if it stays what it is. Raises ConfigError."""
    server = config.server
    if server.user is None and server.group is None:
        return None
    try:
        return identity_of(server.user, server.group)
    except ValueError as error:
        raise config.error("group" if server.user is None else "user", str(error)) from error


def agent_wanted(options: Options, config: Config) -> tuple[str, ...]:
    """Return the command of the delivery agent; nothing if there is to be none, as under ``twistd``."""
    twist = options_of_twist(options)
    if twist is None:
        if "smtpda" in config.sections:
            _log.warn(
                "twistd starts no delivery agent: run twist skitai-mail --config {path}", path=config.path
            )
        return ()
    return agent_command(config, twist, verbose=bool(options["verbose"]))
