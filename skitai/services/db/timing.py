"""How long statements take: for the status page, and for the log where they are slow."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.logger import Logger

#: How many different statements are remembered; those that took least in all make room.
STATEMENTS_MAX = 200
#: How many the status page shows, and how many characters of each.
_SHOWN, _SHOWN_CHARACTERS = 20, 120
#: Longer statements that begin alike count as one, because hundreds of megabytes would fill the memory.
_KEPT_CHARACTERS = 1000

_log = Logger()


@attrs.define
class _Times:
    count: int = 0
    total: float = 0.0
    longest: float = 0.0


class StatementTimes:
    """Counts the statements of one engine. All of it is called in the reactor thread.

    A statement that takes longer than ``slow`` seconds is logged, without the values of its parameters.
    """

    def __init__(self, slow: float) -> None:
        self._slow = slow
        self._times: dict[str, _Times] = {}

    def note(self, sql: str, label: str, seconds: float) -> None:
        """Count one execution on the database ``label``."""
        sql = sql[:_KEPT_CHARACTERS]
        times = self._times.get(sql)
        if times is None:
            if len(self._times) >= STATEMENTS_MAX:
                self._make_room()
            times = self._times[sql] = _Times()
        times.count += 1
        times.total += seconds
        if seconds > times.longest:
            times.longest = seconds
        if seconds > self._slow:
            _log.warn(
                "slow statement on {label}: {seconds:.3f} s: {sql}",
                label=label,
                seconds=seconds,
                sql=_shown(sql),
            )

    def statistics(self) -> list[dict[str, Any]]:
        """Return the statements that took most, as a table for the status page."""
        most = sorted(self._times.items(), key=lambda item: item[1].total, reverse=True)
        return [
            {
                "statement": _shown(sql),
                "count": times.count,
                "total_seconds": times.total,
                "average_seconds": times.total / times.count,
                "longest_seconds": times.longest,
            }
            for sql, times in most[:_SHOWN]
        ]

    def _make_room(self) -> None:
        """Forget the half that took least, so that this is rare."""
        most = sorted(self._times, key=lambda sql: self._times[sql].total, reverse=True)
        self._times = {sql: self._times[sql] for sql in most[: STATEMENTS_MAX // 2]}


def _shown(sql: str) -> str:
    text = " ".join(sql.split())
    return (
        text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}\N{HORIZONTAL ELLIPSIS}"
    )
