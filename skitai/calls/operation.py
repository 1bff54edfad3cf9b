"""What an app asked for, before anybody does it."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import attrs


@attrs.frozen
class Operation:
    """One thing to do, as a service understood the app's arguments. It is never changed.

    ``target`` says where: ``"@name/rest"`` for a cluster of the config, anything else is the service's own
    form of address. ``request`` is the service's own immutable description of what to do there.
    ``cache_key`` names the answer among the answers of the same service (None: cannot be cached);
    without ``use_cache`` an answer that is kept does not stand for it, but its own may be kept in its place.
    ``idempotent`` says that doing it twice does no harm, so that another node may be asked after a failure
    in the middle (RFC 9110, section 9.2.2).
    """

    target: str
    request: Any = None
    cache_key: Hashable | None = None
    idempotent: bool = False
    use_cache: bool = True

    @property
    def cluster(self) -> str | None:
        """The name of the cluster that the target is in, without the ``@``, or None."""
        if not self.target.startswith("@"):
            return None
        return self.target[1:].partition("/")[0].partition("?")[0]

    @property
    def path(self) -> str:
        """What follows the cluster's name in the target, such as ``"/rpc2"``; empty if nothing does."""
        name = self.cluster
        return self.target if name is None else self.target[1 + len(name) :]
