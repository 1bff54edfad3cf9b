"""Statements that leave something behind on their connection, which the next user must not find."""

from __future__ import annotations

import re
from functools import lru_cache

_LEAVES = re.compile(
    r"^\s*(?:set|listen|load|declare|prepare|create\s+(?:(?:local|global)\s+)?temp(?:orary)?)\b(?!\s+(?:local|transaction))"
    r"|\b(?:set_config|pg_advisory_lock|pg_advisory_lock_shared|pg_try_advisory_lock"
    r"|pg_try_advisory_lock_shared)\s*\(|;\s*(?:set|listen)\b|\binto\s+temp",
    re.IGNORECASE,
)


@lru_cache(1024)
def leaves_state(sql: str) -> bool:
    """Whether ``sql`` seems to change its session, such as SET, a temporary table or an advisory lock.

    A connection is not used again then. SET LOCAL ends with its transaction.
    """
    return _LEAVES.search(sql) is not None
