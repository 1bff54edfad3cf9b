"""The modules of mounted apps: one module a file, whatever name it is imported by.

Two apps may both consist of ``wsgi.py`` and ``helper.py``, but ``sys.modules`` has one entry a name. Hence:

- Each app directory is a synthetic package ``skitai_app_<hash>``, and stands at the end of ``sys.path``.
- A module that an ordinary ``import name`` would find in the directory is *public*: it has its ordinary
  name, as under any other server. Frameworks import by name (Django's settings and models), so it must not
  exist twice; in the package it is an alias: ``skitai_app_<hash>.name`` is the same module.
- A module whose name belongs to somebody else (another app's ``helper``, the standard library's ``email``)
  is *private*: it is ``skitai_app_<hash>.name``. Where a plain import in the directory means it, the import
  is rewritten in the syntax tree, when the importing module is compiled.

Rewriting happens only where names clash; all else is the ordinary import system, its byte code cache
included. The alternative, giving every module of an app a ``__builtins__`` with another ``__import__``,
would hide from it what others add to ``builtins`` later (``gettext.install``) and put frames of ours between
those of each import. Rewriting cannot reach names in strings: ``importlib.import_module("helper")`` gives
the public module.

The import system is global to the process, and therefore the register of directories is, too.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any

from skitai.server.apps.finder import AppFinder, location, package_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

    Stamp = tuple[int, int] | None

_SERVER = Path(__file__).parents[2].resolve()
_STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
_EXTENSIONS = tuple(EXTENSION_SUFFIXES)
_directories: dict[Path, AppDirectory] = {}
#: Held while a directory is added and made importable, and not while a module runs, which may wait.
_installing = Lock()


def app_directory(path: Path) -> AppDirectory:
    """Return the one ``AppDirectory`` of ``path`` (absolute, symbolic links resolved), ready for imports.

    Called in any thread.
    """
    with _installing:
        if path not in _directories:
            _directories[path] = AppDirectory(path)
        _directories[path].install()
        return _directories[path]


def file_stamp(path: str) -> Stamp:
    """Return what changes when a file does, its modification time in ns and its size; None without a file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


