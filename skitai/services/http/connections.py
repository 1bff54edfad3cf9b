"""What the services of one instance that speak HTTP share: their connections and their logins."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from skitai.net.settings import SECTION
from skitai.services.http.auth import Logins
from skitai.services.http.pool import ConnectionPool
from skitai.services.http.service import HTTPService
from skitai.services.http.settings import pool_limits

if TYPE_CHECKING:
    from skitai.interfaces import IInstance


@attrs.frozen
class Connections:
    """The ``pool`` and the ``logins`` of an instance, and what reads the ``members`` of its HTTP clusters."""

    pool: ConnectionPool
    logins: Logins
    members: HTTPService


def connections_of(instance: IInstance) -> Connections:
    """Return what the instance has, made the first time. Called in the reactor thread."""
    connections: Connections = instance.state(Connections, partial(_make, instance))
    return connections


def _make(instance: IInstance) -> Connections:
    limits = pool_limits(instance.section(SECTION))
    pool = ConnectionPool(instance.reactor, limits, connector=instance.connector)
    return Connections(pool, Logins(), HTTPService("GET", pool))
