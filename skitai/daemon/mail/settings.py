"""What a configuration says about mail: that of a server, or skitaid.conf."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.keys import Key, typed_values
from skitai.config.mail import MAIL_KEYS
from skitai.config.places import GLOBAL_KEYS, var_folder
from skitai.config.reader import Section, read_sections
from skitai.daemon.privileges import Identity, become, identity_of
from skitai.daemon.skitaid.places import find_places
from skitai.errors import ConfigError
from skitai.mail.spool import mail_folder


@attrs.frozen
class MailSettings:
    """``path`` is the file, ``spool`` the folder of the spool.

    ``places`` are the values of ``[global]``, ``values`` those of ``[smtpda]``, where ``password`` is.
    ``is_configured`` says that the file has that section. ``owner`` is whom root becomes before the spool is
    looked at: the user of the server.
    """

    path: Path
    spool: Path
    places: Mapping[str, Any]
    values: Mapping[str, Any] = attrs.field(repr=False)
    is_configured: bool = True
    owner: Identity | None = None


def read_settings(path: Path | None = None) -> MailSettings:
    """Return what the file says; without one, the skitaid.conf of this user, which need not be there.

    Other sections are not looked at. Raises ConfigError for a file that cannot be read, an unknown key and a
    wrong value.
    """
    if path is None:
        path = find_places({}, os.environ, os.geteuid()).config
        sections = read_sections(path) if path.exists() else {}
    else:
        sections = read_sections(path)

    def values(name: str, keys: Mapping[str, Key]) -> Mapping[str, Any]:
        section = sections.get(name, Section(str(path), name, line=0))
        return MappingProxyType(typed_values(section, keys))

    places = values("global", GLOBAL_KEYS)
    return MailSettings(
        path=path,
        spool=mail_folder(var_folder(places["var_path"])),
        places=places,
        values=values("smtpda", MAIL_KEYS),
        is_configured="smtpda" in sections,
        owner=_owner(sections.get("server")),
    )


def _owner(server: Section | None) -> Identity | None:
    """Return who a server with these settings runs as, if that is somebody else."""
    named = {} if server is None else {key: server.entries.get(key) for key in ("user", "group")}
    user, group = (entry.value if (entry := named.get(key)) else None for key in ("user", "group"))
    if server is None or not (user or group):
        return None
    try:
        return identity_of(user or None, group or None)
    except ValueError as error:
        raise server.error(str(error), key="user" if user else "group") from error


def as_owner(settings: MailSettings, read: Callable[[], MailSettings]) -> MailSettings:
    """Become the owner of ``settings``; return what ``read()`` gives then: folders of a user may be others.

    Called in the main thread, before there are others. Raises ConfigError.
    """
    if settings.owner is None:
        return settings
    try:
        become(settings.owner, ())
    except OSError as error:
        message = f"cannot become {settings.owner.name}: {error.strerror}"
        raise ConfigError(message, path=str(settings.path)) from error
    return read()
