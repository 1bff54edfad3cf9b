"""Where skitaid finds its configuration, and where it keeps logs and locks."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

import attrs

from skitai.config.keys import typed_values
from skitai.config.places import (
    GLOBAL_KEYS,
    daemon_log_folder,
    logs_kept,
    server_log_folder,
    state_folder,
    user_folder,
)
from skitai.config.reader import Section, read_sections
from skitai.errors import ConfigError
from skitai.formats.spelling import nearest

#: The agents that skitaid runs beside the servers: no server may have their names.
MAIL_AGENT = "smtpda"
AGENTS = ("cron", MAIL_AGENT)
#: The logs of a server.
SERVER_LOGS = ("server", "request", "app", "stderr")

#: The options that say where things are, and the variables that do.
VARIABLES = {name: f"SKITAID_{name.upper()}" for name in ("config", "log_path", "var_path")}

_GLOBAL = "global"
#: The sections of skitaid.conf; all but the first are those of the agents.
_SECTIONS = (_GLOBAL, "cron", "crontab:line", MAIL_AGENT)
_ROOT = 0


@attrs.frozen
class Places:
    """The file ``config``, and the folders. ``warnings`` are sentences for the user about the file.

    ``logs_kept`` are the former files of each log; 0: logs are not rotated. ``has_own_var`` says that ``var``
    is not the folder that its user has by default.
    """

    config: Path
    logs: Path
    var: Path
    lock: Path
    logs_kept: int = 0
    has_own_var: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def servers(self) -> Path:
        """The folder of the configurations of servers."""
        return self.config.parent / "servers-enabled"

    @property
    def available(self) -> Path:
        """The folder of configurations of servers that may be enabled."""
        return self.config.parent / "servers-available"

    @property
    def pid_file(self) -> Path:
        """The file with the process id of skitaid, which is locked while that runs."""
        return self.lock / "skitaid.pid"

    @property
    def socket(self) -> Path:
        """The Unix socket where skitaid takes commands."""
        return self.lock / "skitaid.sock"

    def folder_of(self, name: str | None) -> Path:
        """Return the folder with the logs of a server or of an agent; without a name, that of skitaid."""
        if name is None:
            return self.logs
        return (daemon_log_folder if name in AGENTS else server_log_folder)(self.logs, name)

    def log_of(self, name: str | None, kind: str | None = None) -> Path:
        """Return a log. ``kind``, one of SERVER_LOGS, counts for servers only, and is ``app`` by default."""
        if name is None or name in AGENTS:
            return self.folder_of(name) / f"{name or 'skitaid'}.log"
        return self.folder_of(name) / f"{kind or 'app'}.log"

    def has_mail(self) -> bool:
        """Return whether the file has ``[smtpda]`` now. Raises ConfigError."""
        return self.config.exists() and MAIL_AGENT in read_sections(self.config)

    def tell_children(self, environ: MutableMapping[str, str]) -> None:
        """Say in ``environ`` where the spool is, if children could not know: their mail goes there."""
        if self.has_own_var:
            environ[VARIABLES["var_path"]] = str(self.var)

    def make_folders(self) -> None:
        """Make the folders of skitaid itself, for its user alone where others could disturb it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.var.mkdir(parents=True, exist_ok=True)
        self.lock.mkdir(parents=True, exist_ok=True, mode=0o755)


def find_places(given: Mapping[str, str | None], environ: Mapping[str, str], uid: int) -> Places:
    """Return the places of the user ``uid``.

    What counts first is ``given`` (the options), then VARIABLES, then ``[global]`` of the file, then the
    defaults.
    Raises ConfigError for a wrong file, and for one that was named and is not there.
    """

    def said(key: str) -> Path | None:
        text = given.get(key) or environ.get(VARIABLES[key])
        return Path(text).absolute() if text else None

    state = state_folder(environ, uid)
    named = said("config")
    config = named or _config_folder(environ, uid) / "skitaid.conf"
    values, warnings = _read(config, must_exist=named is not None)
    var = said("var_path") or values["var_path"]
    logs = said("log_path") or values["log_path"]
    default_logs = Path("/var/log/skitaid") if uid == _ROOT else state / "log"
    is_default_root = uid == _ROOT and var is None
    return Places(
        config=config,
        logs=logs or default_logs,
        var=var or state,
        lock=Path("/var/lock/skitaid") if is_default_root else (var or state) / "lock",
        logs_kept=logs_kept(values),
        has_own_var=var is not None,
        warnings=warnings,
    )


def _config_folder(environ: Mapping[str, str], uid: int) -> Path:
    return Path("/etc/skitaid") if uid == _ROOT else user_folder(environ, "XDG_CONFIG_HOME", ".config")


def _read(config: Path, *, must_exist: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not config.exists() and not must_exist:
        return {name: key.default for name, key in GLOBAL_KEYS.items()}, ()
    sections = read_sections(config)
    values = typed_values(sections.get(_GLOBAL, Section(str(config), _GLOBAL, 0)), GLOBAL_KEYS)
    unknown = [section for name, section in sections.items() if name not in _SECTIONS]
    hints = (section.error(f"unknown section: {nearest(section.name, _SECTIONS)}") for section in unknown)
    return values, tuple(str(hint) for hint in hints)


def config_of(places: Places, name: str) -> Path:
    """Return the configuration that ``-f name`` means: ``e/`` is servers-enabled, ``a/`` servers-available.

    Without one of these, the first folder counts that has it. Raises ConfigError.
    """
    folders = {"e": places.servers, "a": places.available}
    which, slash, rest = name.partition("/")
    looked = [folders[which]] if slash and which in folders else list(folders.values())
    stem = (rest if slash and which in folders else name).removesuffix(".conf")
    for folder in looked:
        if (folder / f"{stem}.conf").is_file():
            return folder / f"{stem}.conf"
    raise ConfigError(f"there is no {stem}.conf in {' or '.join(map(str, looked))}")
