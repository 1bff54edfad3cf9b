"""What an app asked for, before it is done."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from skitai.calls.result import Result
    from skitai.interfaces import INode


@attrs.define
class Operation:
    """One thing to do, made from an app's arguments by a service.

    Nobody changes it, because several threads look at it: ``attrs.evolve`` makes another. It is not frozen,
    because a call would take half a microsecond longer to begin.

    ``target`` says where: ``"@name/rest"`` in a cluster of the config, or an address in the form of the
    service. ``request`` is the service's own immutable description of what to do there. ``cache_key`` tells
    results of the same service apart (None: they cannot be kept). Without ``use_cache`` a kept result is not
    used, but the new one may be kept. ``idempotent`` says that doing it twice does no harm, so that another
    node may be asked after a failure in the middle (RFC 9110, section 9.2.2). ``filter`` takes the result and
    returns the one to use instead: it runs once, where the app first waits for the result, and what it raises
    is raised there. Raises TypeError for a ``filter`` that cannot be called.

    A ``local`` operation asks no other machine: it does not count towards ``calls_max``, because what it does
    may make calls that do. Its ``request`` is a function without arguments that returns the outcome.

    ``node`` is the node to ask, if the service knows it already; then ``target`` only names it in messages.
    With ``counted`` false the operation does not count towards ``calls_max``, because calls that do may wait
    for it. With ``shareable`` false equal operations never share one request. ``name`` is what is called,
    such as a remote method, for those who trace it.

    ``here`` returns the result where a thread of an app may block for it: then no node is asked, and no other
    thread. It must not raise. In the thread of the reactor the service performs the operation as usual.

    ``timeout`` is how many seconds the call has, where the wait for it names no others; None: the usual.
    """

    target: str
    request: Any = None
    cache_key: Hashable | None = None
    idempotent: bool = False
    use_cache: bool = True
    filter: Callable[[Result], Result] | None = attrs.field(default=None, kw_only=True)
    local: bool = attrs.field(default=False, kw_only=True)
    node: INode | None = attrs.field(default=None, kw_only=True)
    counted: bool = attrs.field(default=True, kw_only=True)
    shareable: bool = attrs.field(default=True, kw_only=True)
    name: str = attrs.field(default="", kw_only=True)
    here: Callable[[], Result] | None = attrs.field(default=None, kw_only=True)
    timeout: float | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.filter is not None and not callable(self.filter):
            raise TypeError(f"filter must be callable with a result, not {self.filter!r}")

    def with_request(self, request: Any) -> Operation:
        """Return the same operation with another request."""
        # Not attrs.evolve, which takes four times as long: this may be a part of every call.
        return Operation(
            self.target,
            request,
            self.cache_key,
            self.idempotent,
            self.use_cache,
            filter=self.filter,
            local=self.local,
            node=self.node,
            counted=self.counted,
            shareable=self.shareable,
            name=self.name,
            here=self.here,
            timeout=self.timeout,
        )

    @property
    def may_be_shared(self) -> bool:
        """Whether equal operations at the same time can share one request."""
        return self.shareable and self.idempotent and self.use_cache and self.cache_key is not None

    @property
    def cluster(self) -> str | None:
        """The name of the cluster in the target, without the ``@``, or None."""
        if self.node is not None or not self.target.startswith("@"):
            return None
        return self.target[1:].partition("/")[0].partition("?")[0]

    @property
    def path(self) -> str:
        """What follows the cluster's name in the target, such as ``"/rpc2"``; empty if nothing does."""
        name = self.cluster
        return self.target if name is None else self.target[1 + len(name) :]
