"""Describes an exception for the debug page: its causes, with frames, source lines and variables."""

from __future__ import annotations

import linecache
import re
import reprlib
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import attrs

#: Source lines shown before and after the failing one.
_AROUND = 4
#: Frames shown of one exception. An endless recursion has a thousand.
_FIRST_FRAMES = 15
_LAST_FRAMES = 25
_EXCEPTIONS_MAX = 20
_LOCALS_MAX = 40
_LINE_MAX = 400
_MASK = "********"
_SECRET = re.compile(r"pass|pwd|secret|token|key|auth|credential|cookie|session|csrf|private", re.IGNORECASE)
_LIBRARIES = (f"{sysconfig.get_path('stdlib')}/", f"{Path(__file__).parents[2]}/", "<frozen")
_PACKAGES = re.compile(r"/(site|dist)-packages/")


@attrs.frozen
class SourceLine:
    """One source line; ``failing`` is the one that was running."""

    number: int
    text: str
    failing: bool


@attrs.frozen
class Frame:
    """One step of a traceback. ``library`` says that the code is not the app's own."""

    file: str
    line: int
    function: str
    source: list[SourceLine]
    variables: list[tuple[str, str]]
    library: bool


@attrs.frozen
class Failure:
    """One exception. ``relation`` says how it led to the one before it; empty for the first.

    ``frames`` begin with the outermost; ``left_out`` of them are missing after the first 15.
    """

    relation: str
    title: str
    text: str
    frames: list[Frame]
    left_out: int


def describe(exc: BaseException) -> list[Failure]:
    """Return ``exc`` and, after it, what caused it (PEP 3134) and what it groups (PEP 654)."""
    return [_failure(relation, each) for relation, each in _chain(exc)]


def _chain(exc: BaseException) -> Iterator[tuple[str, BaseException]]:
    waiting: list[tuple[str, BaseException]] = [("", exc)]
    seen: set[int] = set()
    while waiting and len(seen) < _EXCEPTIONS_MAX:
        relation, each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield relation, each
        if isinstance(each, BaseExceptionGroup):
            waiting.extend(("One of the errors in the group", part) for part in each.exceptions)
        if each.__cause__ is not None:
            waiting.append(("Caused by", each.__cause__))
        elif each.__context__ is not None and not each.__suppress_context__:
            waiting.append(("While this was handled", each.__context__))


def _failure(relation: str, exc: BaseException) -> Failure:
    steps = list(traceback.walk_tb(exc.__traceback__))
    left_out = max(0, len(steps) - _FIRST_FRAMES - _LAST_FRAMES)
    if left_out:
        steps = steps[:_FIRST_FRAMES] + steps[-_LAST_FRAMES:]
    frames = [_frame(frame, line) for frame, line in steps]
    if isinstance(exc, SyntaxError) and exc.filename and exc.lineno:
        # The broken file never ran, so it has no frame.
        frames.append(Frame(exc.filename, exc.lineno, "", _source(exc.filename, exc.lineno), [], False))
    text = "".join(traceback.TracebackException.from_exception(exc, limit=0).format_exception_only())
    return Failure(relation, type(exc).__qualname__, text.strip(), frames, left_out)


def _frame(frame: FrameType, line: int) -> Frame:
    file = frame.f_code.co_filename
    return Frame(
        file=file,
        line=line,
        function=frame.f_code.co_name,
        source=_source(file, line, frame.f_globals),
        variables=_variables(frame.f_locals),
        library=file.startswith(_LIBRARIES) or _PACKAGES.search(file) is not None,
    )


def _source(file: str, line: int, names: dict[str, Any] | None = None) -> list[SourceLine]:
    linecache.checkcache(file)
    lines = linecache.getlines(file, names)
    first = max(1, line - _AROUND)
    shown = lines[first - 1 : line + _AROUND]
    return [
        SourceLine(number, text.rstrip()[:_LINE_MAX], number == line)
        for number, text in enumerate(shown, first)
    ]


def _variables(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    # Imported modules do not explain a failure. Not isinstance(): it runs code of the value.
    names = [
        name for name in values if not (name.startswith("__") or issubclass(type(values[name]), ModuleType))
    ]
    shown = [
        (name, _MASK if _SECRET.search(name) else short_repr(values[name])) for name in names[:_LOCALS_MAX]
    ]
    if len(names) > _LOCALS_MAX:
        shown.append(("...", f"{len(names) - _LOCALS_MAX} more"))
    return shown


class _ShortRepr(reprlib.Repr):
    """Limits length and depth, and masks the values of dictionary keys that look secret."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxdict = 30
        self.maxlist = self.maxtuple = self.maxset = 15
        self.maxstring = self.maxother = 300

    def repr1(self, x: object, level: int) -> str:
        """Show subclasses of dict as dictionaries too, so that they are masked."""
        return self.repr_dict(x, level) if isinstance(x, dict) else super().repr1(x, level)

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        """Show a dictionary without its secrets."""
        shown = islice(x.items(), self.maxdict + 1)
        masked = {
            key: _MASKED if isinstance(key, str) and _SECRET.search(key) else value for key, value in shown
        }
        return super().repr_dict(masked, level)


class _Masked:
    def __repr__(self) -> str:
        return _MASK


_MASKED = _Masked()
_SHORT = _ShortRepr()
_REPR_MAX = 1500


def short_repr(value: object) -> str:
    """Return a short repr of ``value``, or a note if its repr fails."""
    try:
        text = _SHORT.repr(value)
    except BaseException as problem:  # noqa: BLE001 - any object's own code runs here, sys.exit() included
        return f"<{type(value).__name__}: its repr failed with {type(problem).__name__}>"
    return text if len(text) <= _REPR_MAX else f"{text[:_REPR_MAX]}..."
