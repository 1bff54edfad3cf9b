"""The keys that a section may have, each with its caster, default and help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.casters import show_value
from skitai.config.forms import Caster, example_of, words_of
from skitai.config.reader import Section
from skitai.formats.spelling import nearest

_NO_HINTS: Mapping[str, str] = MappingProxyType({})


@attrs.frozen
class Key:
    """One key of a section.

    ``cast`` takes the text and returns the value, or raises ValueError with the problem and the fix.
    ``default`` is the value where the key is missing. ``show`` turns a value back into text for people;
    ``show_secret`` hides it. ``example`` is a value as it is written; by default, it is another one than the
    default, or that of ``cast``. ``unset`` says in words what holds where the key is missing, if ``default``
    does not: ``that of [server]``.
    """

    cast: Caster
    default: Any
    help: str = ""
    show: Callable[[Any], str] = show_value
    unset: str = attrs.field(default="", kw_only=True)
    _example: str = attrs.field(default="", kw_only=True)

    @property
    def words(self) -> str:
        """What the value may be, such as ``time``; nothing, if the caster does not say so."""
        return words_of(self.cast)

    @property
    def example(self) -> str:
        """A value as it is written, for people to see the form."""
        if self._example:
            return self._example
        if self.default is True:
            return "no"
        has_number = isinstance(self.default, int | float) and self.default > 0
        return self.show(self.default * 2) if has_number else example_of(self.cast)


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
            comment = "; a comment begins with ;" if " #" in entry.value else ""
            raise section.error(f"{error}{comment}", key=name) from error
    return values


def cast_value(key: Key, value: str, folder: Path) -> Any:
    """Return the typed value, a relative path put into ``folder``; raises ValueError."""
    result = key.cast(value)
    return folder / result if isinstance(result, Path) else result
