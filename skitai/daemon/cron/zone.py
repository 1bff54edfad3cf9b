"""The time zone of this machine, with its past and coming changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


class LocalZone(tzinfo):
    """Local time as the system's library has it, whatever form ``TZ`` or /etc/localtime have.

    ``datetime.astimezone()`` gives a zone with the offset of one moment only.
    """

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return how far local time is ahead of UTC; ``fold`` tells apart the hours that come twice."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, moment: datetime | None) -> None:
        """Return nothing: what part of the offset is due to the summer is not known."""

    def tzname(self, moment: datetime | None) -> str | None:
        """Return the abbreviation of the zone at a moment."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local time of a moment in UTC, which has this zone as its ``tzinfo``."""
        local = moment.replace(tzinfo=UTC).astimezone()
        wall = local.replace(tzinfo=None, fold=0)
        is_second = wall.astimezone().utcoffset() != local.utcoffset()
        return wall.replace(tzinfo=self, fold=int(is_second))
