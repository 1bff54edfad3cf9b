"""What ``was.rpc(url)`` returns: a proxy for one method call and its result."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from skitai.errors import MisuseError

#: The methods of a call, which a proxy has, too. ``proxy("wait", ...)`` calls a remote method of that name.
RESERVED = frozenset(("getwait", "getswait", "wait", "cache", "cancel", "deferred"))


class RPCProxy:
    """Starts a request when a method of it is called, and then behaves like the call of that request.

    ``start(method, args, kwargs)`` starts the request and returns its call. A proxy is for one request.
    Used in the app's thread::

        s = was.rpc("http://host/RPC2")
        s.system.add(1, 2)  # dots are part of the method's name
        s.getwait(2).data
    """

    __slots__ = ("_call", "_start")

    def __init__(self, start: Callable[[str, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self._start = start
        self._call: Any = None

    def __call__(self, method: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method of that name and return the ``Call`` (for ``map`` the group of calls).

        Raises MisuseError for a second call, TypeError or ValueError for arguments that cannot be sent.
        """
        if not isinstance(method, str) or not method:
            raise ValueError(f"method {method!r} must be a name")
        if self._call is not None:
            raise MisuseError(
                f"{method}() is the second method called on one proxy: write was.rpc(...) or was.jsonrpc(...)"
                " for each request"
            )
        self._call = self._start(method, args, kwargs)
        return self._call

    def __getattr__(self, name: str) -> Any:
        if name in RESERVED:
            return getattr(self._called(name), name)
        if name.startswith("_"):  # no remote method: copy, a notebook or doctest looks for it
            raise AttributeError(name)
        return RPCMethod(self, name)

    @property
    def status(self) -> Any:
        """The status of the call: 0 before it has a result."""
        return 0 if self._call is None else self._call.status

    @property
    def code(self) -> Any:
        """The code of the call: 0 before it has a result."""
        return 0 if self._call is None else self._call.code

    def __await__(self) -> Generator[Any, Any, Any]:
        """``await`` the result of the call in a coroutine on the reactor thread."""
        awaiting: Generator[Any, Any, Any] = self._called("await").__await__()
        return awaiting

    def __was_call__(self) -> Any:
        """Return the call, for ``was.gather`` and ``was.as_completed``; MisuseError before there is one."""
        return self._called("gather")

    def _called(self, wish: str) -> Any:
        if self._call is None:
            raise MisuseError(f"{wish}: no method was called yet, so there is nothing to wait for")
        return self._call

    def __repr__(self) -> str:
        return f"<RPCProxy {self._call or 'not called yet'}>"


class RPCMethod:
    """A remote method: call it, or name one below it with a dot."""

    __slots__ = ("_name", "_proxy")

    def __init__(self, proxy: RPCProxy, name: str) -> None:
        self._proxy = proxy
        self._name = name

    def __getattr__(self, name: str) -> RPCMethod:
        if name.startswith("_"):
            raise AttributeError(name)
        return RPCMethod(self._proxy, f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Start the request and return its ``Call``; see ``RPCProxy.__call__``."""
        return self._proxy(self._name, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<RPCMethod {self._name}>"
