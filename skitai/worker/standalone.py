"""``was`` without a server: for scripts, management commands, shells and notebooks."""

from __future__ import annotations

import atexit
import os
import warnings
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from twisted.python.threadable import isInIOThread

from skitai.config import Config, load
from skitai.context import Was, forget_defaults, get_current, remove_default, source_in_use
from skitai.errors import MisuseError
from skitai.loop.background import BackgroundReactor
from skitai.loop.native import Lock
from skitai.worker.assembly import load_plugins
from skitai.worker.instance import Instance

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

#: The user that stands for all who called ``start``, until one of them calls ``stop``.
_BY_START = "start()"


class Standalone:
    """Gives ``was`` as ``config`` says, in a process that serves nothing; ``skitai.standalone`` makes it.

    The process has one such instance at a time. Who comes while it runs shares it, and the last one to leave
    ends it. A process in which Skitai serves has the ``was`` of the server. In both cases ``config`` must be
    None or name the same file.
    """

    def __init__(self, config: str | PathLike[str] | None = None) -> None:
        self._path = None if config is None else Path(config)

    def __enter__(self) -> Was:
        """Begin, and return ``was``. Raises as ``start`` does."""
        return _begin(self._path, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End: the calls under way fail, and plugins let go of what they hold."""
        _end(self)

    def start(self) -> Was:
        """Begin, and return ``was``, which works until ``stop`` or the end of the process.

        A second start, by this or another object, changes nothing. Raises ConfigError or PluginError for what
        cannot be, and MisuseError in the reactor thread, or where another config is in use. Called in any
        other thread.
        """
        return _begin(self._path, _BY_START)

    def stop(self) -> None:
        """End what ``start`` began, by whichever object; without it, do nothing."""
        _end(_BY_START)


class _Unserved(Instance):
    """The instance of a process that serves nothing: the process is not its to end."""

    def leave(self, *, restart: bool = False, fast: bool = False) -> None:  # noqa: ARG002
        """Raise MisuseError."""
        raise MisuseError("there is no server to restart or to shut down")


class _Process:
    """What the process has of it: at most one instance, those who use it, and the reactor."""

    def __init__(self) -> None:
        self.changing = Lock()
        self.background: BackgroundReactor | None = None
        self.instance: Instance | None = None
        self.users: list[Hashable] = []
        self.is_forked = False


_process = _Process()


@contextmanager
def _changing() -> Iterator[None]:
    """Let one thread at a time begin or end.

    Raises MisuseError in the reactor thread: those who begin or end wait for it.
    """
    if _process.background is not None and isInIOThread():  # type: ignore[no-untyped-call]
        raise MisuseError("skitai.standalone cannot be used in the reactor thread: it waits for the reactor")
    with _process.changing:
        yield


def _begin(path: Path | None, user: Hashable) -> Was:
    with _changing():
        in_use = source_in_use()
        if in_use is None:
            _process.instance = _new_instance(path)
        elif path is not None and path.resolve() != in_use:
            raise MisuseError(f"{in_use} is in use in this process: {path} can be used after it")
        if _process.instance is None:
            return get_current()  # that of a server
        if user is not _BY_START or user not in _process.users:
            _process.users.append(user)
        return _process.instance.was


def _new_instance(path: Path | None) -> Instance:
    if _process.is_forked:
        raise MisuseError(
            "this process was forked from one whose reactor runs in a thread, which a fork does not copy:"
            " begin after the fork, or let multiprocessing spawn its processes"
        )
    from twisted.internet import reactor

    if _process.background is None:
        _process.background = BackgroundReactor(reactor)
        os.register_at_fork(after_in_child=_forget)
        atexit.register(_end_at_exit)
    background = _process.background
    background.start()

    def start() -> Instance:
        config = Config(path=Path("skitai.standalone")) if path is None else load(path, serving=False)
        instance = _Unserved(config, load_plugins(config), reactor)
        instance.startService()
        return instance

    instance: Instance = background.call(start)
    try:
        for warning in instance.warnings:
            warnings.warn(warning, stacklevel=4)
    except Warning:  # Python was told to raise them
        background.call(instance.stopService)
        raise
    return instance


def _end(user: Hashable) -> None:
    with _changing():
        if user in _process.users:
            _process.users.remove(user)
            if not _process.users:
                _stop()


def _stop() -> None:
    instance, _process.instance = _process.instance, None
    if instance is not None and _process.background is not None:
        try:
            _process.background.call(instance.stopService)
        finally:  # also if the reactor was stopped by others
            remove_default(instance.was)


def _end_at_exit() -> None:
    background, instance = _process.background, _process.instance
    if background is None:
        return
    with suppress(MisuseError):
        if instance is not None:
            background.call(instance.hurry)
        _stop()
    background.stop()


def _forget() -> None:
    """Let go of what is the parent's. Called in a child process after a fork."""
    global _process
    has_run = _process.background is not None
    _process = _Process()
    _process.is_forked = has_run
    forget_defaults()
