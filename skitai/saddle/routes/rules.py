"""The rule of a route, such as ``/hello/<int:num>``, which matches paths and builds them from values."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from skitai.http.fields import TOKEN, plain

_PARAMETER = re.compile(r"<([^<>]*)>")
_INT = r"-?[0-9]+"
_FLOAT = r"-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"


def quote_path(text: str) -> str:
    """Return text for the path of a URL: UTF-8, percent-encoded (RFC 3986, section 3.3).

    Slashes are kept. Raises ValueError for text that UTF-8 cannot encode.
    """
    return quote(text, safe="/:@,!$*")


class Rule:
    """A route's text, with parameters in angle brackets, and the methods that it takes.

    ``<name>``
        text without ``/``. In the URL, spaces are written as ``_``, so each ``_`` is read as a space. If
        another parameter follows in the same segment, this one ends at the first character between the two:
        ``/<name>.<ext>`` reads "a.tar.gz" as "a" and "tar.gz".
    ``<int:name>``
        a whole number in decimal digits, which may be negative: -7, 0, 007.
    ``<float:name>``
        a number in decimal digits, with or without sign, fraction and exponent: 3, -0.5, 1e-9.
    ``<path>``, ``<path:name>``
        the rest of the path, with slashes and underscores as they are. Only at the end of a rule.

    ``methods`` are the HTTP methods taken, in either case; None takes all. A rule that takes GET takes HEAD.
    Raises ValueError for a malformed text or method. Rules never change.
    """

    __slots__ = ("_parameters", "_pattern", "_pieces", "methods", "names", "segments", "specificity", "text")

    def __init__(self, text: str, methods: Collection[str] | None = None) -> None:
        self.text = text
        #: The methods in capitals; None for all.
        self.methods = _checked_methods(text, methods)
        if not text.startswith("/") or "//" in text:
            raise ValueError(f"rule {text!r} must start with a slash, and have no two in a row")
        # Literal text is at even places, and the content of brackets at odd ones.
        pieces = _PARAMETER.split(text)
        self._pieces = pieces[::2]
        self._parameters = [_parameter(text, inside) for inside in pieces[1::2]]
        #: The names of the parameters, in the order of the text.
        self.names = tuple(parameter.name for parameter in self._parameters)
        self._check()
        self._pattern: re.Pattern[str] | None = None  # compiled when needed: many never are
        #: For each segment: its literal start, and the type of its first parameter or None.
        self.segments = tuple(_segment(segment) for segment in text[1:].split("/"))
        #: Sorts rules of the same shape: the one that fits less comes first.
        self.specificity = (-sum(map(len, self._pieces)), [p.kind.rank for p in self._parameters])

    def match(self, path: str) -> dict[str, Any] | None:
        """Return the arguments in a path (decoded text), or None if the rule does not match."""
        if self._pattern is None:
            self._pattern = re.compile(self._regex(), re.DOTALL)
        found = self._pattern.fullmatch(path)
        if found is None:
            return None
        try:
            return {
                parameter.name: parameter.kind.read(text)
                for parameter, text in zip(self._parameters, found.groups(), strict=True)
            }
        except ValueError:  # a number with more digits than Python reads, or too large for a float
            return None

    def build(self, values: Mapping[str, Any]) -> str:
        """Return the path for these values, percent-encoded; further values are ignored.

        Raises KeyError for a missing value, and ValueError for one that would be read back as another: an
        empty one, one of the wrong type, text with a slash, ``.`` or ``..`` as a segment (browsers resolve
        these). The exception is ``_`` in text, which is read back as a space.
        """
        written = [p.kind.write(values[p.name], self._about(p)) for p in self._parameters]
        path = "".join(literal + text for literal, text in zip(self._pieces, [*written, ""], strict=True))
        self._check_return(path, written)
        try:
            return quote_path(path)
        except UnicodeEncodeError as error:
            raise ValueError(f"rule {self.text!r}: UTF-8 cannot encode the values: {error}") from error

    def __repr__(self) -> str:
        methods = "" if self.methods is None else f" {'|'.join(sorted(self.methods))}"
        return f"<Rule {self.text}{methods}>"

    def _check(self) -> None:
        if any("<" in literal or ">" in literal for literal in self._pieces):
            raise ValueError(f"rule {self.text!r}: each < needs its >")
        if not all(self._pieces[1:-1]):
            raise ValueError(f"rule {self.text!r}: two parameters need text between them")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"rule {self.text!r}: two parameters have the same name")
        kinds = [parameter.kind for parameter in self._parameters]
        if _PATH in kinds[:-1] or (_PATH in kinds and self._pieces[-1]):
            raise ValueError(f"rule {self.text!r}: a path takes the rest, so it must be at the end")

    def _regex(self) -> str:
        regex = re.escape(self._pieces[0])
        for place, parameter in enumerate(self._parameters):
            following = self._pieces[place + 1]
            pattern = parameter.kind.pattern
            inner = place + 1 < len(self._parameters) and "/" not in following
            if parameter.kind is _STRING and inner:
                # There must be one way to split a segment: a hostile path of 8 kB would have far too many.
                pattern = f"[^/{re.escape(following[0])}]+"
            regex += f"({pattern}){re.escape(following)}"
        return regex

    def _about(self, parameter: _Parameter) -> str:
        return f"rule {self.text!r}, parameter {parameter.name}:"

    def _check_return(self, path: str, written: list[str]) -> None:
        found = self.match(path)
        back = None if found is None else list(found.values())
        values = [p.kind.read(text) for p, text in zip(self._parameters, written, strict=True)]
        dots = self._parameters and not {".", ".."}.isdisjoint(path.split("/"))
        if back != values or dots:
            raise ValueError(f"rule {self.text!r} with {written} gives {path!r}, which means something else")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A type of parameter: its expression, how to read and write it. A lower ``rank`` fits fewer paths."""

    rank: int
    pattern: str
    read: Callable[[str], Any]
    write: Callable[[Any, str], str]


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    kind: _Kind


