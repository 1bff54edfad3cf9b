"""What ``perform`` of a service may return where a Deferred would cost too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure


class Outcome:
    """Fires once, with a result or a Failure, and takes one function, which is called then.

    Methods are named as those of a Deferred. A subclass writes ``_stop``. All of it is used in the reactor
    thread.
    """

    __slots__ = ("_args", "_function", "_value", "called")

    def __init__(self) -> None:
        #: Whether it has fired.
        self.called = False
        self._function: Callable[..., object] | None = None
        self._args: tuple[Any, ...] = ()
        self._value: Any = None

    def addBoth(self, function: Callable[..., object], *args: Any) -> None:
        """Call ``function(value, *args)`` when it fires, or now if it has."""
        if self.called:
            value, self._value = self._value, None
            function(value, *args)
        else:
            self._function, self._args = function, args

    def callback(self, value: Any) -> None:
        """Fire with a result, or with a Failure."""
        self.called = True
        function, args = self._function, self._args
        if function is None:
            self._value = value
        else:
            self._function, self._args = None, ()  # which lead back to this
            function(value, *args)

    def errback(self, error: BaseException | None = None) -> None:
        """Fire with a Failure of ``error``, by default of the exception that is being handled."""
        self.callback(Failure(error))  # type: ignore[no-untyped-call]

    def cancel(self) -> None:
        """Stop what is under way, and fire with a Failure of CancelledError; do nothing if it has fired."""
        if not self.called:
            self._stop()
        if not self.called:
            self.errback(CancelledError())

    def _stop(self) -> None:
        raise NotImplementedError

    def deferred(self) -> Deferred[Any]:
        """Return a Deferred that fires with the same; cancelling it cancels this."""
        deferred: Deferred[Any] = Deferred(lambda _: self.cancel())
        self.addBoth(deferred.callback)  # a Failure makes it fail
        return deferred
