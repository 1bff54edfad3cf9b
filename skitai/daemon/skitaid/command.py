"""The command line of ``skitaid``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from twisted.logger import Logger

import skitai
from skitai.daemon.notify import Notifier
from skitai.daemon.ownlog import OwnLog
from skitai.daemon.skitaid.control import NotRunningError, ask
from skitai.daemon.skitaid.logfiles import follow, tail
from skitai.daemon.skitaid.places import AGENTS, SERVER_LOGS, VARIABLES, Places, find_places
from skitai.daemon.skitaid.process import AlreadyRunsError, Skitaid, running_pid
from skitai.daemon.skitaid.shown import table
from skitai.errors import ConfigError
from skitai.processes.orders import EXIT_CONFIG

_logger = Logger()

#: The exit status of ``status`` for what does not run (LSB 3.1, 20.2).
_EXIT_NOT_RUNNING = 3
#: Seconds until ``start`` must be able to take commands.
_START_SECONDS = 20.0
#: Seconds that ``stop`` waits; servers end before, with what they are asked for at that time.
_STOP_SECONDS = 120.0
_TOP_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[J"
_TO_ALL = {"stop": signal.SIGTERM, "shutdown": signal.SIGTERM, "terminate": signal.SIGQUIT}
_COMMANDS = {
    "start": "start skitaid in the background; with -f, start a server that is down",
    "stop": "stop skitaid, or the server; requests under way are answered",
    "shutdown": "the same as stop",
    "terminate": "stop at once",
    "restart": "let the servers, or the one, serve what their files say now",
    "status": "show the servers and agents",
    "top": "show them each second, until Ctrl-C",
    "log": "show the last 16 KB of a log",
    "rotate": "let the logs be opened anew, after files were moved away",
}


class CommandError(Exception):
    """What was asked for cannot be done."""


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _options(words)
    try:
        places = find_places(vars(options), os.environ, os.geteuid())
        actions: dict[str | None, Callable[[Places, Namespace], int]] = {
            None: _run,
            "start": _start,
            "stop": _stop,
            "shutdown": _stop,
            "terminate": _stop,
            "restart": _order,
            "rotate": _order,
            "status": _status,
            "top": _top,
            "log": _log,
        }
        return actions[options.command](places, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except (AlreadyRunsError, CommandError, NotRunningError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, BrokenPipeError):
        return 0


def _parser() -> ArgumentParser:
    commands = "\n".join(f"  {name:10} {help_text}" for name, help_text in _COMMANDS.items())
    parser = ArgumentParser(
        prog="skitaid",
        description="Keeps a Skitai server running for each file in servers-enabled, and runs cron jobs.",
        epilog=f"commands (without one, skitaid runs in the foreground):\n{commands}",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", type=_command, choices=_COMMANDS, metavar="COMMAND")
    parser.add_argument("target", nargs="?", metavar="NAME", help="the same as -f NAME")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print all logs, instead of keeping files"
    )
    parser.add_argument("-f", "--for", dest="name", metavar="NAME", help="a server, or cron or smtpda")
    parser.add_argument(
        "-s", "--suffix", choices=SERVER_LOGS, metavar="LOG", help="server, request, app (default) or stderr"
    )
    parser.add_argument("-F", "--follow", action="store_true", help="log: go on with what is added")
    parser.add_argument("--json", action="store_true", help="status: print JSON")
    parser.add_argument("--config", metavar="FILE", help="skitaid.conf; servers-enabled is beside it")
    parser.add_argument("--log-path", metavar="FOLDER", help="folder of the logs")
    parser.add_argument("--var-path", metavar="FOLDER", help="folder of the spool and the locks")
    parser.add_argument("--version", action="version", version=f"Skitai {skitai.__version__}")
    return parser


def _options(words: Sequence[str] | None) -> Namespace:
    parser = _parser()
    options = parser.parse_args(words)
    if options.name is not None and options.target not in (None, options.name):
        parser.error(f"two names are given: {options.name} and {options.target}")
    options.name = options.name or options.target
    return options


def _command(word: str) -> str:
    """Return the command of a word: ``restart-all`` is the one of former versions, ``reload`` of others."""
    return "restart" if word == "reload" else word.removesuffix("-all")


# -- the process itself ----------------------------------------------------------------------------------


def _run(places: Places, options: Namespace) -> int:
    places.make_folders()
    log = OwnLog("-" if options.verbose else str(places.log_of(None)), keep=places.logs_kept)
    log.begin()
    skitaid = Skitaid(places, Notifier(os.environ), log, is_verbose=options.verbose)
    places.tell_children(os.environ)
    for warning in places.warnings:
        _logger.warn("{warning}", warning=warning)
    skitaid.run()
    return 0


def _start(places: Places, options: Namespace) -> int:
    if options.name is not None:
        return _order(places, options)
    if (pid := running_pid(places)) is not None:
        raise AlreadyRunsError(f"skitaid runs already (pid {pid})")
    places.make_folders()
    with open(places.logs / "stderr.log", "ab") as output:
        start = output.tell()
        process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", "skitai.daemon.skitaid", *_given(options)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **_variables()},
            cwd="/",
            start_new_session=True,
        )
    deadline = monotonic() + _START_SECONDS
    while monotonic() < deadline and process.poll() is None:
        with suppress(NotRunningError):
            ask(places.socket, "status")
            print(f"skitaid runs (pid {process.pid})")
            return 0
        time.sleep(0.05)
    with open(places.logs / "stderr.log", encoding="utf-8", errors="replace") as said:
        said.seek(start)
        raise CommandError(f"skitaid does not start: {said.read().strip() or 'see its log'}")


def _given(options: Namespace) -> list[str]:
    """Return the options that say where things are, for a process that starts in another folder."""
    given = []
    for name in VARIABLES:
        value = getattr(options, name)
        if value is not None:
            given += [f"--{name.replace('_', '-')}", os.path.abspath(value)]
    return given


def _variables() -> dict[str, str]:
    """Return the variables that say where things are, for a process that starts in another folder."""
    given = {name: os.environ.get(name) for name in VARIABLES.values()}
    return {name: os.path.abspath(value) for name, value in given.items() if value}


def _stop(places: Places, options: Namespace) -> int:
    if options.name is not None:
        return _order(places, options)
    pid = running_pid(places)
    if pid is None:
        raise NotRunningError("skitaid is not running")
    os.kill(pid, _TO_ALL[options.command])
    deadline = monotonic() + _STOP_SECONDS
    while running_pid(places) == pid:
        if monotonic() > deadline:
            raise CommandError(
                f"skitaid (pid {pid}) still waits for its servers: skitaid terminate ends them"
            )
        time.sleep(0.05)
    return 0


# -- commands to it --------------------------------------------------------------------------------------


def _ask(places: Places, do: str, name: str | None) -> dict[str, Any]:
    answer = ask(places.socket, do, name)
    if "error" in answer:
        raise CommandError(answer["error"])
    return answer


def _order(places: Places, options: Namespace) -> int:
    do = "stop" if options.command == "shutdown" else options.command
    _ask(places, do, options.name)
    if do in ("stop", "terminate"):
        deadline = monotonic() + _STOP_SECONDS
        while any(child["pid"] for child in _ask(places, "status", options.name)["children"]):
            if monotonic() > deadline:
                raise CommandError(f"{options.name} has not ended yet: skitaid -f {options.name} terminate")
            time.sleep(0.05)
    return 0


def _status(places: Places, options: Namespace) -> int:
    try:
        answer = _ask(places, "status", options.name)
    except NotRunningError as error:
        print(json.dumps({"running": False}) if options.json else error)
        return _EXIT_NOT_RUNNING
    print(json.dumps({"running": True, **answer}, indent=2) if options.json else table(answer), end="")
    if options.json:
        print()
    elif options.name is None and all(child["name"] in AGENTS for child in answer["children"]):
        print(f"\nThere is no server: put its file into {places.servers}")
    return 0


def _top(places: Places, options: Namespace) -> int:
    if not sys.stdout.isatty():
        raise CommandError("top needs a terminal: use skitaid status")
    while True:
        print(_CLEAR + table(_ask(places, "status", options.name)), end="", flush=True)
        time.sleep(_TOP_SECONDS)


def _log(places: Places, options: Namespace) -> int:
    if options.suffix is not None and (options.name is None or options.name in AGENTS):
        raise CommandError("-s is for the logs of a server: name it by -f")
    path = places.log_of(options.name, options.suffix)
    try:
        end = tail(path, sys.stdout.buffer)
    except FileNotFoundError:
        if path.parent.is_dir():
            raise CommandError(f"nothing is logged in {path} yet") from None
        raise CommandError(f"there is no {path}") from None
    if options.follow:
        follow(path, end, sys.stdout.buffer, time.sleep)
    return 0
