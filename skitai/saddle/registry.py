"""``wasc``: objects that one app registers and every app of the server finds on its ``was``."""

from __future__ import annotations

from typing import Any

from skitai.context import is_given, registered
from skitai.saddle.was import SaddleWas

#: Names that have, or had, a meaning of their own on ``was``.
RESERVED = frozenset(
    (
        *dir(SaddleWas),
        *("app", "env", "g", "request", "response", "scopes", "subapp", "register", "unregister", "logger"),
        *("config", "lock", "plock", "threads", "queue", "clusters", "rcache", "cachefs", "httpserver"),
        *("debug", "lifetime"),
    )
)


class Registry:
    """The argument ``wasc`` of ``startup``, ``onreload`` and ``shutdown``. Used in any thread."""

    def register(self, name: str, thing: Any) -> None:
        """Make ``thing`` known as ``was.<name>`` to all apps of the server.

        Raises KeyError for a name that is taken, and ValueError for one that cannot be used. That includes
        the names of services: no app may replace them for the others.
        """
        if is_given(name):
            raise ValueError(f"was.{name} belongs to the server")
        if not name.isidentifier() or name.startswith("_") or name in RESERVED:
            raise ValueError(f"{name!r} cannot be a name on was")
        if registered().setdefault(name, thing) is not thing:
            raise KeyError(f"{name!r} is registered already")

    def unregister(self, name: str) -> Any:
        """Remove a name and return its object. Raises KeyError if there is none."""
        return registered().pop(name)

    def __getattr__(self, name: str) -> Any:
        try:
            return registered()[name]
        except KeyError:
            raise AttributeError(f"nothing is registered as {name!r}") from None


wasc = Registry()
