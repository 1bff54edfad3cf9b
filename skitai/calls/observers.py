"""Those who are told of calls, such as plugins that count or trace them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
from twisted.logger import Logger, LogLevel

if TYPE_CHECKING:
    from skitai.calls.call import Call
    from skitai.calls.operation import Operation
    from skitai.interfaces import INode

_log = Logger()

#: What plugins may raise without harm to the request that is observed.
RAISED_BY_OBSERVERS = (Exception, SystemExit)


def tell(functions: Sequence[Callable[..., object]], *arguments: Any) -> None:
    """Call each of ``functions``; what one raises is logged. Called in any thread."""
    for function in functions:
        try:
            function(*arguments)
        except RAISED_BY_OBSERVERS:
            log_failure(function)


def log_failure(function: Callable[..., object]) -> None:
    """Log what a plugin's function raised, with its name. Called where that is handled."""
    named = getattr(function, "func", function)  # of a partial
    name = f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', repr(named))}"
    _log.failure("{observer} failed", observer=name, level=LogLevel.error)


@attrs.frozen
class CallObservers:
    """The functions that are told of calls, as the hooks of the same names say."""

    started: Sequence[Callable[[Call], object]] = ()
    attempt: Sequence[Callable[[Call, INode, Operation], Operation | None]] = ()
    finished: Sequence[Callable[[Call, Any], object]] = ()

    def begin(self, call: Call) -> None:
        """Tell of a new call, and of its end when it comes. Called in the app's thread."""
        if self.started:
            tell(self.started, call)
        if self.finished:
            call.on_end(partial(self._end, call))

    def _end(self, call: Call) -> None:
        tell(self.finished, call, call.original)

    def prepared(self, call: Call, node: INode, operation: Operation) -> Operation:
        """Return what to perform on ``node`` in the place of ``operation``. Called in the reactor thread."""
        for function in self.attempt:
            try:
                operation = function(call, node, operation) or operation
            except RAISED_BY_OBSERVERS:
                log_failure(function)
        return operation
