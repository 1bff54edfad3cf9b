"""Runs functions of apps in a pool of threads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail

from skitai.calls.operation import Operation
from skitai.calls.result import Result
from skitai.calls.service import OwnNode, Service
from skitai.errors import CODE_BUSY, UnsentError
from skitai.loop.pool import ThreadPool
from skitai.services.run.result import RunResult

if TYPE_CHECKING:
    from skitai.calls.call import Call


_NODE = OwnNode("threads")


class Run:
    """One run of ``function()``, in ``context``. Its ``call`` is set as soon as there is one."""

    __slots__ = ("_function", "_name", "call", "context")

    def __init__(self, name: str, function: Callable[[], Any], context: Context) -> None:
        self._name = name
        self.call: Call | None = None
        self._function = function
        self.context = context

    def __call__(self) -> RunResult | None:
        """Return the result of the function; None, without calling it, if nobody wants that any more."""
        call, self.call = self.call, None
        if call is not None and call.over:
            return None
        try:
            return RunResult(self.context.run(self._function))
        except BaseException as error:  # noqa: BLE001 - an app may raise anything; it is for who waits
            trace = error.__traceback__
            assert trace is not None
            return RunResult.raised(error.with_traceback(trace.tb_next))  # without this frame

    def __str__(self) -> str:
        return self._name


class RunService(Service):
    """``was.run(function, *args, **kwargs)``: the function runs in ``pool``."""

    result_type: type[Result] = RunResult

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool

    def operation(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        filter: Any = None,  # noqa: A002 - the name that apps write
        **kwargs: Any,
    ) -> Operation:
        """Return the operation that calls ``function(*args, **kwargs)``.

        Raises TypeError for what cannot be called, and for a coroutine function.
        """
        name = _name(function)
        run = Run(name, partial(function, *args, **kwargs), copy_context())
        return Operation(name, run, local=True, filter=filter)

    def begin(self, submit: Callable[[Operation], Any], /, *args: Any, **kwargs: Any) -> Any:
        """Start the run, and return its call."""
        operation = self.operation(*args, **kwargs)
        call = submit(operation)
        # It may run already. That is early enough: nobody can have given up a call that nobody has seen.
        operation.request.call = call
        return call

    def node(self, target: str) -> OwnNode:  # noqa: ARG002 - the name of the function
        """Return the one node."""
        return _NODE

    def perform(self, node: Any, operation: Operation) -> Deferred[Any]:  # noqa: ARG002 - there is one pool
        """Have the function run, or fail if too many wait. Called in the reactor thread."""
        pool = self._pool
        if pool.is_full:
            return fail(
                UnsentError(
                    f"too many functions: {pool.threads_max} run and {pool.queue_max} wait"
                    " (threads and queue in the section [run] of the config)",
                    code=CODE_BUSY,
                )
            )
        return pool.run(operation.request)


def _name(function: Any) -> str:
    """Return how messages name ``function``; raise TypeError if ``was.run`` cannot run it."""
    if not callable(function):
        raise TypeError(f"was.run takes a function and its arguments, not {function!r}")
    inner = function
    while isinstance(inner, partial):
        inner = inner.func
    name = _qualname(inner)
    if any(map(_is_asynchronous, (inner, type(inner).__call__))):
        raise TypeError(f"{name} is a coroutine function: was.run is for functions that block; await it")
    return name


def _qualname(function: Any) -> str:
    """Return the name of ``function``, or that of its class.

    Some objects have any attribute that they are asked for, such as the remote methods of ``xmlrpc.client``.
    """
    name = getattr(function, "__qualname__", None)
    return name if isinstance(name, str) else type(function).__qualname__


def _is_asynchronous(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
