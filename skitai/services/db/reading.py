"""Whether a statement may be executed a second time elsewhere, because it only reads."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Longer texts are looked at each time: they may have values in them, and a thousand would fill the memory.
_REMEMBERED_CHARACTERS = 4000
_REMEMBERED_MAX = 1000
_READING = frozenset({"select", "values", "table", "show", "explain", "with"})
# Any of these, wherever it stands, may change something: a lock, a sequence, a table made by SELECT INTO.
_CHANGING = frozenset(
    {
        "insert", "update", "delete", "merge", "replace", "into", "share", "nextval", "setval", "analyze",
        "call", "do", "lock", "notify", "pg_notify", "set_config", "lo_create", "lo_unlink",
    }
)  # fmt: skip
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
# Comments, texts and quoted names, whose words do not count. What is not closed goes to the end, so that long
# statements are read in one go. A comment with another one inside stays: databases differ in where it ends.
# No group is possessive: up to Python 3.11.4 such a group keeps what its last, failed turn has taken.
_SKIPPED = re.compile(
    r"""--[^\n]*
      | /\*(?:[^*/]++|\*(?!/)|/(?!\*))*(?:\*/|\Z)
      | (?<![\w$])[eE]'(?:[^'\\]++|\\.)*(?:'|\Z)
      | '[^']*+(?:'|\Z)
      | "[^"]*+(?:"|\Z)
      | (?<![\w$])\$([^\W\d]\w*)?\$.*?(?:\$(?(1)\1)\$|\Z)
    """,
    re.DOTALL | re.VERBOSE,
)
_OPEN_COMMENT = "/*"


class _Found(dict[str, T]):
    """What ``look`` has found for statements."""

    def __init__(self, look: Callable[[str], T]) -> None:
        super().__init__()
        self._look = look

    def __missing__(self, sql: str) -> T:
        found = self._look(sql)
        if len(sql) <= _REMEMBERED_CHARACTERS:
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[sql] = found
        return found


def remembered(look: Callable[[str], T]) -> Callable[[str], T]:
    """Have ``look(sql)`` remember what it has found, which each statement asks for several times."""
    return _Found(look).__getitem__


def bare(sql: str) -> str:
    """Return ``sql`` without its comments, texts and quoted names.

    If ``is_unclear`` says so of the result, some may have stayed. Called in any thread.
    """
    return _SKIPPED.sub(" ", sql)


def is_unclear(code: str) -> bool:
    """Whether ``bare`` has left a comment in ``code``, so that words may be hidden in what seemed a text."""
    return _OPEN_COMMENT in code


@remembered
def reads_only(sql: str) -> bool:
    """Whether ``sql`` seems to change nothing, as far as its words tell. Several statements never do.

    A function that it calls may change something all the same: nobody can know that. Called in any thread.
    """
    text = bare(sql).strip().rstrip(";").lower()
    if ";" in text or is_unclear(text):
        return False
    words = _WORD.findall(text)
    return bool(words) and words[0] in _READING and _CHANGING.isdisjoint(words)
