"""The keys of ``[global]``: the folders of logs, and of what is kept on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skitai.config.casters import integer, optional, path, yes_no
from skitai.config.keys import Key

#: The keys of ``[global]``, in skitaid.conf and in the configuration of a server.
GLOBAL_KEYS: Mapping[str, Key] = {
    "log_path": Key(optional(path), None, "folder of the logs", example="/var/log/site"),
    "var_path": Key(optional(path), None, "folder of the spool and the locks", example="/var/lib/site"),
    "log_rotate": Key(yes_no, True, "give logs a date when their day is over, server.log when its month is"),
    "log_keep": Key(integer(1), 100, "how many files with a date are kept of each log"),
}

_ROOT = 0


def logs_kept(values: Mapping[str, Any]) -> int:
    """Return how many former files of each log the values of ``[global]`` want; 0: logs are not rotated."""
    return int(values["log_keep"]) if values["log_rotate"] else 0


def log_folder(named: Path | None, log_path: Path | None, name: str) -> Path | None:
    """Return the folder of the logs of the server ``name``: ``named``, or else one below ``log_path``."""
    return named if named is not None or log_path is None else server_log_folder(log_path, name)


def server_log_folder(log_path: Path, name: str) -> Path:
    """Return the folder of the logs of the server ``name``."""
    return log_path / "instances" / name


def daemon_log_folder(log_path: Path, name: str) -> Path:
    """Return the folder of the logs of the agent ``name``."""
    return log_path / "daemons" / name


def state_folder(environ: Mapping[str, str], uid: int) -> Path:
    """Return where the user ``uid`` keeps what no configuration names a folder for."""
    return (
        Path("/var/local/skitaid") if uid == _ROOT else user_folder(environ, "XDG_STATE_HOME", ".local/state")
    )


def user_folder(environ: Mapping[str, str], variable: str, default: str) -> Path:
    """Return our folder in one of the XDG Base Directory Specification, which takes absolute paths only."""
    base = environ.get(variable, "")
    home = environ.get("HOME") or os.path.expanduser("~")
    return (Path(base) if base.startswith("/") else Path(home) / default) / "skitaid"


def var_folder(named: Path | None) -> Path:
    """Return the folder of the spool and the locks: SKITAID_VAR_PATH, else ``named``, else the user's own.

    ``named`` is ``[global] var_path``. The environment counts first, as it does for skitaid.
    """
    variable = os.environ.get("SKITAID_VAR_PATH")
    if variable:
        return Path(variable).absolute()
    return named or state_folder(os.environ, os.getuid())
