"""The system's files about names, resolv.conf(5) and hosts(5), which are read again when they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar

import attrs

T = TypeVar("T")

# The limits of glibc, which defines what resolv.conf(5) means.
_SERVERS_MAX = 3
_NDOTS_MAX, _TIMEOUT_MAX, _ATTEMPTS_MAX = 15, 30, 5


@attrs.frozen
class ResolvConf:
    """Which servers to ask, in order, and for which names.

    ``search`` are the domains that names are looked up in; a name with fewer than ``ndots`` dots is looked up
    there first. Each server has ``timeout`` seconds, and the list of servers is tried ``attempts`` times.
    """

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 2
    attempts: int = 2

    def candidates(self, name: str) -> Iterator[str]:
        """Return the full names that ``name`` may stand for, the most likely first."""
        if name.endswith("."):
            yield name.rstrip(".")
            return
        early = name.count(".") >= self.ndots
        if early:
            yield name
        for domain in self.search:
            yield f"{name}.{domain}"
        if not early:
            yield name


def parse_resolv_conf(text: str) -> ResolvConf:
    """Return what a resolv.conf says. Lines that make no sense are ignored, as every resolver does."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: dict[str, int] = {}
    for line in text.splitlines():
        keyword, *words = line.split() or [""]
        if keyword == "nameserver" and words and _address(words[0]):
            servers.append(words[0])
        elif keyword in ("search", "domain"):
            search = tuple(domain.strip(".").lower() for domain in words if domain.strip("."))
        elif keyword == "options":
            options.update(_numbers(words))
    return ResolvConf(
        tuple(servers[:_SERVERS_MAX]),
        search,
        min(options.get("ndots", 1), _NDOTS_MAX),
        max(1, min(options.get("timeout", 2), _TIMEOUT_MAX)),
        max(1, min(options.get("attempts", 2), _ATTEMPTS_MAX)),
    )


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name in a hosts file, in the order of the file."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if _address(address):
            for name in {name.lower().rstrip(".") for name in names}:
                found[name] = (*found.get(name, ()), address)
    return found


class Watched(Generic[T]):
    """A file, parsed by ``parse`` when it has changed. A missing file counts as empty."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path = path
        self._parse = parse
        self._stamp: tuple[int, int, int] | None = None
        self._value = parse("")

    def read(self) -> T:
        """Return the parsed content of the file as it is now."""
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp != self._stamp:
                self._value = self._parse(self._path.read_text("utf-8", "replace"))
                self._stamp = stamp
        except OSError:
            self._stamp, self._value = None, self._parse("")
        return self._value


def _numbers(words: list[str]) -> Iterator[tuple[str, int]]:
    for word in words:
        name, _, value = word.partition(":")
        if value.isascii() and value.isdigit() and len(value) < 6:
            yield name, int(value)


def _address(text: str) -> bool:
    try:
        return "%" not in str(ip_address(text))
    except ValueError:
        return False
