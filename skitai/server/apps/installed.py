"""Apps that are installed, such as ``mysite.wsgi:application`` where a package brings ``mysite``.

Their modules are those of any import, and are not loaded again when their files change: those of others are
beside them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from skitai.server.apps.callables import find_app
from skitai.server.apps.loader import AppLoadError, AppSource, by_file_alone, load_error


def importable_from(module: str) -> Path | None:
    """Return the folder on Python's path that has ``module``, of which nothing is imported; None if none has.

    The standard library has no apps.
    """
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # the module was put there by hand
        return None
    if spec is None:
        return None
    place = next(iter(spec.submodule_search_locations or ()), spec.origin if spec.has_location else None)
    return None if place is None else Path(place).parent


class InstalledApp:
    """The app at ``source``, loaded on the first ``get()``; see ``LoadedApp``, which has the same methods."""

    #: Whether ``get`` must be called before each request.
    reloads = False

    def __init__(
        self,
        source: AppSource,
        *,
        given: Callable[[AppSource], Callable[..., Any] | None] = by_file_alone,
    ) -> None:
        self.source = source
        self.directory = source.directory
        self._given = given
        self._app: Callable[..., Any] | None = None
        self._error: AppLoadError | None = None

    @property
    def module(self) -> ModuleType | None:
        """The module of the app, if it is loaded. Read in any thread."""
        return sys.modules.get(self.source.module)

    def directories(self) -> set[str]:
        """Return nothing: no file loads the app again."""
        return set()

    def get(self) -> Callable[..., Any]:
        """Return the callable. Raises AppLoadError, always the same, if it could not be loaded."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._app is None:
            self._app = self._given(self.source) or self._load()
        return self._app

    def _load(self) -> Callable[..., Any]:
        try:
            return find_app(importlib.import_module(self.source.module), self.source.attribute)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a module of others raises
            self._error = load_error(self.source, error)
            raise self._error from self._error.__cause__
