"""The order of a request's events: the app's around those of its part, and these around the view."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import Any

from skitai.saddle.errors import FAILURES
from skitai.saddle.incoming.arguments import ArgumentError
from skitai.saddle.part import Saddlery


def run(scopes: Sequence[Saddlery], was: Any, view: Callable[[], Any]) -> Any:
    """Return what ``view()`` returns, or what a handler of ``scopes`` (outermost first) returns instead.

    If ``before_request`` returns a true value, neither the view nor ``finish_request`` is called. If
    ``failed_request`` returns anything but None, the outer scopes see a success. Only wrong arguments, which
    are the client's mistake, stay a failure. ``teardown_request`` is always called.
    """
    for index, scope in enumerate(scopes):
        if scope.handlers:
            return _around(scope, scopes[index + 1 :], was, view)
    return view()


def _around(scope: Saddlery, inner: Sequence[Saddlery], was: Any, view: Callable[[], Any]) -> Any:
    handlers = scope.handlers
    try:
        try:
            content = _call(handlers.get("before_request"), was)
            if content:
                return content
            content = run(inner, was, view)
        except FAILURES as error:
            content = _call(handlers.get("failed_request"), was, sys.exc_info())
            if content is None or isinstance(error.__cause__, ArgumentError):
                raise
        else:
            _call(handlers.get("finish_request"), was)
    finally:
        _call(handlers.get("teardown_request"), was)
    return content


def _call(handler: Callable[..., Any] | None, was: Any, *arguments: Any) -> Any:
    return None if handler is None else result_of(was, handler, *arguments)


def result_of(was: Any, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    """Return what ``function(was, ...)`` returns; wait for it if it is a coroutine."""
    return value_of(was, function(was, *arguments, **named))


def value_of(was: Any, value: Any) -> Any:
    """Return what a view or a handler has returned; wait for it if it is a coroutine."""
    return was.wait_for(value) if iscoroutine(value) else value
