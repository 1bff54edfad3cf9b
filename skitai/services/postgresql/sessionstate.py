"""Statements that leave something behind on their connection, which the next user must not find."""

from __future__ import annotations

import re
from functools import lru_cache

from skitai.services.db.reading import bare

_LEAVES = re.compile(
    r"(?:^|;)\s*+"
    r"(?:set\s+(?!local\b|transaction\b|constraints\b)|listen\b|load\b|declare\b|prepare\b"
    r"|create\s+(?:(?:local|global)\s+)?temp(?:orary)?\b)"
    # Anywhere in a statement.
    r"|\binto\s+temp(?:orary)?\b|\bset_config\s*\(|\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(",
    re.IGNORECASE,
)


@lru_cache(1024)
def leaves_state(sql: str) -> bool:
    """Whether ``sql`` seems to change its session, such as SET, a temporary table or an advisory lock.

    A connection is not lent again then. What ends with its transaction, such as SET LOCAL, does not count.
    """
    return _LEAVES.search(bare(sql)) is not None
