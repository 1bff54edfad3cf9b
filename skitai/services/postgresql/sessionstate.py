"""Statements that leave something behind on their connection, which the next user must not find."""

from __future__ import annotations

import re

from skitai.services.db.reading import bare, is_unclear, remembered

_LEAVES = re.compile(
    r"(?:^|;)\s*+"
    # What DO executes is a text, which may do anything.
    r"(?:set\s+(?!local\b|transaction\b|constraints\b)|listen\b|load\b|declare\b|prepare\b|do\b)"
    # Anywhere in a statement.
    r"|\bcreate\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?\b|\binto\s+temp(?:orary)?\b",
    re.IGNORECASE,
)
#: Functions, the schema of temporary tables and the table of settings: their names may be quoted.
_NAMES = re.compile(
    r"\b(?:set_config|pg_(?:try_)?advisory_lock(?:_shared)?|pg_temp|update\s+pg_settings)\b", re.IGNORECASE
)


@remembered
def leaves_state(sql: str) -> bool:
    """Whether ``sql`` seems to change its session, such as SET, a temporary table or an advisory lock.

    A connection is not lent again then. What ends with its transaction, such as SET LOCAL, does not count.
    """
    code = bare(sql)
    return is_unclear(code) or _LEAVES.search(code) is not None or _NAMES.search(sql) is not None