class AppDirectory:
    """The modules below one directory.

    ``compiled`` maps the name of each module read since the last ``drop_all()`` to its file and that file's
    stamp before it was read. ``generation`` counts the calls of ``drop_all()``. While ``from_source`` is
    true, byte code caches are not used: they miss a change of equal size within the same second.
    ``elsewhere`` maps the names of modules that were adopted to their files. ``reloads`` says whether an app
    of the directory is loaded again when its files change.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.package = f"skitai_app_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"
        self.from_source = False
        self.generation = 0
        self.reloads = False
        self.compiled: dict[str, tuple[str, Stamp]] = {}
        self.elsewhere: dict[str, str] = {}
        self._finder = AppFinder(self, str(path))
        self._public: dict[str, bool] = {}

    def install(self) -> None:
        """Make the package and the directory importable, unless they are."""
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
        """Return the name in ``sys.modules`` of the module called ``name`` as seen from the directory."""
        return name if self.is_public(_top(name)) else f"{self.package}.{name}"

    def is_public(self, top: str) -> bool:
        """Return whether an ordinary import of ``top`` gives the module or package in this directory."""
        if top not in self._public:
            local = self._finder.find_spec(top)
            if local is None:
                return False  # so far: it may be written while the app runs
            self._public[top] = self._is_here(location(local), _ordinary_location(top))
        return self._public[top]

    def is_private(self, top: str) -> bool:
        """Return whether ``import top`` in this directory means a module that an ordinary import misses."""
        local = self._finder.find_spec(top)
        if local is None or top in sys.builtin_module_names:  # no file can shadow those in any Python
            return False
        # A mere directory, say ``email/`` with mail templates, yields to a module, as it does on sys.path.
        shadows = local.loader is not None or os.path.isdir(_ordinary_location(top) or "")
        return shadows and not self.is_public(top)

    def record(self, name: str, path: str) -> None:
        """Note that the module ``name`` is about to be read from ``path``. Called in the importing thread."""
        self.compiled[name] = (path, file_stamp(path))

    def adopt(self, names: Iterable[str]) -> None:
        """Count the named modules, and those below them, among the directory's, whose apps they are part of.

        They may be anywhere but among installed libraries; those that are not loaded are passed over. Their
        stamps are of now, so this is for right after they were loaded.
        """
        below = tuple(f"{name}." for name in names)
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None) if f"{name}.".startswith(below) else None
            if file and name not in self.compiled and not _is_installed(file):
                self.elsewhere[name] = file
                self.record(name, file)

    def drop_strangers(self, imported: Set[str]) -> set[str]:
        """Remove those of the modules that are neither this directory's nor a library's; return their files.

        For after a load that failed: it may be owed to any module that it imported, and the next attempt must
        not find them as they were. Those of other apps stay, and so do packages with extension modules, which
        refuse to be loaded twice.
        """
        others = {name for other in list(_directories.values()) for name in list(other.compiled)}
        files = {
            name: file
            for name in imported - others
            if (file := getattr(sys.modules.get(name), "__file__", None)) and not _is_installed(file)
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
        """Forget all modules loaded from this directory, so that the next import loads them anew.

        So does another directory from which a module was adopted, if apps there are loaded again, too.
        """
        self.drop(self.loaded() | self.elsewhere.keys())
        self.compiled.clear()
        self._public.clear()
        self.generation += 1
        for other in list(_directories.values()):
            if other.reloads and self.elsewhere.keys() & (other.compiled.keys() - other.elsewhere.keys()):
                other.drop_all()

    def _is_here(self, local: str | None, other: str | None) -> bool:
        """Return whether ``other`` is ``local``, though sys.path may spell the directory in another way.

        Only the directory is resolved: a file that two apps share by symbolic links belongs to each of them.
        """
        if local is None or other is None:
            return False
        tail = os.sep + os.path.relpath(local, self.path)
        return other.endswith(tail) and Path(other.removesuffix(tail) or os.sep).resolve() == self.path


class ImportsOfThread:
    """Notes within a ``with`` block the ``names`` of modules that this thread begins to import."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._thread = get_ident()

    def __enter__(self) -> ImportsOfThread:
        sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_exc_info: object) -> None:
        sys.meta_path.remove(self)

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> None:
        """Find nothing, and note that it is looked for (``importlib.abc.MetaPathFinder``)."""
        if get_ident() == self._thread:
            self.names.add(name)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _path_hook(entry: str) -> AppFinder:
    owner = _owner(entry)
    if owner is None:
        raise ImportError(f"{entry} is not below the directory of an app", path=entry)
    return AppFinder(owner, entry)


def _owner(entry: str) -> AppDirectory | None:
    """Return the app directory that modules in the directory ``entry`` belong to, if any."""
    real = os.path.realpath(entry)
    if not any(
        real == root or real.startswith(os.path.join(root, "")) for root in map(str, list(_directories))
    ):
        return None
    path = Path(real)
    # Libraries may be installed below an app (``.venv``) and one app below another: the nearest root counts.
    on_path = {Path(entry).resolve() for entry in sys.path if isinstance(entry, str)}
    nearest = next((parent for parent in (path, *path.parents) if parent in on_path), None)
    if nearest in _SERVER.parents and path.is_relative_to(_SERVER):
        return None  # an app in Skitai's own source tree must not reload the server
    return None if nearest is None else _directories.get(nearest)


def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    ours_or_python_s = not {_SERVER, _STANDARD_LIBRARY}.isdisjoint(path.parents)
    return ours_or_python_s or not {"site-packages", "dist-packages"}.isdisjoint(path.parts)


def _ordinary_location(top: str) -> str | None:
    """Return the file of the module that an ordinary ``import top`` gives, or the directory without one."""
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
