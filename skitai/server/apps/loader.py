"""WSGI apps loaded by file path, and loaded again when their files change.

``skitai.server.apps.modules`` explains how modules are named, and how they import each other. The app's
module-level code runs in the thread or greenlet that loads it. Loads in one directory must not overlap,
because they share its modules.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from skitai.errors import SkitaiError, words_of
from skitai.server.apps import callables, finder
from skitai.server.apps.callables import NotFoundError, find_app
from skitai.server.apps.finder import FILE_NAME_DOT
from skitai.server.apps.modules import AppDirectory, OwnImports, app_directory, file_stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Set
    from types import ModuleType, TracebackType

    Stamps = dict[str, tuple[int, int] | None]

# The modules whose frames come before those of the app in a traceback.
_MACHINERY = {
    __name__,
    "skitai.server.apps.installed",
    callables.__name__,
    finder.__name__,
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
}


@attrs.frozen
class AppSource:
    """The place of a WSGI callable: ``/directory/module:attribute``.

    ``module`` is a file name without ``.py``, or ``package.module``. ``attribute`` may be dotted, too, and be
    a call such as ``create_app()``; an empty one is what apps are called as a rule. See ``callables``.
    ``is_installed`` says that ``directory`` is one of Python's, whose other modules are nobody's.
    """

    directory: Path
    module: str
    attribute: str = "app"
    is_installed: bool = False

    def __str__(self) -> str:
        module = self.module if self.is_installed else str(self.directory / self.module)
        return f"{module}:{self.attribute}" if self.attribute else module


#: What Python, asyncio and others say of code that must run in the main thread, and how it does.
_WANTS_MAIN = re.compile(r"\bmain thread\b|no current event loop in thread")
_HOW_TO_MAIN = "; an app is loaded in the main thread with threads = 0, or with processes = 2 and more"


class AppLoadError(SkitaiError):
    """The app at ``source`` cannot be served. ``__cause__`` is the exception of its own code, if any."""

    def __init__(self, source: AppSource, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"cannot load {source}: {reason}")


def load_app(source: AppSource) -> Callable[..., Any]:
    """Return the callable at ``source``. A file that is already loaded is not loaded again.

    Raises AppLoadError if the import or the call of a factory fails, or if the attribute is missing or cannot
    be called; no module of the attempt is left then. ``SystemExit`` is a failure, too. ``KeyboardInterrupt``
    is passed on.
    """
    directory, name = _locate(source)
    importlib.invalidate_caches()
    before = directory.loaded()
    full_name = directory.module_name(name)
    try:
        return find_app(importlib.import_module(full_name), source.attribute)
    except BaseException as error:
        directory.drop(directory.loaded() - before)
        if isinstance(error, KeyboardInterrupt):
            raise
        failed = load_error(source, error)
        if isinstance(error, ModuleNotFoundError) and f"{full_name}.".startswith(f"{error.name}."):
            cause = failed.__cause__
            failed = AppLoadError(source, f"there is no module {source.module!r} in {source.directory}")
            failed.__cause__ = cause
        raise failed from failed.__cause__


def load_error(source: AppSource, error: BaseException) -> AppLoadError:
    """Return what ``error`` means for the app at ``source``: the cause has the frames of the app alone."""
    if isinstance(error, NotFoundError):
        failed, cause = AppLoadError(source, str(error)), error.__cause__ or error
    else:
        reason = f"{type(error).__name__}: {words_of(error)}"
        if _WANTS_MAIN.search(reason) and threading.current_thread() is not threading.main_thread():
            reason += _HOW_TO_MAIN
        failed, cause = AppLoadError(source, reason), error
    failed.__cause__ = cause.with_traceback(traceback_of_app(cause))
    return failed


def by_file_alone(_source: AppSource) -> None:
    """Return None: the app is in the file."""


class LoadedApp:
    """The app at ``source``. It is loaded on the first ``get()`` and, with ``reload``, when its files change.

    Each load calls ``given(source)`` first, which returns the app, or None for the one in the file. Apps in
    one directory share its modules, so a change to one module reloads all of them. The app's attribute
    ``use_reloader`` turns ``reload`` on, and ``part_modules`` names modules elsewhere that belong to the app.
    With ``as_a_whole`` nothing is loaded twice, because the process is replaced: see ``CodeChanges``.
    """

    #: Whether the process is replaced when files change. Set before the first ``get()``.
    as_a_whole = False

    def __init__(
        self,
        source: AppSource,
        *,
        reload: bool,
        given: Callable[[AppSource], Callable[..., Any] | None] = by_file_alone,
    ) -> None:
        self.source = source
        self._given = given
        self._reload = reload
        self._directory: AppDirectory | None = None
        self._generation = 0
        self._app: Callable[..., Any] | None = None
        self._error: AppLoadError | None = None
        self._watch: _Watch | None = None

    @property
    def reloads(self) -> bool:
        """Whether ``get`` must be called before each request. Read in any thread."""
        return self._reload and not self.as_a_whole

    @property
    def directory(self) -> Path:
        """The directory whose modules the app shares with others. Read in any thread."""
        return _root(self.source)[0]

    @property
    def module(self) -> ModuleType | None:
        """The module of the app, if it is loaded and not given by a plugin. Read in any thread."""
        directory, name = _locate(self.source)
        return sys.modules.get(directory.module_name(name))

    def get(self) -> Callable[..., Any]:
        """Return the callable from the current files.

        Raises AppLoadError if the last attempt to load it failed. It is the same exception until the next
        attempt, which follows a change to a file of the app, to any Python file in the same directories, or
        to the file that failed. Without ``reload``, there is no further attempt once the app was loaded.
        """
        directory = self._directory
        may_reload = (self._reload or self._error is not None) and not self.as_a_whole
        if directory is None or (may_reload and self._is_outdated(directory)):
            self._load()
        if self._error is not None:
            # Each raise adds to the traceback, and this exception may be raised for every request.
            raise self._error.with_traceback(None)
        assert self._app is not None
        return self._app

    def directories(self) -> set[str]:
        """Return the directories of all files that reload the app when they change. Called in any thread."""
        if self.as_a_whole:
            directory = _locate(self.source)[0]  # it may still be loading, perhaps for ever
        elif self._directory is not None and self._reload:
            directory = self._directory
        else:
            return set()
        watch = self._watch
        found = {os.path.dirname(path) for path, _ in list(directory.compiled.values())}
        return found if watch is None else found | watch.directories()

    def files(self) -> set[str]:
        """Return the files of the modules that were read for the app and its neighbours. Any thread."""
        return {path for path, _ in list(_locate(self.source)[0].compiled.values())}

    def changed(self) -> set[str]:
        """Return the files that are no longer what they were when the app was loaded. Any thread."""
        read = list(_locate(self.source)[0].compiled.values())
        found = {path for path, stamp in read if file_stamp(path) != stamp}
        return found if self._watch is None else found | self._watch.changed()

    def _is_outdated(self, directory: AppDirectory) -> bool:
        if not self._reload:  # it was never loaded, and the directory's other apps keep their modules
            return self._watch is not None and self._watch.has_changed()
        changed = any(file_stamp(path) != stamp for path, stamp in list(directory.compiled.values()))
        if changed or (self._watch is not None and self._watch.has_changed()):
            directory.drop_all()
        return directory.generation != self._generation

    def _load(self) -> None:
        directory, name = _locate(self.source)
        directory.distrusts_cache = self.as_a_whole
        from_source = self._reload or self._error is not None
        directory.from_source = directory.from_source or (from_source and not self.as_a_whole)
        # Taken before the attempt, so that no change during it is missed.
        watch = _Watch({str(directory.path), str(directory.path.joinpath(*name.split(".")[:-1]))})
        imports = OwnImports()
        error: AppLoadError | None = None
        app = self._given(self.source)
        # The modules of an app from a plugin are unknown: watch the files beside the one it is named by.
        keep_watch = app is not None
        try:
            if app is None:
                with imports:
                    app = load_app(self.source)
        except AppLoadError as caught:
            error = caught
            keep_watch = True
            watch.add_directories({os.path.dirname(path) for path, _ in list(directory.compiled.values())})
            strangers = directory.drop_strangers(imports.names)
            watch.add_files({*_failing_files(error.__cause__), *directory.elsewhere.values(), *strangers})
        self._directory, self._generation = directory, directory.generation
        self._app, self._error, self._watch = app, error, watch if keep_watch else None
        # Set by Saddle apps. A later version that cannot be loaded does not turn it off.
        self._reload = self._reload or bool(getattr(app, "use_reloader", False))
        if self._reload and not self.as_a_whole:
            directory.reloads = True
            directory.adopt(getattr(app, "part_modules", ()))


class _Watch:
    """Files that may mend an app when they change: all Python files in some directories, and some others."""

    def __init__(self, directories: Set[str]) -> None:
        self._directories: Set[str] = set()
        self._seen: Stamps = {}
        self.add_directories(directories)

    def directories(self) -> set[str]:
        return {*self._directories, *map(os.path.dirname, self._seen)}

    def add_directories(self, directories: Set[str]) -> None:
        self._seen = _python_files(directories - self._directories) | self._seen
        self._directories |= directories

    def add_files(self, paths: Set[str]) -> None:
        self._seen = {path: file_stamp(path) for path in paths} | self._seen

    def has_changed(self) -> bool:
        return bool(self.changed())

    def changed(self) -> set[str]:
        now = {path: file_stamp(path) for path in self._seen} | _python_files(self._directories)
        return {path for path, stamp in now.items() if path not in self._seen or stamp != self._seen[path]}


def _python_files(directories: Set[str]) -> Stamps:
    paths = [str(path) for directory in directories for path in Path(directory).glob("*.py")]
    return {path: file_stamp(path) for path in paths}


def _failing_files(error: BaseException | None) -> set[str]:
    if error is None:
        return set()
    files = {frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)}
    if isinstance(error, SyntaxError) and error.filename:
        files.add(error.filename)
    return files


def _locate(source: AppSource) -> tuple[AppDirectory, str]:
    """Return the directory that imports are relative to, and the name of the module seen from there."""
    path, name = _root(source)
    return app_directory(path), name


def _root(source: AppSource) -> tuple[Path, str]:
    path = Path(os.path.realpath(source.directory))
    name = source.module
    if (path / f"{name}.py").is_file():
        name = name.replace(".", FILE_NAME_DOT)
    # If its name cannot stand in an import statement, a directory is no package, whatever it contains.
    while (path / "__init__.py").is_file() and path.name.isidentifier():
        name = f"{path.name}.{name}"
        path = path.parent
    return path, name


def traceback_of_app(error: BaseException) -> TracebackType | None:
    """Return the traceback of ``error`` from the first frame that is not ours or importlib's."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _MACHINERY:
        frames = frames.tb_next
    return frames
