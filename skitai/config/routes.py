"""The ``[routes:line]`` section: which lines stand under which virtual host."""

from __future__ import annotations

import re

import attrs

from skitai.config.casters import dns_name, quoted
from skitai.config.mounts import Mount, read_mount
from skitai.config.reader import ConfigLine, Section

#: The name of the virtual host that answers what no other one matches.
DEFAULT_HOST = "default"
_HEADING = (":", "@")
_HOST = re.compile(
    r"\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\]"
)


@attrs.frozen
class VirtualHost:
    """The mounts that answer under the same host names, in lower case.

    A name is exact, or begins with a dot and matches that domain and all below it, or is ``DEFAULT_HOST``.
    """

    names: tuple[str, ...]
    mounts: tuple[Mount, ...]


def read_hosts(section: Section) -> tuple[VirtualHost, ...]:
    """Return the virtual hosts of the section; raises ConfigError.

    A name under two headings gets the mounts of both; each name is in one virtual host only.
    """
    mounts: dict[str, list[Mount]] = {}
    names: tuple[str, ...] = (DEFAULT_HOST,)
    heading: ConfigLine | None = None
    for line in section.lines:
        if line.text.startswith(_HEADING):
            _refuse_empty(section, heading)
            heading, names = line, _host_names(section, line)
        else:
            heading = None
            mount = read_mount(section, line)
            for name in names:
                mounts.setdefault(name, []).append(mount)
    _refuse_empty(section, heading)
    names_by_mounts: dict[tuple[Mount, ...], list[str]] = {}
    for name, added in mounts.items():
        names_by_mounts.setdefault(tuple(added), []).append(name)
    return tuple(VirtualHost(tuple(names), mounts) for mounts, names in names_by_mounts.items())


def _refuse_empty(section: Section, heading: ConfigLine | None) -> None:
    """Raise ConfigError for a heading that no route has followed."""
    if heading is not None:
        hint = "write one, or put all names into one heading"
        raise section.error(f"no route stands below {quoted(heading.text)}: {hint}", line=heading.number)


def _host_names(section: Section, line: ConfigLine) -> tuple[str, ...]:
    written = line.text[1:].split()
    if not written:
        raise section.error("the heading names no host: write ': default' or ': HOST HOST'", line=line.number)
    return tuple(dict.fromkeys(_host_name(section, line, name) for name in written))


def _host_name(section: Section, line: ConfigLine, written: str) -> str:
    name = dns_name(written)
    if name.startswith("*."):
        name = name[1:]
    if not _HOST.fullmatch(name):
        message = f"{quoted(written)} is not a host name: write host, .domain or default, with spaces between"
        raise section.error(message, line=line.number)
    return name
