"""Routes that lead to clusters: ``/up = @upstream``. This version responds with 503 there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from skitai.config import Mount
from skitai.config.clusters import PREFIX, unknown_cluster
from skitai.interfaces import IHeadResource, IInstance
from skitai.plugins import Answerer, hookimpl

_PROXIED_TYPE = "http"


@implementer(IHeadResource)
class Unavailable(Resource):
    """What is mounted where nothing can be served: every request gets 503, before its body is read."""

    isLeaf = True

    def at_head(self, request: Any) -> bool:
        """Respond with 503. Called in the reactor thread."""
        request.fail(503)
        return True

    def render(self, request: Any) -> int:
        """Respond with 503. Called in the reactor thread."""
        request.fail(503)
        return NOT_DONE_YET


@hookimpl
def skitai_mount(instance: IInstance, mount: Mount) -> Answerer | None:
    """Take a cluster as a target, with the warning that it is not served yet."""
    if not mount.target.startswith(PREFIX):
        return None
    name = mount.target.removeprefix(PREFIX)
    clusters = instance.config.clusters
    if name not in clusters:
        raise ValueError(unknown_cluster(name, clusters))
    if clusters[name].type != _PROXIED_TYPE:
        raise ValueError(
            f"@{name} has type {clusters[name].type}: only a cluster of type http can be mounted"
        )
    return Answerer("proxy", _unavailable, warning=f"this version does not serve @{name} yet: it answers 503")


def _unavailable(_options: Mapping[str, Any]) -> Unavailable:
    return Unavailable()  # type: ignore[no-untyped-call]
