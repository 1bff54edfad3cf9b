"""What a configuration says about mail: that of a server, or skitaid.conf."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.keys import Key, typed_values
from skitai.config.mail import MAIL_KEYS
from skitai.config.places import GLOBAL_KEYS, var_folder
from skitai.config.reader import Section, read_sections
from skitai.daemon.skitaid.places import find_places
from skitai.mail.spool import mail_folder


@attrs.frozen
class MailSettings:
    """``path`` is the file, ``spool`` the folder of the spool.

    ``places`` are the values of ``[global]``, ``values`` those of ``[smtpda]``, where ``password`` is.
    ``is_configured`` says that the file has that section.
    """

    path: Path
    spool: Path
    places: Mapping[str, Any]
    values: Mapping[str, Any] = attrs.field(repr=False)
    is_configured: bool = True


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
    )
