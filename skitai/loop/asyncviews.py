"""``async def`` views of Flask and Django in greenlets: the one module that knows of asgiref.

Both frameworks run coroutines by ``asgiref.sync.async_to_sync``. It starts a thread with a loop, and blocks
the thread that wants the result. In a plain greenlet that is the reactor's, without which no call comes to
its end. Where all cooperate, it takes five times as long as the rest of a request. So in a greenlet of the
reactor's thread the loop runs in that same greenlet. What a coroutine passes to ``sync_to_async`` runs there,
too, as asgiref promises: in the thread of the code that called the coroutine.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from contextvars import Context, copy_context
from functools import partial, wraps
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from skitai.loop.bridge import Bridge
from skitai.loop.greenletloop import run_in_greenlet
from skitai.loop.native import get_ident
from skitai.loop.switching import running_loop, without_loop

_MODULE = "asgiref.sync"
_UNSET = object()

#: The bridges whose apps run in greenlets, by the thread of their reactor.
_bridges: dict[int, Bridge] = {}


def support(bridge: Bridge) -> None:
    """Have ``async_to_sync`` work in the greenlets of ``bridge``, if an app ever imports it.

    Called in the reactor thread.
    """
    _bridges[get_ident()] = bridge
    if _MODULE in sys.modules:
        _patch(sys.modules[_MODULE])
    elif _patch_at_import not in sys.meta_path:
        sys.meta_path.insert(0, _patch_at_import)


def end_support(bridge: Bridge) -> None:
    """Undo ``support``, if it was called. Called in the reactor thread."""
    if _bridges.get(get_ident()) is bridge:
        del _bridges[get_ident()]


class _PatchAtImport(importlib.abc.MetaPathFinder):
    """Patches asgiref when it is imported: Flask imports it at the first ``async def`` view."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None for all modules but one."""
        if fullname != _MODULE:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (finder.find_spec(fullname, path, target) for finder in others)
        spec = next(filter(None, found), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_patch(module: ModuleType) -> None:
                execute(module)
                _patch(module)

            spec.loader.exec_module = execute_and_patch  # type: ignore[method-assign]
        return spec


_patch_at_import = _PatchAtImport()


def _patch(module: Any) -> None:
    """Replace ``AsyncToSync.__call__`` in ``module``, unless that was done before."""
    original = module.AsyncToSync.__call__
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        bridge = _bridges.get(get_ident())
        if bridge is None or not bridge.may_wait() or running_loop() is not None:
            return original(self, *args, **kwargs)
        executors = type(self).executors
        outer = getattr(executors, "current", None)
        executors.current = _Here()
        context = copy_context()
        try:
            return run_in_greenlet(bridge, self.awaitable(*args, **kwargs), context)
        finally:
            _adopt(context)
            executors.current = outer

    module.AsyncToSync.__call__ = call


def _adopt(context: Context) -> None:
    """Set the context variables here that were set in ``context``."""
    for variable, value in context.items():
        if variable.get(_UNSET) is not value:
            variable.set(value)


class _Here(Executor):
    """Runs each function at once, in the greenlet of the loop that submits it."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            result = without_loop(partial(function, *args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            future.set_exception(error)
        else:
            future.set_result(result)
        return future
