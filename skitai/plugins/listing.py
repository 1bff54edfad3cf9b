"""What a plugin manager knows of each plugin, and the table of it for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint
from typing import Literal, Self

import attrs


@attrs.frozen
class PluginInfo:
    """One installed plugin.

    ``distribution`` and ``version`` say what brought it; where no distribution did, ``distribution`` is the
    module path. ``reason`` is one line that says why it is disabled or failed. ``names`` are the ``was.*``
    names that it gives, known once the manager has asked the plugins for them.
    """

    name: str
    distribution: str
    version: str = ""
    state: Literal["loaded", "disabled", "failed"] = "loaded"
    reason: str = ""
    hooks: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, entry_point: EntryPoint) -> Self:
        """Return what an entry point tells before it is loaded."""
        if entry_point.dist is None:
            return cls(entry_point.name, entry_point.value)
        return cls(entry_point.name, *_name_and_version(entry_point.dist))

    @property
    def origin(self) -> str:
        """What brought the plugin, such as ``skitai-echo 1.0``."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def label(self) -> str:
        """The name with the origin, as messages show it."""
        return f"{self.name!r} ({self.origin})"

    @property
    def trouble(self) -> str:
        """Why the plugin is not loaded, in words that follow "plugin"."""
        return f"{self.label} {'is disabled' if self.state == 'disabled' else 'failed'}: {self.reason}"


@lru_cache  # each look parses all that a package says of itself, and one package brings two dozen plugins
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    return distribution.name, distribution.version


def describe_plugins(infos: Iterable[PluginInfo]) -> str:
    """Return a table of the plugins for a terminal: a line each, what it gives and its hooks below."""
    listed = list(infos)
    if not listed:
        return "no plugins are installed\n"
    name_width = max(len(info.name) for info in listed)
    origin_width = max(len(info.origin) for info in listed)
    lines = []
    for info in listed:
        lines.append(f"{info.name:{name_width}}  {info.origin:{origin_width}}  {info.state}")
        indent = " " * (name_width + 2)
        lines += _details(indent, "why", info.reason)
        lines += _details(indent, "gives", ", ".join(f"was.{name}" for name in info.names))
        lines += _details(indent, "hooks", ", ".join(info.hooks))
    return "\n".join(lines) + "\n"


def _details(indent: str, title: str, text: str) -> list[str]:
    first = f"{indent}{title + ':':<7}"
    wrapper = textwrap.TextWrapper(
        width=100,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(text)
