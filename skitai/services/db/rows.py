"""The rows of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


class Row(dict[str, Any]):
    """One row: a dict in the order of the columns, whose values are attributes, too.

    A column that is named like a method of dict, such as ``items`` or ``keys``, is reached by key. Of columns
    with the same name the last one counts.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self)
            raise AttributeError(f"no column {name!r}; there are: {known}") from None


def rows_of(columns: Sequence[str], values: Iterable[Sequence[Any]]) -> list[Row]:
    """Return a row for each sequence of ``values``, which are as many as ``columns`` and in their order."""
    return [Row(zip(columns, value)) for value in values]  # noqa: B905 - ``strict`` takes a third longer
