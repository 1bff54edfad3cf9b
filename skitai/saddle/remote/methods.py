"""Remote methods of any protocol: the app's views, and the ``system`` methods that list them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from xmlrpc.client import Fault

from skitai.errors import SkitaiError, words_of
from skitai.formats.jsonrpc import INVALID_PARAMS, INVALID_REQUEST, UNKNOWN_METHOD
from skitai.saddle.errors import FAILURES, HTTPError
from skitai.saddle.routes.router import RoutingError

#: The code of an exception in a view, and the only text of it that strangers see.
EXCEPTION = 1
HIDDEN = "Internal error"

#: Calls in one request, as a batch or in ``system.multicall``.
CALLS_MAX = 100

Encode = Callable[[Any], bytes]
Call = Callable[[str, tuple[Any, ...], dict[str, Any], Encode], tuple[Any, bytes]]
Functions = Callable[[], Mapping[str, Callable[..., Any]]]


class UnknownMethod(SkitaiError):  # noqa: N818 - what it says about the request
    """No view has the name of the method."""


class Methods:
    """Calls methods, and turns every exception into a ``Fault``.

    ``call(name, args, kwargs, encode)`` calls the view and returns its value, plain and encoded.
    ``functions()`` returns the views by name; their first parameter is ``was``. ``encode(value)`` returns a
    value as it is sent, and raises TypeError or ValueError if it cannot be sent. With ``debug``, the caller
    sees the text of every exception. Otherwise it only sees that of a Fault or an HTTPError, and a message if
    its arguments do not fit.
    """

    def __init__(self, call: Call, functions: Functions, encode: Encode, *, debug: bool) -> None:
        self._call = call
        self._functions = functions
        self._encode = encode
        self._debug = debug
        self._own: dict[str, Callable[..., Any]] = {
            "system.listMethods": self._list,
            "system.methodHelp": self._help,
            "system.methodSignature": self._signature,
            "system.multicall": self._multicall,
        }

    def run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the encoded value of a method; raise Fault if anything goes wrong."""
        return self._run(name, args, kwargs)[1]

    def _run(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, bytes]:
        own = self._own.get(name)
        if own is not None and _misfit(own, args, kwargs):
            raise Fault(INVALID_PARAMS, f"{name} does not take these params")
        try:
            if own is None:
                return self._call(name, args, kwargs, self._encode)
            value = own(*args, **kwargs)
            return value, self._encode(value)
        except Fault:
            raise
        except (UnknownMethod, RoutingError) as error:
            raise _unknown(name) from error
        except FAILURES as error:
            function = self._functions().get(name)
            if isinstance(error, TypeError) and function is not None:
                # Check the arguments again: the TypeError may have come from anywhere in the view.
                misfit = _misfit(function, (None, *args), kwargs)
                if misfit:
                    raise Fault(INVALID_PARAMS, f"{name}: {misfit}") from error
            is_shown = self._debug or isinstance(error, HTTPError)
            words = f"{type(error).__name__}: {words_of(error)}" if is_shown else HIDDEN
            raise Fault(EXCEPTION, words) from error

    def _list(self) -> list[str]:
        """Return the names of all methods."""
        return sorted({*self._functions(), *self._own})

    def _help(self, method: str) -> str:
        """Return what a method does, as its docstring says."""
        return inspect.getdoc(self._known(method)) or ""

    def _signature(self, method: str) -> str:
        """Return "undef": Python's functions have no types of XML-RPC."""
        self._known(method)
        return "undef"

    def _multicall(self, calls: list[Any]) -> list[Any]:
        """Call several methods; return a list with the value of each, or a struct with its fault."""
        if not isinstance(calls, list) or len(calls) > CALLS_MAX:
            raise Fault(INVALID_PARAMS, f"system.multicall takes an array of at most {CALLS_MAX} calls")
        return [self._one_of_many(each) for each in calls]

    def _one_of_many(self, each: Any) -> Any:
        try:
            name, params = _name_and_params(each)
            return [self._run(name, params, {})[0]]
        except Fault as fault:
            return {"faultCode": fault.faultCode, "faultString": fault.faultString}

    def _known(self, name: Any) -> Callable[..., Any]:
        function = (self._own | dict(self._functions())).get(name) if isinstance(name, str) else None
        if function is None:
            raise _unknown(name)
        return function


def _name_and_params(call: Any) -> tuple[str, tuple[Any, ...]]:
    match call:
        case {"methodName": "system.multicall"}:
            raise Fault(INVALID_REQUEST, "system.multicall cannot call itself")
        case {"methodName": str(name), "params": list(params)}:
            return name, tuple(params)
    raise Fault(INVALID_REQUEST, "each call is a struct of methodName and params")


def _unknown(name: Any) -> Fault:
    return Fault(UNKNOWN_METHOD, f"there is no method {name!r:.200}")


def _misfit(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Return why a function does not take these arguments; nothing if it does."""
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        return str(error)
    return ""
