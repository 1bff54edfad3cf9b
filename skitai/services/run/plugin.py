"""The hooks of ``was.run``: its pool, its section of the config and its part of the status page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from skitai.config import Key, integer
from skitai.errors import UnsentError, stopping
from skitai.loop.pool import ThreadPool
from skitai.plugins import Metric, gauge, hookimpl
from skitai.services.run.service import RunService

if TYPE_CHECKING:
    from skitai.interfaces import IInstance

_SECTION = "run"

_log = Logger()


def _pool_of(instance: IInstance) -> ThreadPool:
    limits = instance.section(_SECTION)
    pool: ThreadPool = instance.state(
        ThreadPool, lambda: ThreadPool(limits["threads"], limits["queue"], instance.bridge.submit)
    )
    return pool


@hookimpl
def skitai_config_sections() -> Mapping[str, Mapping[str, Key]]:
    """Declare the limits of ``was.run``."""
    return {
        _SECTION: {
            "threads": Key(integer(1), 32, "functions of was.run that run at once"),
            "queue": Key(integer(0), 1000, "functions of was.run that may wait for a thread"),
        }
    }


@hookimpl
def skitai_services(instance: IInstance) -> Mapping[str, RunService]:
    """Give ``was.run``."""
    return {"run": RunService(_pool_of(instance))}


@hookimpl
def skitai_status(instance: IInstance) -> Mapping[str, Any]:
    """Show the pool on the status page."""
    return {"was.run": _pool_of(instance).statistics()}


@hookimpl
def skitai_metrics(instance: IInstance) -> Sequence[Metric]:
    """Count the functions."""
    pool = _pool_of(instance).statistics()
    states = {state: pool[state] for state in ("running", "queued", "given_up")}
    return [gauge("skitai_run_functions", "Functions of was.run.", states, "state")]


@hookimpl
def skitai_stopping(instance: IInstance) -> Deferred[None]:
    """Drop what has not begun; wait for functions whose results somebody wants, such as detached ones."""
    pool = _pool_of(instance)
    pool.drop_waiting(stopping(UnsentError))
    done = pool.when_done()
    return done.addCallback(lambda _: _log_running(pool))


@hookimpl
def skitai_shutdown(instance: IInstance) -> None:
    """Let the threads end."""
    _pool_of(instance).stop()


def _log_running(pool: ThreadPool) -> None:
    names = ", ".join(map(str, pool.running))
    if names:
        _log.warn("was.run: the server stops, and these functions still run: {names}", names=names)
