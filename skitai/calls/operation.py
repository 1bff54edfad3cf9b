"""What an app asked for, before anybody does it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from skitai.calls.result import Result


@attrs.frozen
class Operation:
    """One thing to do, as a service understood the app's arguments. It is never changed.

    ``target`` says where: ``"@name/rest"`` for a cluster of the config, anything else is the service's own
    form of address. ``request`` is the service's own immutable description of what to do there.
    ``cache_key`` names the answer among the answers of the same service (None: cannot be cached);
    without ``use_cache`` an answer that is kept does not stand for it, but its own may be kept in its place.
    ``idempotent`` says that doing it twice does no harm, so that another node may be asked after a failure
    in the middle (RFC 9110, section 9.2.2). ``filter`` takes the result and returns the one to use instead:
    it runs once, where the app first waits for the result, and what it raises is raised there. Raises
    TypeError for a ``filter`` that cannot be called.
    """

    target: str
    request: Any = None
    cache_key: Hashable | None = None
    idempotent: bool = False
    use_cache: bool = True
    filter: Callable[[Result], Result] | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.filter is not None and not callable(self.filter):
            raise TypeError(f"filter must be callable with a result, not {self.filter!r}")

    @property
    def may_be_shared(self) -> bool:
        """Whether one answer will do for all that ask the same at the same time."""
        return self.idempotent and self.use_cache and self.cache_key is not None

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
