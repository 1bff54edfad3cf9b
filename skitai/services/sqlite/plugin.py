"""The hooks of SQLite: its part of ``was.db``, of the config, of the clusters and of the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred

from skitai import DB_SQLITE3
from skitai.config import Key, integer, positive, seconds, yes_no
from skitai.plugins import Metric, gauge, hookimpl
from skitai.services.db.clusterkeys import CLUSTER_KEYS
from skitai.services.db.service import DatabaseService, MembersOf, databases_of
from skitai.services.sqlite.engine import SQLiteEngine

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_SECTION = "sqlite"


def _engine_of(instance: IInstance) -> SQLiteEngine:
    def make() -> SQLiteEngine:
        folder = instance.config.path.absolute().parent
        return SQLiteEngine(folder, instance.reactor, instance.bridge.submit, **instance.section(_SECTION))

    engine: SQLiteEngine = instance.state(SQLiteEngine, make)
    return engine


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare how SQLite is used."""
    return {
        _SECTION: {
            "threads": Key(integer(1), 8, "SQLite statements that run at once"),
            "rows_max": Key(integer(1), 100_000, "the most rows of one result; one with more has failed"),
            # Less than the default time-out of calls, so that the app learns what it has waited for.
            "busy_timeout": Key(
                positive(seconds), 4.0, "how long a statement waits for the lock of its file"
            ),
            "slow_statement": Key(positive(seconds), 1.0, "a statement that takes longer is logged"),
            "foreign_keys": Key(yes_no, False, "SQLite checks foreign keys"),
        }
    }


@hookimpl
def skitai_keys() -> Mapping[str, Mapping[str, Key]]:
    """Describe the keys of such clusters."""
    return {f"[@NAME] type = {DB_SQLITE3}": CLUSTER_KEYS}


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, DatabaseService]:
    """Give ``was.db``, with SQLite."""
    return databases_of(instance, _engine_of(instance))


@hookimpl
def skitai_cluster_types(instance: IInstance) -> Mapping[str, MembersOf]:
    """Read the files of clusters with ``type = sqlite3``."""
    return {DB_SQLITE3: MembersOf(_engine_of(instance))}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the files on the status page."""
    return _engine_of(instance).statistics()


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the statements."""
    pool = _engine_of(instance).statistics()["SQLite, threads"]
    states = {state: pool[state] for state in ("running", "queued", "given_up")}
    return [gauge("skitai_sqlite_statements", "Statements of SQLite.", states, "state")]


@hookimpl
def skitai_shutdown(instance: IInstance) -> Deferred[None]:
    """Close the files, so that SQLite leaves no log beside them."""
    return Deferred.fromCoroutine(_engine_of(instance).close())
