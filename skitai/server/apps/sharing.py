"""Where all requests share one thread, and which apps use libraries that keep something for each thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from skitai.interfaces import IExecutor, IInstance

#: What all requests share, by the library that keeps it for each thread.
_SHARED = {
    "django.db": "connections and transactions",
    "sqlalchemy": "scoped sessions",
    "asgiref": "locals",
}
#: What says in which module it was made.
_DEFINED = (type, FunctionType, BuiltinFunctionType)


def shares_a_thread(instance: IInstance, executor: IExecutor) -> bool:
    """Return whether all requests share what libraries keep for each thread, and hold each other up."""
    return not (executor.multithread or instance.config.server.cooperative)


def shared_libraries(module: ModuleType) -> dict[str, str]:
    """Return what requests share in one thread, by library, for those that ``module`` has imported.

    A library that is loaded may be one that only other apps have imported. So the names of ``module`` are
    followed, from module to module. Called in any thread.
    """
    wanted = {library for library in _SHARED if library in sys.modules}
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [module.__name__]
    while waiting and found != wanted:
        name = waiting.pop()
        found |= {library for library in wanted if f"{name}.".startswith(f"{library}.")}
        for other in _origins(sys.modules.get(name)):
            if other not in seen:
                seen.add(other)
                if other.partition(".")[0] not in sys.stdlib_module_names:
                    waiting.append(other)
    return {library: shared for library, shared in _SHARED.items() if library in found}


def _origins(module: Any) -> Iterator[str]:
    """Yield the names of the modules from which the names of ``module`` come."""
    for value in list(getattr(module, "__dict__", {}).values()):
        kind = type(value)
        if issubclass(kind, ModuleType):
            origin: Any = value.__name__
        else:  # any other object stands for its type: a lazy one would be made if it were asked itself
            origin = value.__module__ if issubclass(kind, _DEFINED) else kind.__module__
        if isinstance(origin, str):
            yield origin
