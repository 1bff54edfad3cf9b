"""Reads the INI file into sections of numbered lines, without a look at their meaning."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import attrs

from skitai.errors import ConfigError

_LINE_SUFFIX = ":line"
#: Sections whose name ends with ``:line``: one that is written without it gets a hint.
_LINE_SECTIONS = frozenset({"certificates", "crontab", "routes"})
#: Sections whose lines are commands of a shell: a semicolon within one begins no comment.
_COMMAND_SECTIONS = frozenset({"crontab:line"})
#: What files of other servers are written in, by their suffixes.
_LANGUAGES = {".py": "Python", ".toml": "TOML", ".yaml": "YAML", ".yml": "YAML", ".json": "JSON"}
_HEADER = re.compile(r"\[\s*([^\[\]]*?)\s*\]")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SEPARATOR = re.compile("[=:]")
#: ``${NAME}``, an environment variable, or ``${NAME:-default}``; ``$${`` stands for ``${`` itself. Any other
#: ``${`` is a fault: a password that was meant for another form would be a wrong one.
_VARIABLE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\$\{")
#: What is in double quotes, which has no comment in it, or the begin of a comment.
_QUOTES_OR_COMMENT = re.compile(r'"[^"]*"|(\s;)')
#: A value in quotes, which may have spaces at its ends and a semicolon after a space; a comment may follow.
_QUOTED = re.compile(r'([^=:"]*)[=:]\s*"([^"]*)"(?:\s+;.*)?')
# Control characters but tab and newline, and Unicode's separators: they would break a message into lines.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Entry(NamedTuple):
    """The value of one key, its environment variables filled in, with the number of its line."""

    value: str
    line: int


class ConfigLine(NamedTuple):
    """One line without surrounding space, with its number (from 1).

    It is without its comment, too, unless the section consists of commands.
    """

    text: str
    number: int


@attrs.frozen
class Section:
    """One section of the file ``path``, which is named as its user gave it.

    ``name`` is the text between the brackets, ``line`` the number of that line, 0 for a section that the file
    lacks. ``entries`` are the ``key = value`` lines. A section whose name ends with ``:line`` has none: its
    lines are in ``lines``, as they are written.
    """

    path: str
    name: str
    line: int
    entries: Mapping[str, Entry] = attrs.field(factory=dict, repr=False)  # may hold passwords
    lines: tuple[ConfigLine, ...] = attrs.field(default=(), repr=False)

    @property
    def folder(self) -> Path:
        """The folder that relative paths start from: the one of the file."""
        return Path(self.path).parent.absolute()

    def filled(self, value: str, *, key: str | None = None, line: int | None = None) -> str:
        """Return ``value`` with what ``${NAME}`` and ``${NAME:-text}`` stand for.

        Raises ConfigError for a variable that is not set, for other forms, and for control characters.
        """
        try:
            found = _VARIABLE.sub(_variable, value)
        except KeyError as error:
            message = f"the environment has no {error.args[0]}: set it, or write $${{ for ${{ itself"
            raise self.error(message, key=key, line=line) from None
        except ValueError as error:
            raise self.error(str(error), key=key, line=line) from None
        if found != value and ("\n" in found or _CONTROL.search(found)):
            raise self.error("the variable has a control character: remove it", key=key, line=line)
        return found

    def error(self, message: str, *, key: str | None = None, line: int | None = None) -> ConfigError:
        """Return the error that points at ``line``, or else at the line of ``key``, or else at the header."""
        if line is None:
            line = self.entries[key].line if key and key in self.entries else self.line or None
        return ConfigError(message, path=self.path, line=line, section=self.name, key=key)


def read_sections(path: str | Path) -> dict[str, Section]:
    """Return the sections of a file by name, in the order of the file.

    ``${NAME}`` in the value of a key stands for an environment variable, and ``${NAME:-text}`` for ``text``
    if that is not set or empty. Raises ConfigError for a file that cannot be read, is not UTF-8 text, breaks
    the form of an INI file, or names a variable that is not set.
    """
    name = str(path)
    return {section.name: section for section in _sections(_read_text(name), name)}


def _read_text(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except IsADirectoryError:
        raise ConfigError("is a folder: name a file in it", path=path) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read the configuration: {reason}", path=path) from error
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("is not UTF-8 text: save it as UTF-8", path=path, line=line) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _sections(text: str, path: str) -> Iterator[Section]:
    bodies: dict[str, tuple[int, list[ConfigLine]]] = {}
    body: list[ConfigLine] | None = None
    name = ""
    for written in _meaningful_lines(text, path):
        is_header = written.text.startswith("[")
        # Commands keep their semicolons, and a value may have quotes around it.
        is_whole = not is_header and (name in _COMMAND_SECTIONS or not name.endswith(_LINE_SUFFIX))
        line = written if is_whole else written._replace(text=_without_comment(written.text))
        if is_header:
            name = _header(line, path)
            if name in bodies:
                message = f"is at line {bodies[name][0]} already: join the two"
                raise ConfigError(message, path=path, line=line.number, section=name)
            body = []
            bodies[name] = line.number, body
        elif body is None:
            message = "comes before any section: put a [section] line above it"
            if (language := _LANGUAGES.get(Path(path).suffix)) is not None:
                message = f"is {language}, and a configuration is an INI file: skitai keys lists what it has"
            raise ConfigError(message, path=path, line=line.number)
        else:
            body.append(line)
    for name, (number, lines) in bodies.items():
        if name.endswith(_LINE_SUFFIX):
            yield Section(path, name, number, lines=tuple(lines))
        else:
            yield Section(path, name, number, _entries(lines, Section(path, name, number)))


def _meaningful_lines(text: str, path: str) -> Iterator[ConfigLine]:
    for number, raw in enumerate(text.split("\n"), start=1):
        if control := _CONTROL.search(raw):
            message = f"has the control character {control.group()!a}: remove it"
            raise ConfigError(message, path=path, line=number)
        stripped = raw.strip()
        if stripped and stripped[0] not in ";#":
            yield ConfigLine(stripped, number)


def _without_comment(text: str) -> str:
    comment = next(filter(lambda found: found[1], _QUOTES_OR_COMMENT.finditer(text)), None)
    return text[: comment.start()].rstrip() if comment else text


def _header(line: ConfigLine, path: str) -> str:
    match = _HEADER.fullmatch(line.text)
    if not match or not match.group(1):
        raise ConfigError("malformed section header: write [name]", path=path, line=line.number)
    name = match.group(1)
    if name in _LINE_SECTIONS:
        message = f"is a list of lines: write [{name}{_LINE_SUFFIX}]"
        raise ConfigError(message, path=path, line=line.number, section=name)
    return name


def _entries(lines: list[ConfigLine], section: Section) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    for text, number in lines:
        key, separator, value = _split_pair(text)
        if value[:1] in ("'", '"') and not value.endswith(value[0], 1) and _without_comment(text) != text:
            message = "a quote is not closed: ' ;' begins a comment, unless the value stands in double quotes"
            raise section.error(message, key=key, line=number)
        # The text is not shown: a line broken off a list of members holds a password.
        if not separator or not _KEY.fullmatch(key):
            raise section.error("expected 'key = value' (a value ends with its line)", line=number)
        if key in entries:
            message = f"is at line {entries[key].line} already: keep one of the two"
            raise section.error(message, key=key, line=number)
        entries[key] = Entry(section.filled(value, key=key, line=number), number)
    return entries


def _variable(match: re.Match[str]) -> str:
    """Return what stands for ``match``.

    Raises KeyError with the name of a variable that is not set, and ValueError for what is no variable.
    """
    escaped, name, default = match.groups()
    if escaped:
        return str(escaped)
    if name is None:
        raise ValueError("${ begins a variable: write ${NAME} or ${NAME:-text}, or $${ for ${ itself")
    # As in a shell, the default stands for an empty variable, too.
    return os.environ[name] if default is None else os.environ.get(name) or default


def _split_pair(text: str) -> tuple[str, str, str]:
    """Split at the first ``=`` or ``:``, whichever comes first, and leave out the comment."""
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        return quoted[1].rstrip(), "=", quoted[2]
    text = _without_comment(text)
    separator = _SEPARATOR.search(text)
    if not separator:
        return text, "", ""
    return text[: separator.start()].rstrip(), separator.group(), text[separator.end() :].lstrip()
