"""Raising one exception in several places."""

from __future__ import annotations

import copy
from types import TracebackType
from typing import TypeVar

E = TypeVar("E", bound=BaseException)


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
    try:
        twin = copy.copy(error)
        # A constructor that makes its message from its arguments would make another one from the message.
        alike = type(twin) is type(error) and list(map(id, twin.args)) == list(map(id, error.args))
    except Exception:  # noqa: BLE001 - whatever an app's constructor raises
        return error
    return twin if alike else error


def no_attribute(name: str) -> AttributeError:
    """Return the error for an attribute that a call has not: many forget to wait for its result."""
    hint = "" if name.startswith("_") else f", its result may have one: write getwait().{name}"
    return AttributeError(f"a call has no attribute {name!r}{hint}")
