"""The Jinja2 templates of one folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, TemplateNotFound


class Templates:
    """The templates in ``folder``, which need not exist before the first one is rendered.

    ``autoescape`` says whether ``{{ value }}`` escapes HTML; README leaves that to the app. With ``debug``, a
    changed file is read again at once. Otherwise each file is read once. ``parent()`` returns an
    environment whose filters, tests and globals these templates can use. All methods may be called in any
    thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        autoescape: bool,
        debug: bool,
        parent: Callable[[], Environment] | None = None,
    ) -> None:
        self.folder = folder
        self._autoescape = autoescape
        self._debug = debug
        self._parent = parent
        self._environment: Environment | None = None
        self._lock = threading.Lock()

    @property
    def environment(self) -> Environment:
        """The jinja2 environment, which the app may change. It is made when it is first used."""
        if self._environment is None:
            with self._lock:
                if self._environment is None:
                    self._environment = self._make()
        return self._environment

    def configure(self, *, autoescape: bool, debug: bool) -> None:
        """Follow an app that has changed its settings after it used the environment."""
        if (autoescape, debug) == (self._autoescape, self._debug):
            return
        with self._lock:
            self._autoescape, self._debug = autoescape, debug
            if self._environment is not None:
                self._environment.autoescape, self._environment.auto_reload = autoescape, debug
                if self._environment.cache is not None:
                    self._environment.cache.clear()

    def _make(self) -> Environment:
        make = Environment if self._parent is None else self._parent().overlay
        return make(loader=_FolderLoader(self.folder), autoescape=self._autoescape, auto_reload=self._debug)

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the text of the template ``name``, a path in the folder; a leading slash is ignored.

        Raises jinja2's TemplateNotFound, which names the folder, and TemplateSyntaxError.
        """
        return self.environment.get_template(name.lstrip("/")).render(variables)


class _FolderLoader(FileSystemLoader):
    """Names the folder in the error for a missing template, also for one that another includes or extends.

    jinja2 itself refuses names that lead out of the folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        try:
            return super().get_source(environment, template)
        except TemplateNotFound:
            place = (
                f" in {self._folder}" if self._folder.is_dir() else f": the folder {self._folder} is missing"
            )
            raise TemplateNotFound(template, f"no template {template!r}{place}") from None
