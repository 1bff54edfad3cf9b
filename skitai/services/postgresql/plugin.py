"""The hooks of PostgreSQL: its engine of ``was.db``, its section of the config and of the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skitai import DB_PGSQL
from skitai.config import Key
from skitai.plugins import Metric, gauge, hookimpl
from skitai.services.db.clusterkeys import CLUSTER_KEYS
from skitai.services.db.service import DatabaseService, MembersOf, databases_of
from skitai.services.postgresql.engine import PostgreSQL
from skitai.services.postgresql.settings import KEYS, LIBPQ_KEYS, SECTION, limits, pool_limits

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from skitai.interfaces import IInstance


def _engine_of(instance: IInstance) -> PostgreSQL:
    """Return the engine of ``instance``, made at the first call."""
    values = instance.section(SECTION)

    def make() -> PostgreSQL:
        return PostgreSQL(
            instance.reactor,
            instance.connector,
            instance.config.path.parent,
            pool_limits(values),
            limits(values),
            values["slow_statement"],
        )

    engine: PostgreSQL = instance.state(PostgreSQL, make)
    return engine


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare what pools and results may use."""
    return {SECTION: KEYS}


@hookimpl
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the keys of such clusters."""
    return {f"[@NAME] type = {DB_PGSQL}": {**CLUSTER_KEYS, **LIBPQ_KEYS}}


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, DatabaseService]:
    """Give ``was.db``, which engines share."""
    return databases_of(instance, _engine_of(instance))


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, MembersOf]:
    """Let ``type = postgresql`` clusters be read."""
    return {DB_PGSQL: MembersOf(_engine_of(instance))}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the pools, and the statements that took most."""
    engine = _engine_of(instance)
    return {"PostgreSQL": engine.statistics(), "PostgreSQL, by statement": engine.times.statistics()}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the connections of the pools."""
    pools = _engine_of(instance).statistics()
    waiting = {pool["database"]: pool["waiting"] for pool in pools}
    states = {
        (pool["database"], state): count
        for pool in pools
        for state, count in (
            ("idle", pool["idle"]),
            ("in_use", pool["connections"] - pool["idle"]),
            ("connecting", pool["connecting"]),
        )
    }
    names = ("database", "state")
    return [
        gauge("skitai_postgresql_connections", "Connections of the pools.", states, *names),
        gauge("skitai_postgresql_waiting", "Statements that wait for a connection.", waiting, "database"),
    ]


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[Any]:
    """Close every connection."""
    return _engine_of(instance).close()
