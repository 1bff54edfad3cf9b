"""The keys that a section may have, each with its caster, default and help."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.casters import Caster, show_value
from skitai.config.reader import Section

_LONGEST_COMPARED = 80
_NO_HINTS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class Key:
    """One key of a section.

    ``cast`` takes the text and returns the value, or raises ValueError with the problem and the fix.
    ``default`` is the value where the key is missing. ``show`` turns a value back into text for people;
    ``show_secret`` hides it.
    """

    cast: Caster
    default: Any
    help: str = ""
    show: Callable[[Any], str] = show_value


def typed_values(
    section: Section, keys: Mapping[str, Key], hints: Mapping[str, str] = _NO_HINTS
) -> dict[str, Any]:
    """Return the value of every key, defaults filled in and relative paths put into the file's folder.

    ``hints`` say what to write instead of keys that are none here.

    Raises ConfigError for an unknown key and for a value that its caster refuses.
    """
    values = {name: key.default for name, key in keys.items()}
    for name, entry in section.entries.items():
        if name not in keys:
            raise section.error(f"unknown key: {hints.get(name) or nearest(name, keys)}", key=name)
        try:
            values[name] = cast_value(keys[name], entry.value, section.folder)
        except ValueError as error:
            raise section.error(str(error), key=name) from error
    return values


def cast_value(key: Key, value: str, folder: Path) -> Any:
    """Return the typed value, a relative path put into ``folder``; raises ValueError."""
    result = key.cast(value)
    return folder / result if isinstance(result, Path) else result


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like ``word``, without regard to case; None if none is similar."""
    by_lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower()[:_LONGEST_COMPARED], by_lower, n=1)
    return by_lower[close[0]] if close else None


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the hint for a misspelt word: the most similar known word, or all of them."""
    names = sorted(known)
    found = closest(word, names)
    if found is not None:
        return f"did you mean {found}?"
    return f"known are {', '.join(names)}" if names else "none is known here"
