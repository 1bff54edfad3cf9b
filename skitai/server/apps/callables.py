"""Which object of a module is the app: ``app``, ``create_app()``, ``make("shop", debug=True)``, or unnamed.

A call has literals as arguments, as it has for gunicorn. A function that cannot take what a server gives to
an app is called, too, as Flask does it: it makes the app.
"""

from __future__ import annotations

import ast
import inspect
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import attrs

#: What apps are called in a module where nobody says it, and what makes them.
_APPS = ("app", "application")
_FACTORIES = ("create_app", "make_app")
#: A server calls an app with so many arguments: environ and start_response (PEP 3333).
_SERVED_WITH = 2


class NotFoundError(ValueError):
    """A module has no such app."""


@attrs.frozen
class _Call:
    """A call of ``name``, which may be dotted."""

    name: str
    positional: Sequence[Any]
    named: Mapping[str, Any]


def normal_form(attribute: str) -> str:
    """Return how an app is called in its module, written in one way.

    Raises ValueError for what can be neither the name of an object nor a call of one.
    """
    if "(" not in attribute:
        _require_name(attribute, attribute)
        return attribute
    _parse(attribute)
    return ast.unparse(ast.parse(attribute, mode="eval"))


def find_app(module: ModuleType, attribute: str) -> Callable[..., Any]:
    """Return the app of ``module`` that ``attribute`` names; without a name, the one that is called as usual.

    Raises NotFoundError, and whatever a factory raises.
    """
    if not attribute:
        return _usual(module)
    if "(" in attribute:
        call = _parse(attribute)
        return _checked(_get(module, call.name)(*call.positional, **call.named), attribute)
    return _made(_get(module, attribute), attribute)


def _usual(module: ModuleType) -> Callable[..., Any]:
    for name in (*_APPS, *_FACTORIES):
        if callable(found := getattr(module, name, None)):
            return _made(found, name)
    names = " nor ".join((*_APPS, *(f"{name}()" for name in _FACTORIES)))
    hint = "name its WSGI callable after a colon"
    if any(os.path.isfile(os.path.join(folder, "wsgi.py")) for folder in getattr(module, "__path__", ())):
        hint = f"did you mean {module.__name__.rpartition('.')[2]}.wsgi?"  # as in Django's projects
    raise NotFoundError(f"the module has neither {names}; {hint}")


def _made(found: Any, name: str) -> Callable[..., Any]:
    """Return ``found``, or what it makes if it is no app but makes one: a function, a class, a partial."""
    if not callable(found):
        return _checked(found, name)
    may_serve = _takes(found, _SERVED_WITH)
    if (name in _FACTORIES or not may_serve) and _takes(found, 0):
        return _checked(found(), f"{name}()")
    if name in _FACTORIES and not may_serve:
        raise NotFoundError(f"{name}() needs arguments: write the call, such as {name}('shop')")
    return _checked(found, name)


def _takes(function: Callable[..., Any], count: int, *, wrapped: bool = True) -> bool:
    """Return whether ``function``, or what it says that it wraps, takes so many arguments."""
    try:
        inspect.signature(function, follow_wrapped=wrapped).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # it is not written in Python, so nobody knows
        return count == _SERVED_WITH
    return True


def _is_async(app: Any) -> bool:
    call = app if inspect.isroutine(app) else app.__call__
    return inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call)


def _get(module: ModuleType, name: str) -> Any:
    try:
        return operator.attrgetter(name)(module)
    except Exception as error:  # whatever an attribute of the app's own raises
        usual = " or ".join(each for each in (*_APPS, *_FACTORIES) if callable(getattr(module, each, None)))
        message = f"the module has no {name!r}; name its WSGI callable after the colon"
        raise NotFoundError(f"{message}: {usual}" if usual else message) from error


def _checked(app: Any, name: str) -> Callable[..., Any]:
    if not callable(app):
        raise NotFoundError(f"{name!r} is of type {type(app).__name__!r}, which cannot be called")
    if _is_async(app):
        raise NotFoundError(
            f"{name!r} is async, as apps of ASGI are, and Skitai serves WSGI: "
            f"a2wsgi.ASGIMiddleware({name}) of the package a2wsgi makes a WSGI app of it"
        )
    if not (_takes(app, _SERVED_WITH) or _takes(app, _SERVED_WITH, wrapped=False)):
        raise NotFoundError(f"{name!r} cannot be called with environ and start_response, as a WSGI app is")
    return app  # type: ignore[no-any-return]


def _parse(text: str) -> _Call:
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Call) and all(keyword.arg for keyword in call.keywords):
            name = ast.unparse(call.func)
            _require_name(name, text)
            positional = [ast.literal_eval(argument) for argument in call.args]
            named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords}
            return _Call(name, positional, named)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        pass
    raise ValueError(f"{text!r} is not a call with literals: write it as create_app('shop', debug=True)")


def _require_name(name: str, text: str) -> None:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{text!r} cannot name a callable: write path/module:callable")
