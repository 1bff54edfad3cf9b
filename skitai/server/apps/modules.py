"""The modules of mounted apps: one module for each file, under whatever name it is imported.

Two apps may both consist of ``wsgi.py`` and ``helper.py``, but ``sys.modules`` has one entry for each name.
Therefore:

- Each app directory is a synthetic package ``skitai_app_<hash>``, and is at the end of ``sys.path``.
- A module that an ordinary ``import name`` would find in the directory is *public*. It has its ordinary name,
  as under any other server. Frameworks import by name (Django's settings and models), so it must not exist
  twice: in the package, ``skitai_app_<hash>.name`` is an alias for it.
- If the name belongs to another module (another app's ``helper``, the standard library's ``email``), the
  module in the directory is *private*: it is ``skitai_app_<hash>.name``. Plain imports of it in the directory
  are rewritten in the syntax tree, when the importing module is compiled.

Imports are only rewritten where names clash. Everything else is the ordinary import system with its byte code
cache. The alternative would be a ``__builtins__`` with another ``__import__`` in every module of an app. It
would hide what others add to ``builtins`` later (``gettext.install``), and add frames to the traceback of
each import.

Names in strings are not rewritten: ``importlib.import_module("helper")`` gives the public module.

The import system is global to the process, and so is the register of directories.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from skitai.server.apps.finder import AppFinder, location, package_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    Stamp = tuple[int, int] | None

_SERVER = Path(__file__).parents[2].resolve()
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_EXTENSIONS = tuple(EXTENSION_SUFFIXES)
_directories: dict[Path, AppDirectory] = {}
#: Held while a directory is made importable, but not while a module runs: that may wait.
_installing = Lock()


def app_directory(path: Path) -> AppDirectory:
    """Return the ``AppDirectory`` of ``path`` (absolute, symbolic links resolved), ready for imports.

    Called in any thread.
    """
    with _installing:
        if path not in _directories:
            _directories[path] = AppDirectory(path)
        _directories[path].install()
        return _directories[path]


def file_stamp(path: str) -> Stamp:
    """Return modification time (ns) and size of a file, which show a change; None if it does not exist."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class AppDirectory:
    """The modules below one directory.

    ``compiled`` has the modules that were read since the last ``drop_all()``: by name, their files and the
    stamps of these before they were read. ``generation`` counts the calls of ``drop_all()``. While
    ``from_source`` is true, byte code caches are not used: they miss a change of equal size within a second.
    With ``distrusts_cache`` that holds for files which have just been written, so no cache of them is made.
    ``elsewhere`` has the files of adopted modules by name. ``reloads`` says whether an app of the directory
    is loaded again when its files change.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.package = f"skitai_app_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
        self.from_source = self.distrusts_cache = False
        self.generation = 0
        self.reloads = False
        self.compiled: dict[str, tuple[str, Stamp]] = {}
        self.elsewhere: dict[str, str] = {}
        self._finder = AppFinder(self, str(path))
        self._public: dict[str, bool] = {}

    def install(self) -> None:
        """Make the package and the directory importable, unless they are already."""
        if str(self.path) in sys.path and self.package in sys.modules:
            return
        if str(self.path) not in sys.path:
            sys.path.append(str(self.path))
        if _path_hook not in sys.path_hooks:
            sys.path_hooks.insert(0, _path_hook)
        for entry, finder in list(sys.path_importer_cache.items()):
            if not isinstance(finder, AppFinder) and _owner(entry):
                sys.path_importer_cache.pop(entry, None)
        sys.path_importer_cache[str(self.path)] = self._finder
        spec = package_spec(self.package, str(self.path))
        sys.modules[self.package] = importlib.util.module_from_spec(spec)

    def module_name(self, name: str) -> str:
        """Return the name in ``sys.modules`` of the module that is ``name`` within the directory."""
        return name if self.is_public(_top(name)) else f"{self.package}.{name}"

    def is_public(self, top: str) -> bool:
        """Return whether an ordinary import of ``top`` finds the module or package in this directory."""
        if top not in self._public:
            local = self._finder.find_spec(top)
            if local is None:
                return False  # not stored: the file may be written while the app runs
            self._public[top] = self._is_here(location(local), _ordinary_location(top))
        return self._public[top]

    def is_private(self, top: str) -> bool:
        """Return whether ``import top`` here means a module that an ordinary import does not find."""
        local = self._finder.find_spec(top)
        if local is None or top in sys.builtin_module_names:  # no file can shadow a built-in module
            return False
        # A plain directory, such as ``email/`` with templates, comes after a module, as it does on sys.path.
        shadows = local.loader is not None or os.path.isdir(_ordinary_location(top) or "")
        return shadows and not self.is_public(top)

    def record(self, name: str, path: str) -> None:
        """Note that the module ``name`` is about to be read from ``path``. Called in the importing thread."""
        self.compiled[name] = (path, file_stamp(path))

    def adopt(self, names: Iterable[str]) -> None:
        """Treat the named modules, and those below them, as modules of this directory.

        They belong to an app of the directory. Installed libraries and modules that are not loaded are
        skipped. The stamps are taken now, so this must be called right after the modules were loaded.
        """
        below = tuple(f"{name}." for name in names)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) if f"{name}.".startswith(below) else None
            if file and name not in self.compiled and not is_installed(file):
                self.elsewhere[name] = file
                self.record(name, file)

    def drop_strangers(self, imported: Set[str]) -> set[str]:
        """Remove the ``imported`` modules that belong neither to an app nor to a library. Return their files.

        Called after a load that failed. Any module that it imported may be the reason, and the next attempt
        must load it anew. Packages with extension modules stay, because these cannot be loaded twice.
        """
        others = {name for other in list(_directories.values()) for name in list(other.compiled)}
        files = {
            name: file
            for name in imported - others
            if (file := getattr(sys.modules.get(name), "__file__", None)) and not is_installed(file)
        }
        compiled = {_top(name) for name, file in files.items() if file.endswith(_EXTENSIONS)}
        strangers = {name: file for name, file in files.items() if _top(name) not in compiled}
        self.drop(strangers)
        return set(strangers.values())

    def loaded(self) -> set[str]:
        """Return the names of the modules read since the last ``drop_all()`` that are in ``sys.modules``."""
        return {name for name in list(self.compiled) if name in sys.modules}

    def drop(self, names: Iterable[str]) -> None:
        """Remove the named modules from ``sys.modules``; their files stay in ``compiled``."""
        for name in names:
            _remove_module(name)
            _remove_module(f"{self.package}.{name}")

    def drop_all(self) -> None:
        """Remove all modules of this directory, so that the next import loads them anew.

        If a module was adopted from another directory whose apps are reloaded, too, its modules are removed
        as well.
        """
        self.drop(self.loaded() | self.elsewhere.keys())
        self.compiled.clear()
        self._public.clear()
        self.generation += 1
        for other in list(_directories.values()):
            if other.reloads and self.elsewhere.keys() & (other.compiled.keys() - other.elsewhere.keys()):
                other.drop_all()

    def _is_here(self, local: str | None, other: str | None) -> bool:
        """Return whether ``other`` is ``local``, even if sys.path spells the directory differently.

        Only the directory is resolved: a file that two apps share by symbolic links belongs to both.
        """
        if local is None or other is None:
            return False
        tail = os.sep + os.path.relpath(local, self.path)
        return other.endswith(tail) and Path(other.removesuffix(tail) or os.sep).resolve() == self.path


class OwnImports:
    """Within a ``with`` block, collects the ``names`` of the modules that this thread or greenlet imports."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._importer = getcurrent()  # each thread has a greenlet of its own, too

    def __enter__(self) -> OwnImports:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Record the name, and find nothing (``importlib.abc.MetaPathFinder``)."""
        if getcurrent() is self._importer:
            self.names.add(name)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _path_hook(entry: str) -> AppFinder:
    owner = _owner(entry)
    if owner is None:
        raise ImportError(f"{entry} is not below the directory of an app", path=entry)
    return AppFinder(owner, entry)


def _owner(entry: str) -> AppDirectory | None:
    """Return the app directory to which modules in the directory ``entry`` belong, if any."""
    real = os.path.realpath(entry)
    if not any(
        real == root or real.startswith(os.path.join(root, "")) for root in map(str, list(_directories))
    ):
        return None
    path = Path(real)
    # Libraries (``.venv``) and other apps may be below an app: the nearest directory on sys.path counts.
    on_path = {Path(entry).resolve() for entry in sys.path if isinstance(entry, str)}
    nearest = next((parent for parent in (path, *path.parents) if parent in on_path), None)
    if nearest in _SERVER.parents and path.is_relative_to(_SERVER):
        return None  # an app in Skitai's own source tree must not reload the server
    return None if nearest is None else _directories.get(nearest)


def is_installed(file: str) -> bool:
    """Return whether a file belongs to a library, to Python or to Skitai itself."""
    path = Path(file).resolve()
    is_below_ours_or_pythons = not {_SERVER, _STANDARD_LIBRARY}.isdisjoint(path.parents)
    return is_below_ours_or_pythons or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _ordinary_location(top: str) -> str | None:
    """Return the file that an ordinary ``import top`` finds, or the directory of a package without one."""
    if top not in sys.modules:
        spec = importlib.util.find_spec(top)
        return None if spec is None else location(spec)
    module: Any = sys.modules[top]
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)


def _remove_module(name: str) -> None:
    module = sys.modules.pop(name, None)
    package, _, tail = name.rpartition(".")
    # ``from package import tail`` looks at the attribute first.
    if module is not None and package in sys.modules and vars(sys.modules[package]).get(tail) is module:
        delattr(sys.modules[package], tail)
