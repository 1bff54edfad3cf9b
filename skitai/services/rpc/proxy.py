"""What ``was.rpc(url)`` returns: a proxy for one method call and its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skitai.calls.holder import CALL_METHODS, CallHolder
from skitai.errors import MisuseError


class RPCProxy(CallHolder):
    """Starts a request when a method of it is called, and then behaves like the call of that request.

    ``start(method, args, kwargs)`` starts the request and returns its call. A proxy is for one request.
    Used in the app's thread::

        s = was.rpc("http://host/RPC2")
        s.system.add(1, 2)  # dots are part of the method's name
        s.getwait(2).data
    """

    __slots__ = ("_start",)

    _missing = "no method was called yet"

    def __init__(self, start: Callable[[str, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        super().__init__()
        self._start = start

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
        # ``proxy("wait", ...)`` calls a remote method that is named like one of a call. No remote method
        # begins with an underscore: copy, a notebook or doctest looks for such names.
        if name in CALL_METHODS or name.startswith("_"):
            return super().__getattr__(name)
        return RPCMethod(self, name)


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
