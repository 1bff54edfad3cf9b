"""The context of a request: one ``contextvars.Context`` for all its parts, wherever they run.

``Context.run`` will not do: until it is over, it lets nobody else into the context. But the reactor runs a
coroutine of a request in that request's context, and the app's thread or greenlet is in it, too, and waits.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from greenlet import getcurrent
from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")


def current_context() -> Context:
    """Return the current context itself, where ``copy_context`` returns a copy. Called in any thread."""
    me = getcurrent()
    context = me.gr_context
    if context is None:  # Python makes it when the first variable is set
        context = me.gr_context = Context()
    return context


def run_in(context: Context, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what ``function(*args, **kwargs)`` returns, with ``context`` as the current one meanwhile.

    It may be the current one elsewhere at the same time. Called in any thread.
    """
    me = getcurrent()
    former = me.gr_context
    me.gr_context = context
    try:
        return function(*args, **kwargs)
    finally:
        me.gr_context = former


def start_in(context: Context, coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Do as ``Deferred.fromCoroutine`` does, but run ``coroutine`` in ``context``, not in a copy of one.

    Called in the reactor thread.
    """
    return Deferred.fromCoroutine(steps_in(context, coroutine))


@types.coroutine
def steps_in(context: Context, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Return what ``await coroutine`` returns, with each step of it in ``context``. This can be awaited."""
    step: Callable[[], Any] = partial(coroutine.send, None)
    while True:
        try:
            awaited = run_in(context, step)
        except StopIteration as end:
            value: T = end.value
            return value
        try:
            step = partial(coroutine.send, (yield awaited))
        except GeneratorExit:
            run_in(context, coroutine.close)
            raise
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's
            step = partial(coroutine.throw, error)
