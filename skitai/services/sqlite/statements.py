"""What the text of a statement says before SQLite reads it: how many there are, and whether they only read.

SQLite takes one statement at a time, and Python's module does not tell where it ends. So a text is taken
apart here, into the tokens of https://sqlite.org/lang.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

import attrs

from skitai.errors import MisuseError

# Each alternative takes what it begins with to its end, so no character is looked at twice.
_TOKEN = re.compile(
    r"""
    (?P<space> \s+ | --[^\n]* | /\*.*?(?:\*/|\Z) )
  | (?P<word> [^\W\d][\w$]* )
  | (?P<other> '[^']*'? | "[^"]*"? | `[^`]*`? | \[[^\]]*\]? | [:@$\#][\w$]+ | \d[\w.]* | . )
    """,
    re.VERBOSE | re.DOTALL,
)
_READING = frozenset({"SELECT", "VALUES", "EXPLAIN"})
#: The statements that SQLite counts changed rows for, and that may follow WITH.
_CHANGING = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
#: What a PRAGMA may ask for without changing anything, whatever its argument.
_ASKING = frozenset(
    {
        "COLLATION_LIST", "COMPILE_OPTIONS", "DATABASE_LIST", "FOREIGN_KEY_CHECK", "FOREIGN_KEY_LIST",
        "FUNCTION_LIST", "INDEX_INFO", "INDEX_LIST", "INDEX_XINFO", "INTEGRITY_CHECK", "MODULE_LIST",
        "PRAGMA_LIST", "QUICK_CHECK", "TABLE_INFO", "TABLE_LIST", "TABLE_XINFO",
    }
)  # fmt: skip
#: What a script may begin with, before its transaction: SQLite ignores or refuses some of these within one.
_SETTINGS = frozenset({"PRAGMA", "ATTACH"})
_BOUNDS = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})
_SAVEPOINTS = frozenset({"SAVEPOINT", "RELEASE", "ROLLBACK TO"})
_TEMPORARY = frozenset({"TEMP", "TEMPORARY"})


@attrs.frozen
class Statement:
    """One statement.

    ``verb`` is its first word in capitals; of WITH it is that of what follows the tables, and ``ROLLBACK TO``
    is one word. ``soils`` says that it may leave something on its connection which the next user must not
    find: a setting, an attached file, a temporary table. ``returning`` says that it may change rows and give
    them, too.
    """

    text: str = attrs.field(repr=False)
    verb: str
    reads_only: bool
    soils: bool
    returning: bool

    @property
    def is_counted(self) -> bool:
        """Whether SQLite counts the rows that it changes."""
        return self.verb in _CHANGING


@attrs.frozen
class Script:
    """What a text says to do: ``settings`` before the transaction, where there are any, then ``statements``.

    ``as_one`` says that it takes a transaction to do all or nothing; one statement is that by itself, unless
    it gives more rows than are taken. ``within`` says that it makes sense only in a transaction of the app's.
    """

    settings: tuple[Statement, ...]
    statements: tuple[Statement, ...]
    reads_only: bool
    soils: bool
    as_one: bool
    within: bool


def parse(sql: str) -> Script:
    """Return what a text says to do; raise MisuseError if it begins or ends transactions. Any thread.

    A script is one transaction anyway. So a BEGIN at its begin, after PRAGMA and ATTACH, and a COMMIT at its
    end are left out.
    """
    found = list(_statements(sql))
    settings: list[Statement] = []
    while len(found) > 1 and found[0].verb in _SETTINGS:
        settings.append(found.pop(0))
    if len(found) > 1 and found[0].verb == "BEGIN" and found[-1].verb in ("COMMIT", "END"):
        found = found[1:-1]
    for statement in found:
        if statement.verb in _BOUNDS:
            raise MisuseError(
                f"{statement.verb} is not for was.db(): a script is one transaction by itself,"
                " and was.db.transaction() spans several calls"
            )
    return Script(
        settings=tuple(settings),
        statements=tuple(found),
        reads_only=all(statement.reads_only for statement in settings + found),
        soils=any(statement.soils for statement in settings + found),
        as_one=len(found) > 1 or any(statement.returning for statement in found),
        within=len(found) == 1 and found[0].verb in _SAVEPOINTS,
    )


@lru_cache(1024)
def parse_short(sql: str) -> Script:
    """Return the same as ``parse``. The latest are kept, so this is for short texts."""
    return parse(sql)


def _statements(sql: str) -> Iterator[Statement]:
    begin, tokens = 0, list[str]()
    for match in _TOKEN.finditer(sql):
        kind, piece = match.lastgroup, match[0]
        if piece == ";" and not _goes_on(tokens):
            if tokens:
                yield _statement(sql[begin : match.start()], tokens)
            begin, tokens = match.end(), []
        elif kind != "space":
            tokens.append(piece.upper() if kind == "word" else piece[0])
    if tokens:
        yield _statement(sql[begin:], tokens)


def _goes_on(tokens: Sequence[str]) -> bool:
    """Whether a statement goes on after a semicolon: within a trigger, up to ``; END``."""
    if tokens[:1] != ["CREATE"]:
        return False
    kind = [item for item in tokens[1:3] if item not in _TEMPORARY][:1]
    return kind == ["TRIGGER"] and tokens[-2:] != [";", "END"]


def _statement(text: str, tokens: Sequence[str]) -> Statement:
    verb = tokens[0]
    if verb == "WITH":
        verb = next((item for item in _outside(tokens) if item in _CHANGING | _READING), verb)
    elif verb == "ROLLBACK" and "TO" in tokens[1:3]:
        verb = "ROLLBACK TO"
    asks = verb == "PRAGMA" and not _ASKING.isdisjoint(tokens[1:4])
    return Statement(
        text=text,
        verb=verb,
        reads_only=verb in _READING or asks,
        soils=(
            verb in ("ATTACH", "DETACH")
            or (verb == "PRAGMA" and not asks)
            or (verb == "CREATE" and not _TEMPORARY.isdisjoint(tokens))
        ),
        returning=verb in _CHANGING and "RETURNING" in tokens,
    )


def _outside(tokens: Sequence[str]) -> Iterator[str]:
    """Yield the tokens outside any parentheses."""
    depth = 0
    for item in tokens:
        depth += (item == "(") - (item == ")")
        if depth == 0:
            yield item
