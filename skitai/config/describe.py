"""The resolved configuration as text, for ``twist skitai --check``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from skitai.config.certificates import CERTIFICATES_SECTION
from skitai.config.clusters import PREFIX, ClusterConfig, MemberConfig, masked_address
from skitai.config.keys import Key
from skitai.config.loader import Config
from skitai.config.mounts import Mount, written_target
from skitai.config.routes import DEFAULT_HOST, VirtualHost
from skitai.config.server import SERVER_KEYS

#: More mounts than these are not listed in one line.
_SHOWN_MAX = 20
_SECRET_WORDS = ("pass", "secret", "token", "pwd")


def _as_written(mount: Mount) -> str:
    return written_target(mount.target, mount.options)


def describe(config: Config, what: Callable[[Mount], str] = _as_written) -> str:
    """Return the configuration in the form of its file, defaults filled in and passwords as stars.

    ``what`` returns the right side of a route as its plugin understands it; without, it is as written.
    """
    server = {name: getattr(config.server, name) for name in SERVER_KEYS}
    blocks = [
        describe_section("server", SERVER_KEYS, server),
        _block("[routes:line]", _routes(config.hosts, what)),
    ]
    if config.certificates:
        blocks.append(_block(f"[{CERTIFICATES_SECTION}]", map(str, config.certificates)))
    blocks += [_block(f"[{PREFIX}{cluster.name}]", _cluster(cluster)) for cluster in config.clusters.values()]
    return "\n".join(blocks)


def mounted(hosts: Iterable[VirtualHost]) -> str:
    """Return in one line what is mounted where, as it is written, without options: they may be secrets."""
    found = [
        f"{'' if host.names == (DEFAULT_HOST,) else host.names[0]}{mount.point or '/'} = {mount.target}"
        for host in hosts
        for mount in host.mounts
    ]
    more = [f"and {len(found) - _SHOWN_MAX} more"] if len(found) > _SHOWN_MAX else []
    return ", ".join([*found[:_SHOWN_MAX], *more]) or "nothing"


def describe_section(name: str, keys: Mapping[str, Key], values: Mapping[str, Any]) -> str:
    """Return a section with typed values, such as one that ``Config.claim`` returned, in the same form."""
    return _block(f"[{name}]", (f"{key} = {keys[key].show(value)}" for key, value in values.items()))


def _block(header: str, lines: Iterator[str]) -> str:
    """Return lines as they are written: what reads like a variable of the environment is none any more."""
    return "".join(f"{line.rstrip()}\n" for line in (header, *lines)).replace("${", "$${")


def _routes(hosts: tuple[VirtualHost, ...], what: Callable[[Mount], str]) -> Iterator[str]:
    for host in hosts:
        yield f": {' '.join(host.names)}"
        for mount in host.mounts:
            yield f"{mount.point or '/'} = {what(mount)}"


def _cluster(cluster: ClusterConfig) -> Iterator[str]:
    yield f"type = {cluster.type}"
    for key, value in cluster.options.items():
        secret = any(word in key.lower() for word in _SECRET_WORDS)
        yield f"{key} = {'****' if secret else value}"
    yield f"members = {', '.join(map(_member, cluster.members))}"


def _member(member: MemberConfig) -> str:
    return f"{masked_address(member.address)} {member.weight}"
