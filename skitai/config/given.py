"""A configuration that stands in no file: the words of a command line say what is served."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import attrs

from skitai.config.mounts import Mount, read_mount
from skitai.config.reader import ConfigLine, Section
from skitai.config.routes import DEFAULT_HOST, VirtualHost
from skitai.errors import ConfigError

#: Where nobody else can ask: who wants others to, says so.
_LOOPBACK = "127.0.0.1"
#: The keys of ``[server]`` that say on which interfaces to listen.
_PLACES = frozenset({"ip", "listen"})
_SOCKET, _PORT = "unix_socket", "port"


@attrs.frozen
class GivenSection(Section):
    """A section of the command line: an error points at the ``word`` that it is about."""

    word: str = attrs.field(default="", kw_only=True)

    def error(self, message: str, *, key: str | None = None, line: int | None = None) -> ConfigError:  # noqa: ARG002
        """Return the error that points at the word, or at the option of ``key``, or at what others say."""
        if self.word:
            return ConfigError(message, path=self.word)
        if self.name == "server" and key:
            return ConfigError(message, path=f"--{key.replace('_', '-')}")
        return ConfigError(message, section=self.name, key=key)


@attrs.frozen
class Given:
    """What a command line serves, with paths from ``folder``: ``app`` at the root, and ``static`` folders.

    ``app`` is written as the target of a route, ``static`` as lines: ``/static=./dir max_age=1h``.
    """

    app: str | None = None
    static: tuple[str, ...] = ()
    folder: Path = attrs.field(factory=Path.cwd)

    @property
    def path(self) -> Path:
        """The file that would say the same: it gives the server its name."""
        if self.app is None:
            return self.folder / (self.folder.name or "static")
        module = self.folder / self.app.partition(":")[0]
        name = module.resolve().parent.name if module.name == "__init__" else module.name
        return self.folder / (name if self.app[:1] != ":" else "app")

    def overrides(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return the options ``given``, with those that hold where none says where to listen."""
        only_elsewhere = _SOCKET in given and _PORT not in given
        return given if only_elsewhere or _PLACES & given.keys() else {"ip": _LOOPBACK, **given}

    def hosts(self) -> tuple[VirtualHost, ...]:
        """Return the one virtual host. Raises ConfigError."""
        mounts: dict[str, Mount] = {}
        for mount in map(self._static, self.static):
            if mount.point in mounts:
                raise mount.error(f"{mount.point or '/'} has a folder already: keep one of the two")
            mounts[mount.point] = mount
        app = [] if self.app is None else [Mount("", self.app, section=self._routes(self.app))]
        return (VirtualHost((DEFAULT_HOST,), (*mounts.values(), *app)),)

    def _routes(self, word: str) -> Section:
        return GivenSection(str(self.path), "routes:line", 0, word=word)

    def _static(self, text: str) -> Mount:
        section = self._routes(f"--static {text}")
        if "=" not in text:
            raise section.error("write --static /PATH=FOLDER")
        mount = read_mount(section, ConfigLine(text, 0))
        if not os.path.isdir(self.folder / mount.target):
            raise section.error(f"there is no folder {self.folder / mount.target}")
        return mount
