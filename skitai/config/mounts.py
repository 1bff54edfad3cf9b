"""One line of ``[routes:line]``: a mount point, a target and options. Plugins know what a target means."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs

from skitai.config.keys import Key, cast_value
from skitai.config.reader import ConfigLine, Section
from skitai.errors import ConfigError
from skitai.formats.spelling import nearest

_OPTION_NAME = "[A-Za-z_][A-Za-z0-9_-]*"
_QUOTED = re.compile(r'"([^"]*)"(?=\s|$)')
_FIRST_OPTION = re.compile(rf"\s+(?={_OPTION_NAME}=)")
_OPTION = re.compile(rf'\s*({_OPTION_NAME})=(?:"([^"]*)"|([^\s"]*))(?=\s|$)')
_SPACE = re.compile(r"\s")
_SPACE_BEFORE_EQUALS = re.compile(r"\s=")
_COMMENT = re.compile(r"(?:^|\s);")
#: What must stand in double quotes, so that it is neither an option, nor a fault, nor a comment.
_ONLY_IN_QUOTES = (_FIRST_OPTION, _SPACE_BEFORE_EQUALS, _COMMENT)


@attrs.frozen
class Mount:
    """One line of ``[routes:line]``.

    ``point`` is the path that it is mounted on: ``""`` for the root, otherwise ``/x`` without a slash at the
    end. ``target`` and the values of ``options`` are the text of the file, without the quotes and with what
    environment variables stand for. ``section`` and ``line`` are for errors. Two mounts are equal if they say
    the same, wherever they stand.
    """

    point: str
    target: str
    options: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    section: Section = attrs.field(default=Section("", "routes:line", 0), eq=False, repr=False)
    line: int = attrs.field(default=0, eq=False)

    @property
    def folder(self) -> Path:
        """The folder of the file: relative targets start from it."""
        return self.section.folder

    def error(self, message: str) -> ConfigError:
        """Return the error that points at this line."""
        return self.section.error(message, key=self.point or "/", line=self.line)

    def read_options(self, keys: Mapping[str, Key]) -> Mapping[str, Any]:
        """Return the typed value of every option, defaults filled in and relative paths put into the folder.

        Raises ConfigError for an option that is not in ``keys`` and for a value that its caster refuses.
        """
        values = {name: key.default for name, key in keys.items()}
        for name, written in self.options.items():
            if name not in keys:
                hint = nearest(name, keys) if keys else "this target takes none"
                raise self.error(f"unknown option {name}: {hint}")
            try:
                values[name] = cast_value(keys[name], written, self.folder)
            except ValueError as error:
                raise self.error(f"option {name}: {error}") from error
        return MappingProxyType(values)


def read_mount(section: Section, line: ConfigLine) -> Mount:
    """Return the mount that a line such as ``/up = @upstream strip=no`` describes; raises ConfigError."""
    written, separator, right = (part.strip() for part in line.text.partition("="))
    if not separator:
        raise section.error("expected 'mount = target' or ': host'", line=line.number)
    try:
        point = _mount_point(written)
        target, options = _split_options(right)
    except ValueError as error:
        raise section.error(str(error), key=written, line=line.number) from error
    target, *values = (
        section.filled(value, key=written, line=line.number) for value in (target, *options.values())
    )
    filled = dict(zip(options, values, strict=True))
    return Mount(point, target, MappingProxyType(filled), section, line.number)


def written_target(target: str, options: Mapping[str, str]) -> str:
    """Return the right side of a line that means ``target`` with ``options``."""
    in_quotes = target != target.strip() or any(found.search(target) for found in _ONLY_IN_QUOTES)
    parts = [f'"{target}"' if in_quotes else target]
    parts += [
        f'{name}="{value}"' if _SPACE.search(value) else f"{name}={value}" for name, value in options.items()
    ]
    return " ".join(parts)


def _split_options(text: str) -> tuple[str, dict[str, str]]:
    """Return the target and the options behind it; raises ValueError.

    The options begin at the first space that ``name=`` follows. A target in which that occurs must stand in
    double quotes, and so must a value with spaces.
    """
    if quoted := _QUOTED.match(text):
        target, rest = quoted.group(1), text[quoted.end() :]
    elif text.startswith('"'):
        raise ValueError('a target that begins with " must end with "; options follow after a space')
    elif _SPACE_BEFORE_EQUALS.search(text):
        raise ValueError("has a space before =: write key=value, and a target with ' =' in double quotes")
    else:
        first = _FIRST_OPTION.search(text)
        end = first.start() if first else len(text)
        target, rest = text[:end], text[end:]
        if _COMMENT.search(target):  # which only quotes within the target have kept
            raise ValueError("a target with ' ;' must stand in double quotes as a whole")
    if not target:
        raise ValueError("needs a target, such as a folder, path/module:callable or @cluster")
    found: dict[str, str] = {}
    for name, value in _options(rest):
        if name in found:
            raise ValueError(f"option {name} is given twice: keep one of the two")
        found[name] = value
    return target, found


def _options(text: str) -> Iterator[tuple[str, str]]:
    position, end = 0, len(text)
    while position < end:
        match = _OPTION.match(text, position)
        if not match:
            word = text[position:].split()[0].partition("=")[0]  # not its value, which may be a secret
            hint = 'write key=value, or key="value" for a value with spaces'
            raise ValueError(f"{word!r} is not an option: {hint}")
        yield match[1], match[2] or match[3] or ""
        position = match.end()


def _mount_point(written: str) -> str:
    """Return the left side of a line without the slash at its end; raises ValueError."""
    if not written.startswith("/"):
        raise ValueError("a mount point starts with /")
    segments = written.removesuffix("/").split("/")[1:]
    if "" in segments or "." in segments or ".." in segments:
        raise ValueError("a mount point has no //, . or .. in it")
    if forbidden := next((character for character in "?#%" if character in written), None):
        raise ValueError(f"a mount point is a plain path, without {forbidden}")
    return written.removesuffix("/")
