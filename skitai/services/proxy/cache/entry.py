"""A stored reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from skitai.http.fields import split_list
from skitai.http.ranges import Representation, http_date
from skitai.services.proxy.cache.freshness import Freshness

if TYPE_CHECKING:
    import io

Field = tuple[str, str]
#: Seconds between Last-Modified and Date after which no other version has the same date (RFC 9110, 8.8.2.2).
_STRONG_AFTER = 60
#: What an entry takes in memory besides its bytes.
_OVERHEAD = 1024
#: Says where a reply comes from.
LOOKUP = "X-Cache-Lookup"


@attrs.define(eq=False, kw_only=True)
class Entry:
    """A stored reply of the mount ``way``.

    ``fields`` are those for clients, with a Date, but without Age and Content-Length. ``vary`` are the names
    of the request's fields that it was chosen by, and ``selected`` their values. The ``body`` is in memory,
    or the next ``length`` bytes of ``file``, which whoever got the entry closes.
    """

    way: str
    code: int
    reason: str
    fields: tuple[Field, ...]
    vary: tuple[bytes, ...]
    selected: tuple[bytes, ...]
    freshness: Freshness
    length: int
    body: bytes | None = None
    file: io.FileIO | None = None
    #: The name of the file with the body on disk, if it has one of its own.
    stored_as: str = ""
    #: When it becomes stale, and when its age was 0, in seconds since the epoch.
    fresh_until: float = attrs.field(init=False)
    born: float = attrs.field(init=False)
    public: bool = attrs.field(init=False)
    status: str = attrs.field(init=False)
    _aged: tuple[int, str, tuple[Field, ...]] = attrs.field(init=False, default=(-1, "", ()))

    def __attrs_post_init__(self) -> None:
        freshness = self.freshness
        self.born = freshness.born
        self.fresh_until = freshness.born + freshness.lifetime
        self.public = freshness.public
        self.status = f"{self.code} {self.reason}"

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes."""
        texts = sum(len(name) + len(value) for name, value in self.fields)
        return _OVERHEAD + texts + sum(map(len, self.selected)) + len(self.body or b"")

    def value(self, name: str) -> str:
        """Return the first field ``name``, in lower case; empty if there is none."""
        return next((value for key, value in self.fields if key.lower() == name), "")

    def fields_at(self, now: float, lookup: str) -> tuple[Field, ...]:
        """Return the fields for a client; ``lookup`` says where it comes from."""
        age = int(now - self.born)
        known = self._aged
        if known[0] == age and known[1] == lookup:
            return known[2]
        fields = (*self.fields, ("Age", str(max(0, age))), (LOOKUP, lookup))
        self._aged = (age, lookup, fields)
        return fields

    def representation(self) -> Representation:
        """Return what conditions and ranges of a request are about."""
        modified = http_date(self.value("last-modified").encode("latin-1"))
        date = http_date(self.value("date").encode("latin-1"))
        return Representation(
            size=self.length,
            etag=self.value("etag").encode("latin-1"),
            last_modified=modified,
            date_is_strong=modified is not None and date is not None and modified + _STRONG_AFTER <= date,
            content_type=self.value("content-type").encode("latin-1"),
            cache_control=b"",
        )

    def close(self) -> None:
        """Close the file, if the body is in one."""
        if self.file is not None:
            self.file.close()


def varying_names(values: Mapping[str, str]) -> tuple[bytes, ...]:
    """Return the names of the fields that a reply varies by, in lower case: the reply has these ``values``.

    A reply with a Content-Encoding varies by Accept-Encoding, even if it does not say so: a client that
    cannot read it must not get it.
    """
    names = {name.lower().encode("latin-1") for name in split_list(values.get("vary", ""))}
    if "content-encoding" in values:
        names.add(b"accept-encoding")
    return tuple(sorted(names))


def selecting_values(names: tuple[bytes, ...], request: Any) -> tuple[bytes, ...]:
    """Return the values of those fields in a request; spaces around commas do not count."""
    return tuple(
        b",".join(part.strip() for part in (request.field(name) or b"").split(b",")) for name in names
    )
