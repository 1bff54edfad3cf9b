"""Finds the installed plugins, whatever state the metadata of other packages is in."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path
from typing import Any

import attrs

from skitai.errors import words_of

#: The files that say what a package is, in the folders of wheels and of eggs.
_DESCRIPTIONS = ("METADATA", "PKG-INFO")
#: pip renames what it replaces, and leaves that behind where it is interrupted.
_LEFTOVER = "~"
_SEPARATORS = re.compile("[-_.]+")


@attrs.frozen
class Installed:
    """The ``entry_points`` of a group, and a sentence on each package that was passed over."""

    entry_points: tuple[EntryPoint, ...]
    warnings: tuple[str, ...]


class _Broken(Exception):  # noqa: N818 - it says what the metadata is
    """The metadata of a package cannot be used."""


def installed(group: str) -> Installed:
    """Return the entry points of ``group``.

    Of several packages of one name the first on the path counts, as in ``importlib.metadata``, whose own
    ``entry_points`` fails as a whole if the metadata of any package is broken, or takes what an interrupted
    upgrade has left for a second package.
    """
    found: list[EntryPoint] = []
    warnings: list[str] = []
    seen: set[str] = set()
    for distribution in distributions():
        # What messages show, and all that tells the name without reading a file of each package.
        place: Any = getattr(distribution, "_path", distribution)
        try:
            name = _name(place)
            if name in seen:
                continue
            entry_points = _entry_points(distribution, place, group)
        except _Broken as error:
            warnings.append(f"{place} is passed over: {error}; plugins in it are not found")
            continue
        seen.add(name)
        found += entry_points
    return Installed(tuple(found), tuple(warnings))


def _name(place: Any) -> str:
    stem = Path(str(place)).name
    for suffix in (".dist-info", ".egg-info"):
        stem = stem.removesuffix(suffix)
    if stem.startswith(_LEFTOVER):
        raise _Broken("an interrupted upgrade has left it, it can be deleted")
    return _SEPARATORS.sub("-", stem.partition("-")[0]).lower()


def _entry_points(distribution: Distribution, place: Any, group: str) -> list[EntryPoint]:
    """Return those of one package. Raises _Broken."""
    try:
        is_described = place is distribution or not place.is_dir() or _is_described(place)
        entry_points = list(distribution.entry_points.select(group=group)) if is_described else []
        # What the list of plugins shows is only looked at where there is one.
        is_named = not entry_points or _is_named(distribution)
    except Exception as error:
        raise _Broken(f"its metadata cannot be read ({words_of(error)})") from error
    if not is_described:
        raise _Broken(f"it has no {_DESCRIPTIONS[0]}")
    if not is_named:
        raise _Broken("it does not say its name and version")
    return entry_points


def _is_described(place: Any) -> bool:
    return any(place.joinpath(name).exists() for name in _DESCRIPTIONS)


def _is_named(distribution: Distribution) -> bool:
    # ``distribution.name`` does not do: from Python 3.12 on, to ask for what is missing is deprecated.
    metadata = distribution.metadata
    return all(key in metadata and metadata[key] for key in ("Name", "Version"))
