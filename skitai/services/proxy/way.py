"""What one mount of a cluster knows: whom it asks, how, and what it has counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from skitai.calls.cluster import Cluster
    from skitai.net.trust import TrustedProxies
    from skitai.services.http.pool import ConnectionPool
    from skitai.services.proxy.seam import ReplyCache

#: Bytes of a reply that wait for a slow client at most. All that waits shares [server] buffers_max, and a
#: member can be held back, unlike an app that has its response ready.
AHEAD_MAX = 1 << 20


@attrs.define
class Counts:
    """What has come to a mount since the start, and what is ``under_way``.

    ``retried`` counts the members that were asked in the place of others, ``broken`` the replies that ended
    in the middle, and ``failed`` the error pages by status.
    """

    requests: int = 0
    under_way: int = 0
    retried: int = 0
    broken: int = 0
    upgraded: int = 0
    failed: Counter[int] = attrs.field(factory=Counter)


@attrs.frozen(eq=False, kw_only=True)
class Way:
    """The way from a mount ``point`` to the members of ``cluster``.

    With ``strip`` members get the path below the mount point. With ``own_host`` they get their own name in
    Host, otherwise that which the client asked for. With ``rewrite`` their redirects and cookies are mended.
    With ``buffer`` the body of a request is collected before a member is asked. Bytes of a reply wait for a
    slow client up to ``waiting_max``. ``seconds`` is the clock. ``cache`` may answer in a member's place.
    """

    point: bytes
    cluster: Cluster
    pool: ConnectionPool
    proxies: TrustedProxies
    seconds: Callable[[], float]
    waiting_max: int
    strip: bool = True
    own_host: bool = False
    rewrite: bool = False
    buffer: bool = True
    cache: ReplyCache | None = None
    counts: Counts = attrs.field(factory=Counts)

    @property
    def label(self) -> str:
        """Its name in logs and on pages, such as ``the proxy /shop = @shop``."""
        return f"the proxy {self.point.decode() or '/'} = @{self.cluster.name}"

    def statistics(self) -> dict[str, Any]:
        """Return the row of the status page."""
        counts = self.counts
        return {
            "mount": self.point.decode() or "/",
            "cluster": f"@{self.cluster.name}",
            "requests": counts.requests,
            "under way": counts.under_way,
            "asked again": counts.retried,
            "broken off": counts.broken,
            "upgraded": counts.upgraded,
            **{str(code): counts.failed[code] for code in (502, 503, 504)},
        }