def _read_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large for a float")
    return number


def _write_int(value: Any, about: str) -> str:
    if isinstance(value, str) and re.fullmatch(_INT, value):
        return value
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise ValueError(f"{about} {value!r} is not a whole number")
    return str(operator.index(value))


def _write_float(value: Any, about: str) -> str:
    if isinstance(value, str) and re.fullmatch(_FLOAT, value):
        number = float(value)
    elif isinstance(value, bool | str) or not hasattr(type(value), "__float__"):
        raise ValueError(f"{about} {value!r} is not a number")
    else:
        number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{about} {value!r} has no decimal digits")
    return repr(number)


def _write_text(value: Any, about: str) -> str:
    if value is None or isinstance(value, bytes):
        raise ValueError(f"{about} {value!r} is not text")
    text = plain(value)
    if not text:
        raise ValueError(f"{about} an empty value leaves nothing to match")
    return text


def _write_string(value: Any, about: str) -> str:
    text = _write_text(value, about)
    if "/" in text:
        raise ValueError(f"{about} {value!r} has a slash: use <path:...>, or leave it out")
    return text.replace(" ", "_")


def _read_string(text: str) -> str:
    return text.replace("_", " ")


_STRING = _Kind(2, "[^/]+", _read_string, _write_string)
_PATH = _Kind(3, "[^/].*", str, _write_text)
_KINDS = {
    "int": _Kind(0, _INT, int, _write_int),
    "float": _Kind(1, _FLOAT, _read_float, _write_float),
    "string": _STRING,
    "path": _PATH,
}


def _parameter(text: str, inside: str) -> _Parameter:
    kind, colon, name = inside.partition(":")
    if not colon:
        # README: <path> is the rest of the path, named path.
        kind, name = ("path" if inside == "path" else "string"), inside
        if inside in ("int", "float"):
            raise ValueError(f"rule {text!r}: <{inside}> needs a name, as <{inside}:number>")
    if kind not in _KINDS:
        raise ValueError(f"rule {text!r}: the type of <{inside}> must be one of {', '.join(_KINDS)}")
    if not name.isidentifier():
        raise ValueError(f"rule {text!r}: <{inside}> needs a name that a Python argument can have")
    return _Parameter(name, _KINDS[kind])


def _segment(text: str) -> tuple[str, str | None]:
    literal, bracket, rest = text.partition("<")
    if not bracket:
        return literal, None
    kind = rest.partition(">")[0].partition(":")[0]
    return literal, kind


def _checked_methods(text: str, methods: Collection[str] | None) -> frozenset[str] | None:
    if methods is None:
        return None
    if isinstance(methods, str) or not methods:
        raise ValueError(f"rule {text!r}: methods={methods!r} must be a list of at least one, as ['GET']")
    for method in methods:
        if not isinstance(method, str) or not TOKEN.fullmatch(method):
            raise ValueError(f"rule {text!r}: {method!r} is not an HTTP method")
    return frozenset(method.upper() for method in methods)
