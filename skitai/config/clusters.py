"""The ``[@name]`` sections: groups of machines that apps and routes name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import attrs

from skitai.config.casters import comma_list, integer, quoted, show_value, text, yes_no
from skitai.config.keys import Key
from skitai.config.reader import Section
from skitai.formats.spelling import closest, nearest

PREFIX = "@"
#: The keys of clusters of all types.
CLUSTER_KEYS: Mapping[str, Key] = {
    "type": Key(
        text,
        "http",
        "what the members are: http, postgresql, sqlite3, or what a plugin brings",
        example="sqlite3",
    ),
    "members": Key(
        comma_list,
        (),
        "their addresses, on one line; a number behind one is its share of the work",
        example="10.0.0.5:8080, 10.0.0.6:8080 2",
    ),
}
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
#: Other spellings of types. The README of the original has the first.
_TYPES = {"postresql": "postgresql", "pgsql": "postgresql", "postgres": "postgresql", "sqlite": "sqlite3"}
#: More names than these are not listed in a message.
_LISTED_MAX = 12
# An address may contain anything but a comma, so only a number after a space at the end is a weight.
_WEIGHTED = re.compile(r"(?P<address>.*\S)\s+(?P<weight>[-+]?[0-9][0-9.]*)")
_PASSWORD_OPTION = re.compile(r"(?<=password=)[^&]*")


def masked_address(address: str) -> str:
    """Return a member's address without passwords.

    They stand in ``host/db/user/password``, ``user:password@host`` and ``?password=...``.
    """
    scheme, slashes, rest = address.partition("://") if "://" in address else ("", "", address)
    parts = rest.split("/", 3)
    if not slashes and len(parts) == 4 and parts[0]:
        return "/".join((*parts[:3], "****"))
    login, at, host = rest.rpartition("@")  # the last one: a password that is not encoded may hold others
    if at and ":" in login:
        rest = f"{login.partition(':')[0]}:****@{host}"
    return scheme + slashes + _PASSWORD_OPTION.sub("****", rest)


@attrs.frozen
class MemberConfig:
    """One machine of a cluster: the address in the form of its service, and its share of the work."""

    address: str = attrs.field(repr=masked_address)
    weight: int = 1


@attrs.frozen
class ClusterConfig:
    """One ``[@name]`` section.

    ``options`` are the keys besides ``type`` and ``members``, as text, for the service to read; ``ssl`` is
    ``"yes"`` or ``"no"`` where given.
    """

    name: str
    type: str
    members: tuple[MemberConfig, ...]
    options: Mapping[str, str] = attrs.field(factory=dict, repr=False)


def read_cluster(section: Section) -> ClusterConfig:
    """Return the cluster that a section whose name begins with ``@`` describes; raises ConfigError."""
    name = section.name.removeprefix(PREFIX)
    if not _NAME.fullmatch(name):
        raise section.error("a cluster's name has only letters, digits and _ . -")
    values = {key: entry.value for key, entry in section.entries.items()}
    members = _members(section)
    kind = _type(section, values.get("type", "http"))
    if "ssl" in values:
        values["ssl"] = _yes_or_no(section, "ssl", values["ssl"])
    options = {key: value for key, value in values.items() if key not in CLUSTER_KEYS}
    return ClusterConfig(name, kind, members, options)


def unknown_cluster(name: str, known: Mapping[str, ClusterConfig]) -> str:
    """Return the message for a cluster that has no section."""
    if not known:
        return f"there is no section [{PREFIX}{name}]: write one, with members = host:port"
    names = [f"{PREFIX}{each}" for each in known]
    return f"there is no section [{PREFIX}{name}]: {nearest(f'{PREFIX}{name}', names)}"


def unknown_key(name: str, kind: str, known: Iterable[str], sections: Mapping[str, Iterable[str]]) -> str:
    """Return the message for a key that clusters of the type ``kind`` do not have.

    ``known`` are those that they have. ``sections`` are the keys of other sections: the key may belong into
    one with whose name the type begins, such as ``[sqlite]`` for ``sqlite3``.
    """
    own = {*CLUSTER_KEYS, *known}
    others = {
        key: f"[{section}]" for section in sections if kind.startswith(section) for key in sections[section]
    }
    if name in others:
        return f"stands in the section {others[name]}"
    found = closest(name, sorted({*own, *others}))
    if found in others and found not in own:
        return f"unknown key: did you mean {found}, in the section {others[found]}?"
    if found is not None or len(own) <= _LISTED_MAX or not others:
        return f"unknown key: {nearest(name, own)}"
    places = ", ".join(sorted(set(others.values())))
    return f"unknown key: {places} has {', '.join(sorted(others))}; a cluster has members and how to connect"


def _members(section: Section) -> tuple[MemberConfig, ...]:
    if "members" not in section.entries:
        misspelt = closest("members", section.entries)
        hint = f" ({misspelt} is not members)" if misspelt else ""
        raise section.error(f"needs at least one member: write members = ADDRESS, ADDRESS{hint}")
    items = section.entries["members"].value.split(",")
    if not all(item.strip() for item in items):
        message = "has no address before or after a comma (the list must be on one line)"
        raise section.error(message if len(items) > 1 else "needs at least one address", key="members")
    return tuple(_member(section, item.strip()) for item in items)


def _member(section: Section, item: str) -> MemberConfig:
    match = _WEIGHTED.fullmatch(item)
    if not match:
        return MemberConfig(item)
    try:
        return MemberConfig(match["address"], integer(1)(match["weight"]))
    except ValueError as error:
        message = f"weight of {masked_address(match['address'])}: {error}"
        raise section.error(message, key="members") from error


def _type(section: Section, written: str) -> str:
    kind = written.lower()
    if not _NAME.fullmatch(kind):
        raise section.error(f"{quoted(written)} is not a type such as http or postgresql", key="type")
    return _TYPES.get(kind, kind)


def _yes_or_no(section: Section, key: str, value: str) -> str:
    try:
        return show_value(yes_no(value))
    except ValueError as error:
        raise section.error(str(error), key=key) from error
