"""What an app holds before its call begins, such as ``was.rpc(url)`` and ``was.db(server)``."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from skitai.calls.raising import no_attribute
from skitai.errors import MisuseError

#: The methods of a call, which a holder has, too.
CALL_METHODS = frozenset(("getwait", "getswait", "wait", "cache", "cancel", "deferred"))


class CallHolder:
    """Begins a call when it is told what to do, and then behaves like that call. Used in the app's thread.

    A subclass calls ``_hold`` once, and says in ``_missing`` what its user has to do first.
    """

    __slots__ = ("_call",)

    #: What stands behind "so there is nothing to wait for" in a message.
    _missing = ""

    def __init__(self) -> None:
        self._call: Any = None

    def __getattr__(self, name: str) -> Any:
        if name in CALL_METHODS:
            return getattr(self._called(name), name)
        if self._call is not None:
            raise no_attribute(name)
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def status(self) -> Any:
        """The status of the call: 0 before it has a result."""
        return 0 if self._call is None else self._call.status

    @property
    def code(self) -> Any:
        """The code of the call: 0 before it has a result."""
        return 0 if self._call is None else self._call.code

    def __await__(self) -> Generator[Any, Any, Any]:
        """``await`` the result of the call in a coroutine."""
        awaiting: Generator[Any, Any, Any] = self._called("await").__await__()
        return awaiting

    if not TYPE_CHECKING:

        def __iter__(self) -> Iterator[Any]:
            return iter(self._called("for"))  # which says what to do

    def __was_call__(self) -> Any:
        """Return the call, for ``was.gather`` and ``was.as_completed``; MisuseError before there is one."""
        return self._called("gather")

    def _called(self, wish: str) -> Any:
        if self._call is None:
            raise MisuseError(f"{wish}: {self._missing}, so there is nothing to wait for")
        return self._call

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._call or 'not begun yet'}>"
