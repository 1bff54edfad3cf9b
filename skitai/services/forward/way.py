"""The way of one request to its destination, in the words of the reverse proxy."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs

from skitai.calls.cluster import Member
from skitai.net.addresses import HTTPNode
from skitai.net.trust import TrustedProxies
from skitai.services.proxy.way import Way

LABEL = "the forward proxy"
_NOBODY = TrustedProxies(())


class OneDestination:
    """A destination as a cluster of one member, of whose health nothing is remembered."""

    def __init__(self, node: HTTPNode) -> None:
        self.name = node.label
        self.members = (Member(node),)

    def pick(self, tried: Collection[Member] = ()) -> Member | None:
        """Return the destination, once."""
        return None if tried else self.members[0]

    def begin(self, member: Member) -> bool:  # noqa: ARG002 - as in Cluster
        """Return False: no request is a probe."""
        return False

    def end(self, member: Member, probe: bool) -> None:
        """Do nothing."""

    def succeeded(self, member: Member, latency: float | None = None) -> None:
        """Do nothing."""

    def failed(self, member: Member) -> None:
        """Do nothing."""


@attrs.frozen(eq=False, kw_only=True)
class Outward(Way):
    """The way to one destination; with ``tells_client`` that is told the address of the client."""

    point: bytes = b""
    cluster: Any
    proxies: TrustedProxies = _NOBODY
    strip: bool = False
    own_host: bool = True
    tells_client: bool = False

    @property
    def label(self) -> str:
        """Its name in logs and on pages."""
        return LABEL
