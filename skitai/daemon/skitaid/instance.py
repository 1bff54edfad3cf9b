"""The command line of ``skitaid-instance.py``: one server, without skitaid."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from skitai.config import sample_config
from skitai.daemon.skitaid.places import Places, config_of, find_places
from skitai.errors import ConfigError
from skitai.processes.orders import EXIT_CONFIG


def main(words: Sequence[str] | None = None) -> int:
    """Become the server that the command line names; return the exit status if that cannot be."""
    parser = ArgumentParser(prog="skitaid-instance.py", description="Serves one configuration of skitaid.")
    parser.add_argument(
        "-f", "--conf", required=True, metavar="NAME", help="NAME, e/NAME or a/NAME, or a path"
    )
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print all logs, instead of keeping files"
    )
    parser.add_argument("--test", action="store_true", help="check the configuration, and exit")
    parser.add_argument("--config", metavar="FILE", help="skitaid.conf; servers-enabled is beside it")
    parser.add_argument("--log-path", metavar="FOLDER", help="folder of the logs")
    options = parser.parse_args(words)
    try:
        places = find_places(vars(options), os.environ, os.geteuid())
        config = _config(places, options.conf)
        command = [sys.executable, "-m", "twisted"]
        if options.test:
            command += ["skitai", "--check"]
        elif options.verbose:
            command += ["skitai", "-v"]
        else:
            folder = places.folder_of(config.stem)
            folder.mkdir(parents=True, exist_ok=True)
            command += [f"--log-file={folder / 'server.log'}", "skitai", "--logs", str(folder)]
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    except OSError as error:
        print(f"cannot keep logs: {error}", file=sys.stderr)
        return EXIT_CONFIG
    return _become([*command, "--config", str(config)])


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - the same Python


def _config(places: Places, name: str) -> Path:
    """Return the file that is meant; ``sample`` comes with Skitai, unless there is another."""
    if os.sep in name and Path(name).is_file():
        return Path(name)
    try:
        return config_of(places, name)
    except ConfigError:
        if name != "sample":
            raise
        return sample_config()
