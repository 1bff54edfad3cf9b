"""``bus = local`` where a server has several workers: they meet at the hub that their supervisor keeps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from skitai.messaging.hubbus import HubBus
from skitai.net.addresses import UnixNode
from skitai.plugins import hookimpl
from skitai.processes.orders import HUB_VARIABLE

if TYPE_CHECKING:
    from skitai.interfaces import IBus, IInstance


@hookimpl
def skitai_buses(instance: IInstance) -> Mapping[str, IBus]:
    """Give ``[server] bus = local`` where there is a hub; elsewhere the bus of one process has that name."""
    path = os.environ.get(HUB_VARIABLE)
    if not path:
        return {}
    node = UnixNode(path)
    return {"local": HubBus(instance.reactor, lambda factory: instance.connector.connect(node, factory))}


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Leave the hub."""
    if isinstance(instance.bus, HubBus):
        instance.bus.stop()
