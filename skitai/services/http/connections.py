"""The connections and logins that all HTTP services of one instance share."""

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
    """The ``pool`` and the ``logins`` of an instance, and the service that reads cluster ``members``."""

    pool: ConnectionPool
    logins: Logins
    members: HTTPService


def connections_of(instance: IInstance) -> Connections:
    """Return the connections of ``instance``, made at the first call. Called in the reactor thread."""
    connections: Connections = instance.state(Connections, partial(_make, instance))
    return connections


def _make(instance: IInstance) -> Connections:
    limits = pool_limits(instance.section(SECTION))
    pool = ConnectionPool(instance.reactor, limits, connector=instance.connector)
    return Connections(pool, Logins(), HTTPService("GET", pool))
