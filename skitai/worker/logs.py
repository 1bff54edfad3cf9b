"""The logs of a server that are files: where they are, and who moves them aside when their day is over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from skitai.config import Config
from skitai.config.places import logs_kept
from skitai.processes.files import AppendedFile
from skitai.processes.rotation import Period, RotatedLog, Rotation


def rotated_logs(config: Config, own_log: Any) -> list[RotatedLog]:
    """Return the logs that are rotated: ``own_log``, the stream of the server's own, each month."""
    if not logs_kept(config.places):
        return []
    logs = [config.server.access_log, config.server.app_log]
    found = [RotatedLog(path) for path in logs if isinstance(path, Path)]
    if isinstance(own_log, AppendedFile):
        found.append(RotatedLog(Path(own_log.name), Period.MONTH))
    return list({log.path: log for log in found}.values())


def rotation_of(config: Config, own_log: Any, reopen: Callable[[], object]) -> Rotation:
    """Return what rotates the logs of the server; ``reopen()`` has all who write go on in new files."""
    return Rotation(rotated_logs(config, own_log), keep=logs_kept(config.places), reopen=reopen)
