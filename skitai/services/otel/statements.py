"""What a span says of a statement of SQL, without the values in it."""

from __future__ import annotations

import re
from functools import lru_cache

#: Characters of a statement that are looked at, and of its summary.
_READ, _SUMMARY_MAX = 2000, 255

_TOKENS = re.compile(
    r"--[^\n]*|/\*.*?\*/"  # comments
    r"|'(?:[^']|'')*(?:'|\Z)|\$(\w*)\$.*?(?:\$\1\$|\Z)"  # texts, which may be values
    r'|(?P<word>"(?:[^"]|"")*"(?:\."(?:[^"]|"")*")*|[A-Za-z_][\w.$]*)'
    r"|(?P<mark>\()",
    re.DOTALL,
)
_VERBS = frozenset(
    ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "ALTER", "DROP", "TRUNCATE", "CALL")
)
_BEFORE_TABLES = frozenset(("FROM", "INTO", "UPDATE", "JOIN", "TABLE", "TRUNCATE", "CALL"))
_BETWEEN = frozenset(("ONLY", "IF", "NOT", "EXISTS", "TABLE", "LATERAL"))
#: Verbs that are no verbs behind these words: ``FOR UPDATE``, ``ON DELETE``, ``DO UPDATE``.
_NO_VERB_BEHIND = frozenset(("FOR", "ON", "DO", "KEY"))


@lru_cache(512)
def _summary(sql: str) -> str:
    found: list[str] = []
    before, wants_table = "", False
    for match in _TOKENS.finditer(sql):
        word = match["word"]
        if word is None:
            if match["mark"]:  # a subquery, or the arguments of a function
                wants_table = False
            continue
        upper = word.upper()
        if wants_table and upper not in _BETWEEN and upper not in _VERBS:
            found.append(word)
            wants_table = False
        elif (upper in _VERBS and before not in _NO_VERB_BEHIND) or not (before or upper == "WITH"):
            found.append(upper)
        if upper in _BEFORE_TABLES and before not in _NO_VERB_BEHIND:
            wants_table = True
        before = upper
    return " ".join(found)[:_SUMMARY_MAX]


def summary(sql: str) -> str:
    """Return the verbs of ``sql`` and its tables, in their order: ``SELECT people``; called in any thread.

    That is ``db.query.summary`` of the conventions.
    """
    return _summary(sql[:_READ])
