"""Statements with psycopg2's placeholders, as PREPARE wants them: ``%s`` becomes ``$1``.

psycopg2 puts each value into the text, so a placeholder may stand anywhere. A parameter of PREPARE may not,
and it means something else in some places. What is not certain to mean the same is not prepared.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import attrs

from skitai.services.db.query import Params
from skitai.services.db.reading import bare

#: The statements that PREPARE takes.
_FIRST_WORDS = re.compile(r"\s*(?:select|insert|update|delete|merge|values|table|with)\b", re.IGNORECASE)
#: Texts, quoted names and comments. 'it''s' counts as two texts.
_QUOTED = re.compile(r"('[^']*'|\"[^\"]*\"|--[^\n]*)")
_PLACEHOLDER = re.compile(r"%(?:(s)|\(([^()]*)\)s|(%))?")
#: A number that is alone there names a column (PostgreSQL, SELECT: "ORDER BY Clause"), a parameter does not.
_POSITIONS = re.compile(r"\b(?:(?:order|group)\s+by|distinct\s+on)\b", re.IGNORECASE)
_PLACES_MAX = 200
#: Placeholders of SQLite. Two colons are a cast, and one behind a number or a name is of a slice.
_SQLITE_NAMES = re.compile(r"(?<![\w:\]]):([A-Za-z_]\w*)")


def check_places(sql: str, params: Params) -> None:
    """Raise TypeError if ``params`` has values that cannot be meant for ``sql``, which has no placeholder.

    psycopg2 would leave them out, and the server would find the placeholders of SQLite malformed. A dict may
    have more than a statement uses, so it counts only where one of its names stands with a colon.
    """
    if not isinstance(params, Mapping):
        if params:
            text = "there are values and no place for them in the statement: write %s for each"
            raise TypeError(f"{text}, not ?" if "?" in sql else text)
        return
    named = params.keys() & _SQLITE_NAMES.findall(bare(sql))
    if named:
        name = min(named)
        raise TypeError(f"PostgreSQL takes %({name})s for a value with a name, not :{name}")


@attrs.frozen
class Template:
    """A statement with ``$1`` and so on; ``keys`` are the positions or names of their values."""

    sql: str
    keys: tuple[int | str, ...] = ()


@lru_cache(1024)
def template_of(sql: str, has_params: bool) -> Template | None:
    """Return the template of a single statement, None for what cannot be prepared for certain.

    Without parameters, ``%`` has no meaning. Called in any thread.
    """
    if "\\" in sql or _FIRST_WORDS.match(sql) is None:
        return None
    try:
        return _Reader(has_params).read(sql.rstrip("; \t\r\n"))
    except ValueError:
        return None


class _Reader:
    def __init__(self, has_params: bool) -> None:
        self._has_params = has_params
        self._keys: list[int | str] = []
        self._written: list[str] = []
        #: What was read so far of the statement, without texts and comments.
        self._before = ""

    def read(self, sql: str) -> Template:
        """Return the template; raise ValueError for what is not certain."""
        for number, piece in enumerate(_QUOTED.split(sql)):
            if number % 2:
                self._read_quoted(piece)
            else:
                self._read_code(piece)
        return Template("".join(self._written), tuple(self._keys))

    def _read_quoted(self, piece: str) -> None:
        if self._has_params:
            if "%" in piece.replace("%%", ""):
                raise ValueError
            piece = piece.replace("%%", "%")
        self._written.append(piece)
        self._before += " " if piece.startswith("--") else piece[0]

    def _read_code(self, piece: str) -> None:
        if any(mark in piece for mark in ("'", '"', "$", ";", "/*")):
            raise ValueError
        if not self._has_params:
            self._written.append(piece)
            return
        end = 0
        for found in _PLACEHOLDER.finditer(piece):
            self._add(piece[end : found.start()])
            end = found.end()
            if found[3]:
                self._add("%")
            else:
                self._read_place(found, piece[end : end + 1])
        self._add(piece[end:])

    def _add(self, code: str) -> None:
        self._written.append(code)
        self._before += code

    def _read_place(self, found: re.Match[str], after: str) -> None:
        if not found[1] and found[2] is None:
            raise ValueError
        if len(self._keys) >= _PLACES_MAX or not self._is_value(after):
            raise ValueError
        self._keys.append(found[2] if found[2] is not None else len(self._keys))
        self._add(f"${len(self._keys)}")

    def _is_value(self, after: str) -> bool:
        """Whether a parameter here means what the value in its place would."""
        before = self._before
        if before[-1:].isalnum() or before[-1:] in ("_", "'", '"') or after.isalnum() or after == "_":
            return False
        before = before.rstrip()
        if re.search(r"\bby$", before, re.IGNORECASE):
            return False
        return before[-1:] not in (",", "(") or _POSITIONS.search(before) is None
