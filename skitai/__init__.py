"""Skitai: an application server that lets plain synchronous web apps talk to many machines at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os import PathLike

    from skitai.context import CurrentWas
    from skitai.worker.standalone import Standalone

    was: CurrentWas

__version__ = "0.15.0"

#: The kinds of databases, for ``dbtype`` of ``was.db``.
DB_PGSQL = "postgresql"
DB_SQLITE3 = "sqlite3"

#: How an app handles a websocket: the first item of ``environ["websocket_init"]``.
WEBSOCKET_REQDATA, WEBSOCKET_DEDICATE, WEBSOCKET_MULTICAST = 1, 2, 3


def __getattr__(name: str) -> Any:
    """Make ``was`` when it is first asked for: the processes beside those that serve need nothing of it."""
    if name != "was":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skitai.context import CurrentWas

    return globals().setdefault(name, CurrentWas())


def standalone(config: str | PathLike[str] | None = None) -> Standalone:
    """Give ``was`` to a script, a management command, a shell or a notebook: no server is needed.

    ``config`` is the file that a server would take; without one there are no clusters, and each key has its
    default. Nothing is listened on, and no app is loaded. Twisted's reactor runs in a thread of its own::

        with skitai.standalone("site.conf") as was:
            print(was.get.lb("@search/find?q=tea").getwait(2).data)

    A shell uses ``start()``, which returns ``was``, and ``stop()``. Both are methods of what is returned; see
    ``skitai.worker.standalone.Standalone``.
    """
    from skitai.worker.standalone import Standalone  # not before it is needed: it imports Twisted's reactor

    return Standalone(config)


__all__ = [
    "DB_PGSQL",
    "DB_SQLITE3",
    "WEBSOCKET_DEDICATE",
    "WEBSOCKET_MULTICAST",
    "WEBSOCKET_REQDATA",
    "__version__",
    "standalone",
    "was",
]
