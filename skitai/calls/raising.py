"""Raising one exception in several places, and errors in the words of apps."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from skitai.formats.spelling import Keywords

E = TypeVar("E", bound=BaseException)
R = TypeVar("R")

#: Py_TPFLAGS_HEAPTYPE: a class that was made by Python code.
_HEAP_TYPE = 1 << 9

#: The methods of services that take an app's arguments, as Python's messages begin.
_TAKING_ARGUMENTS = re.compile(r"^\w+\.(?:operation|opening|endpoint|place)\(\)")
_UNEXPECTED = re.compile(r"got an unexpected keyword argument '([^']*)'")


def fresh(error: E, traceback: TracebackType | None) -> E:
    """Return a copy of ``error`` to raise, with ``traceback`` as where it comes from.

    Each time that an exception is raised, Python adds frames to its traceback. If several places raise the
    same object, each sees the frames of the others. An exception that cannot be copied is returned itself.
    """
    twin = _copied(error)
    twin.__context__ = error.__context__
    twin.__cause__ = error.__cause__
    twin.__suppress_context__ = error.__suppress_context__
    return twin.with_traceback(traceback)


def _copied(error: E) -> E:
    if (bare := _bare_copy(error)) is not None:
        return bare
    try:
        twin = copy.copy(error)
        # A constructor that makes its message from its arguments would make another one from the message.
        alike = type(twin) is type(error) and list(map(id, twin.args)) == list(map(id, error.args))
    except Exception:  # noqa: BLE001 - whatever an app's constructor raises
        return error
    return twin if alike else error


def _bare_copy(error: E) -> E | None:
    """Return a copy made without the constructor; None for a kind that keeps more than attributes."""
    kind = type(error)
    builtin = next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)
    if builtin.__basicsize__ != BaseException.__basicsize__:  # such as OSError, with its errno
        return None
    if any(vars(base).get("__slots__") for base in kind.__mro__):
        return None
    twin: E = BaseException.__new__(kind, *error.args)
    vars(twin).update(vars(error))
    return twin


def called_as(name: str, function: Callable[..., R], keywords: Keywords, /, *args: Any, **kwargs: Any) -> R:
    """Return ``function(...)``; a TypeError about its arguments names it as the app does, by ``name``.

    For an argument that it has not, ``keywords`` and its signature say what to write instead.
    """
    try:
        return function(*args, **kwargs)
    except TypeError as error:
        text, is_about_arguments = _TAKING_ARGUMENTS.subn(name, str(error))
        unexpected = _UNEXPECTED.search(text) if is_about_arguments else None
        if unexpected is not None:
            text = keywords.unexpected(name, unexpected[1], inspect.signature(function).parameters)
        error.args = (text,)
        raise


def not_iterable(way: str) -> TypeError:
    """Return the error for a loop over a call; ``way()`` waits for what can be iterated over."""
    return TypeError(f"a call is not iterable, its result may be: write call.{way}()")


class OfResult:
    """An attribute of a class of calls that only results have: it raises what ``no_attribute`` returns.

    With a ``__getattr__`` in that class, Python would look up every attribute in the slow way.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise no_attribute(self._name)


def no_attribute(name: str) -> AttributeError:
    """Return the error for an attribute that a call has not: many forget to wait for its result."""
    hint = "" if name.startswith("_") else f", its result may have one: write getwait().{name}"
    return AttributeError(f"a call has no attribute {name!r}{hint}")
