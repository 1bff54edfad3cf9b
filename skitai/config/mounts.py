"""What a route leads to: an app, a folder of files or a cluster."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from skitai.config.casters import quoted

DEFAULT_CALLABLE = "app"


@attrs.frozen
class AppMount:
    """An app: ``callable`` of the (dotted) ``module`` in ``directory``.

    ``point`` is the path it is mounted on: ``""`` for the root, else ``/x`` without a slash at the end.
    """

    point: str
    directory: Path
    module: str
    callable: str = DEFAULT_CALLABLE
    line: int = attrs.field(default=0, eq=False)

    @property
    def file(self) -> Path:
        """The file of the module: ``module.py``, or ``module/__init__.py`` where only that exists."""
        single, package = module_files(self.directory, self.module)
        return package if os.path.isfile(package) and not os.path.isfile(single) else single

    @property
    def target(self) -> str:
        """The right side of the route."""
        return f"{self.directory / self.module}:{self.callable}"


@attrs.frozen
class StaticMount:
    """A folder of files, mounted on ``point``."""

    point: str
    directory: Path
    line: int = attrs.field(default=0, eq=False)

    @property
    def target(self) -> str:
        """The right side of the route."""
        return str(self.directory)


@attrs.frozen
class ProxyMount:
    """A cluster, named without the ``@``, that answers requests below ``point``."""

    point: str
    cluster: str
    line: int = attrs.field(default=0, eq=False)

    @property
    def target(self) -> str:
        """The right side of the route."""
        return f"@{self.cluster}"


Mount = AppMount | StaticMount | ProxyMount


def module_files(directory: Path, module: str) -> tuple[Path, Path]:
    """Return where a dotted module may be: as a single file, and as a package."""
    base = directory.joinpath(*module.split("."))
    return base.parent / f"{base.name}.py", base / "__init__.py"


def mount_point(written: str) -> str:
    """Return the left side of a route without the slash at its end; raises ValueError."""
    if not written.startswith("/"):
        raise ValueError("a mount point starts with /")
    segments = written.removesuffix("/").split("/")[1:]
    if "" in segments or "." in segments or ".." in segments:
        raise ValueError("a mount point has no //, . or .. in it")
    if forbidden := next((character for character in "?#%" if character in written), None):
        raise ValueError(f"a mount point is a plain path, without {forbidden}")
    return written.removesuffix("/")


def mount_target(point: str, target: str, folder: Path, line: int) -> AppMount | StaticMount:
    """Return the mount of a path relative to ``folder``, its kind decided by what exists now.

    Raises ValueError where nothing fits.
    """
    if not target:
        raise ValueError("needs a target: a folder, path/module:callable or @cluster")
    parent, _, last = target.rpartition("/")
    name, colon, attribute = last.partition(":")
    if not colon and os.path.isdir(folder / target):
        return StaticMount(point, folder / target, line)
    directory = folder / (parent or ("/" if target.startswith("/") else ""))
    if "" in name.split("."):
        raise ValueError(f"{quoted(target)} names no module: write path/module:callable")
    attribute = attribute or DEFAULT_CALLABLE
    if not attribute.isidentifier():
        raise ValueError(f"{quoted(attribute)} cannot name a callable: write path/module:callable")
    _require_module(directory, name, None if colon else folder / target)
    return AppMount(point, directory, name, attribute, line)


def _require_module(directory: Path, module: str, folder: Path | None) -> None:
    files = module_files(directory, module)
    if any(map(os.path.isfile, files)):
        return
    wanted = f"the folder {folder} nor the app {files[0]}" if folder else f"{files[0]} nor {files[1]}"
    hint = "leave out .py" if module.endswith(".py") else "correct the path or create it"
    raise ValueError(f"there is neither {wanted}: {hint}")
