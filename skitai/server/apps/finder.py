"""The import finder and loaders of app directories; ``skitai.server.apps.modules`` explains their purpose.

They are called in any thread that imports something.
"""

from __future__ import annotations

import ast
import importlib
import importlib.abc
import importlib.util
import os
import time
from functools import partial
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import TYPE_CHECKING

from skitai.server.apps import sibling_imports

if TYPE_CHECKING:
    from types import CodeType, ModuleType

    from skitai.server.apps.modules import AppDirectory

# Stands in a module's name for a dot in the file's name, as in ``my.app.py``: real dots separate packages.
FILE_NAME_DOT = "\N{ONE DOT LEADER}"

#: Seconds. Byte code caches know the time of their source in whole ones, and disks may have two.
_FRESH_SECONDS = 3.0


def package_spec(name: str, directory: str) -> ModuleSpec:
    """Return the spec of the synthetic package ``name``, whose modules are the files in ``directory``."""
    # There is no such file, but ``importlib.resources`` reads its directory.
    loader = SourceFileLoader(name, os.path.join(directory, "__init__.py"))
    # For Flask, the root of the project with ``instance/`` is the directory above that of the package.
    spec = ModuleSpec(name, loader, origin=os.path.join(directory, name, "__init__.py"), is_package=True)
    spec.submodule_search_locations = [directory]
    return spec


def location(spec: ModuleSpec) -> str | None:
    """Return the file of a module, or the directory of a package without one; None if it has neither."""
    return spec.origin if spec.has_location else next(iter(spec.submodule_search_locations or ()), None)


class AppFinder(FileFinder):
    """Finds modules in the directory of an app, or of a package in it."""

    def __init__(self, owner: AppDirectory, path: str) -> None:
        self._owner = owner
        super().__init__(
            path,
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (partial(_AppLoader, owner), SOURCE_SUFFIXES),  # type: ignore[arg-type]  # called like a class
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        )

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the spec of ``fullname``, or None. For a public module in the package, it is an alias."""
        package, _, name = fullname.partition(".")
        if package == self._owner.package and self._owner.is_public(name.partition(".")[0]):
            return ModuleSpec(fullname, _AliasLoader(name))
        if FILE_NAME_DOT in fullname:
            spec = self._spec_of_dotted_file(fullname)
        else:
            spec = super().find_spec(fullname, target)
        if spec is not None and "." not in fullname and spec.submodule_search_locations is None:
            return _PublicSpec(spec, self._owner.package)
        return spec

    def _spec_of_dotted_file(self, fullname: str) -> ModuleSpec | None:
        stem = fullname.rpartition(".")[2].replace(FILE_NAME_DOT, ".")
        path = os.path.join(self.path, f"{stem}.py")
        loader = _AppLoader(self._owner, fullname, path)
        return importlib.util.spec_from_file_location(fullname, path, loader=loader)


class _PublicSpec(ModuleSpec):
    """The spec of a public module directly in the app directory: its ``from . import x`` works."""

    def __init__(self, spec: ModuleSpec, package: str) -> None:
        super().__init__(spec.name, spec.loader, origin=spec.origin)
        self.has_location = True
        self._package = package

    @property
    def parent(self) -> str:
        return self._package


class _AppLoader(SourceFileLoader):
    """Loads a source file, and rewrites its plain imports of private modules."""

    def __init__(self, owner: AppDirectory, fullname: str, path: str) -> None:
        super().__init__(fullname, path)
        self._owner = owner

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        self._owner.record(fullname, path)
        if self._owner.from_source or (self._owner.distrusts_cache and _was_just_written(path)):
            code: CodeType | None = self.source_to_code(self.get_data(path), path)
        else:
            code = super().get_code(fullname)
        assert code is not None  # a source file always has code
        private = {top for top in sibling_imports.possible_imports(code) if self._owner.is_private(top)}
        if private:
            tree = ast.parse(self.get_data(path), path)
            sibling_imports.rewrite(tree, private, self._owner.package)
            code = self.source_to_code(tree, path)
        return code


def _was_just_written(path: str) -> bool:
    """Whether another change would have the same time, in seconds, as byte code caches have it."""
    try:
        return time.time() - os.stat(path).st_mtime < _FRESH_SECONDS
    except OSError:
        return True


class _AliasLoader(importlib.abc.Loader):
    """Returns the module of another name, and keeps its spec."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002 - named by the interface
        module = importlib.import_module(self._name)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec
