"""What the fields of a request say to a cache."""

from __future__ import annotations

from collections.abc import Sequence

from skitai.http.cachecontrol import Directives, cache_directives
from skitai.services.proxy.fields import named_by

#: What names a user: the reply may be for that one alone.
_PRIVATE = frozenset((b"authorization", b"cookie"))
_CONDITIONS = frozenset((b"if-none-match", b"if-modified-since"))
_RANGES = frozenset((b"range", b"if-range"))
#: Preconditions that only the members can check (RFC 9111, section 4.3.2).
_OF_MEMBERS = frozenset((b"if-match", b"if-unmodified-since"))
#: With these a client would have some frameworks answer for another path, method or host than the request's:
#: stored, the reply would be a trap for everybody else.
_MISLEADING = frozenset(
    (
        *(b"x-original-url", b"x-rewrite-url", b"x-original-host", b"x-host", b"x-http-host-override"),
        *(b"x-http-method", b"x-http-method-override", b"x-method-override"),
    )
)
#: Values of Connection that take no field away; and a field that it may take away: it means something only
#: beside an Upgrade that members do not get.
PLAIN_CONNECTION = frozenset((b"", b"close", b"keep-alive", b"te", b"upgrade"))
_NEVER_PASSED_ON = b"http2-settings"
#: All fields that matter. A request without them is answered without a further look.
TOLD = (
    _PRIVATE
    | _CONDITIONS
    | _RANGES
    | _OF_MEMBERS
    | _MISLEADING
    | {b"cache-control", b"connection", b"pragma"}
)
#: What members are asked without where a stored reply is validated: the cache itself answers these.
_OWN = _CONDITIONS | _RANGES


class Wants:
    """What a request with ``headers`` wants.

    ``private``: its reply may be for one user alone. ``passes``: it has nothing to do with what is stored.
    ``conditional`` and ``partial``: it does not ask for the whole reply. ``directives`` are those of
    Cache-Control.
    """

    __slots__ = ("conditional", "directives", "partial", "passes", "private")

    def __init__(self, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        names = {name for name, _ in headers}
        self.private = not names.isdisjoint(_PRIVATE)
        self.conditional = not names.isdisjoint(_CONDITIONS)
        self.partial = not names.isdisjoint(_RANGES)
        self.directives: Directives = {}
        if b"cache-control" in names:
            values = [value for name, value in headers if name == b"cache-control"]
            self.directives = cache_directives(b",".join(values).decode("latin-1"))
        elif any(name == b"pragma" and b"no-cache" in value.lower() for name, value in headers):
            self.directives = {"no-cache": None}
        self.passes = not names.isdisjoint(_OF_MEMBERS | _MISLEADING) or "no-store" in self.directives
        if b"connection" in names:
            # Members are not told what Connection names, so their reply is not that for these fields.
            values = [value for name, value in headers if name == b"connection"]
            taken = named_by(b",".join(values).decode("latin-1"))
            self.passes |= any(name != _NEVER_PASSED_ON and name.decode("latin-1") in taken for name in names)

    @property
    def fresh_only(self) -> bool:
        """Whether the client wants a reply of a member, or one that a member has confirmed."""
        return "no-cache" in self.directives


#: Those of most requests.
NOTHING = Wants()


def whole_request(
    headers: Sequence[tuple[bytes, bytes]], etag: str, last_modified: str
) -> list[tuple[bytes, bytes]]:
    """Return the fields that ask members for a whole reply, unless it has these validators."""
    fields = [(name, value) for name, value in headers if name not in _OWN]
    if etag:
        fields.append((b"if-none-match", etag.encode("latin-1")))
    if last_modified:
        fields.append((b"if-modified-since", last_modified.encode("latin-1")))
    return fields
