"""The ``[routes:line]`` section: which virtual host answers what, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from skitai.config.casters import quoted
from skitai.config.clusters import ClusterConfig, unknown_cluster
from skitai.config.mounts import Mount, ProxyMount, mount_point, mount_target
from skitai.config.reader import ConfigLine, Section

#: The name of the virtual host that answers what no other one matches.
DEFAULT_HOST = "default"
_HEADING = (":", "@")
_PROXIED_TYPE = "http"
_HOST = re.compile(
    r"\.?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\]"
)


@attrs.frozen
class VirtualHost:
    """Mounts that answer under the same host names, in lower case.

    A name is exact, or begins with a dot and matches that domain and all below it, or is ``DEFAULT_HOST``.
    """

    names: tuple[str, ...]
    mounts: tuple[Mount, ...]


def read_hosts(section: Section, clusters: Mapping[str, ClusterConfig]) -> tuple[VirtualHost, ...]:
    """Return the virtual hosts of the section; raises ConfigError.

    A name under two headings gets the mounts of both; each name is in one virtual host only.
    """
    mounts: dict[str, dict[tuple[type, str], Mount]] = {}
    names: tuple[str, ...] = (DEFAULT_HOST,)
    for line in section.lines:
        if line.text.startswith(_HEADING):
            names = _host_names(section, line)
        else:
            mount = _mount(section, line, clusters)
            for name in names:
                _add(section, mounts.setdefault(name, {}), name, mount)
    names_by_mounts: dict[tuple[Mount, ...], list[str]] = {}
    for name, added in mounts.items():
        names_by_mounts.setdefault(tuple(added.values()), []).append(name)
    return tuple(VirtualHost(tuple(names), mounts) for mounts, names in names_by_mounts.items())


def _host_names(section: Section, line: ConfigLine) -> tuple[str, ...]:
    written = line.text[1:].split()
    if not written:
        raise section.error("the heading names no host: write ': default' or ': HOST HOST'", line=line.number)
    return tuple(dict.fromkeys(_host_name(section, line, name) for name in written))


def _host_name(section: Section, line: ConfigLine, written: str) -> str:
    name = written.lower()
    if name.startswith("*."):
        name = name[1:]
    if not _HOST.fullmatch(name):
        message = f"{quoted(written)} is not a host name: write host, .domain or default, with spaces between"
        raise section.error(message, line=line.number)
    return name


def _mount(section: Section, line: ConfigLine, clusters: Mapping[str, ClusterConfig]) -> Mount:
    written, separator, target = (part.strip() for part in line.text.partition("="))
    if not separator:
        raise section.error("expected 'mount = target' or ': host'", line=line.number)
    try:
        point = mount_point(written)
        if target.startswith("@"):
            return ProxyMount(point, _proxied_cluster(target[1:], clusters), line.number)
        return mount_target(point, target, section.folder, line.number)
    except ValueError as error:
        raise section.error(str(error), key=written, line=line.number) from error


def _proxied_cluster(name: str, clusters: Mapping[str, ClusterConfig]) -> str:
    if name not in clusters:
        raise ValueError(unknown_cluster(name, clusters))
    if clusters[name].type != _PROXIED_TYPE:
        raise ValueError(
            f"@{name} has type {clusters[name].type}: only a cluster of type http can be mounted"
        )
    return name


def _add(section: Section, mounts: dict[tuple[type, str], Mount], host: str, mount: Mount) -> None:
    """Add a mount to those of a host; an app and a folder may share a point, two of a kind may not."""
    earlier = mounts.setdefault((type(mount), mount.point), mount)
    if earlier is not mount:
        message = f"contradicts line {earlier.line}, the same mount point of host {host}: keep one of the two"
        raise section.error(message, key=mount.point or "/", line=mount.line)
