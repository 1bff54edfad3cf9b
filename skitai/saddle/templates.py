"""Jinja2 templates out of one folder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, TemplateNotFound


class Templates:
    """The templates in ``folder``, which need not exist before the first one is rendered.

    ``autoescape`` tells whether ``{{ value }}`` escapes HTML (README: it does not, unless the app says so);
    with ``debug`` a changed template file is seen at once, otherwise each file is read one time only.
    ``globals`` are names that every template knows. All methods may be called in any thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        autoescape: bool,
        debug: bool,
        globals: Mapping[str, Any] = {},  # noqa: A002 - jinja2's word for them
    ) -> None:
        self.folder = folder
        self._autoescape = autoescape
        self._debug = debug
        self._globals = globals
        self._environment: Environment | None = None
        self._lock = threading.Lock()

    @property
    def environment(self) -> Environment:
        """The jinja2 environment, which the app may change: made when it is first asked for."""
        if self._environment is None:
            with self._lock:
                if self._environment is None:
                    self._environment = self._make()
        return self._environment

    def _make(self) -> Environment:
        environment = Environment(
            loader=_FolderLoader(self.folder),
            autoescape=self._autoescape,  # noqa: S701 - the app decides
            auto_reload=self._debug,
        )
        environment.globals.update(self._globals)
        return environment

    def render(self, name: str, variables: Mapping[str, Any]) -> str:
        """Return the text of the template ``name`` (a path below the folder; a leading "/" means nothing).

        Raises jinja2's TemplateNotFound, which names the folder, and TemplateSyntaxError.
        """
        return self.environment.get_template(name.lstrip("/")).render(variables)


class _FolderLoader(FileSystemLoader):
    """Says which folder was searched, for templates that others extend or include too.

    jinja2 refuses names that lead out of the folder itself.
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
