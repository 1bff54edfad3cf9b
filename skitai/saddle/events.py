"""The order of a request's events: the app's around its part's around the view."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from inspect import iscoroutine
from typing import Any

from skitai.saddle.errors import FAILURES
from skitai.saddle.incoming.arguments import ArgumentError
from skitai.saddle.part import Saddlery


def run(scopes: Sequence[Saddlery], was: Any, view: Callable[[], Any]) -> Any:
    """Return what ``view()`` gives, or what a handler of ``scopes`` (outermost first) gives in its place.

    A true value that ``before_request`` returns is the answer: neither the view nor ``finish_request`` is
    called. A failure that ``failed_request`` answers is a success further out; but of wrong arguments, which
    are the client's mistake, it only hears. ``teardown_request`` is always called.
    """
    for index, scope in enumerate(scopes):
        if scope.handlers:
            return _around(scope, scopes[index + 1 :], was, view)
    return view()


def _around(scope: Saddlery, inner: Sequence[Saddlery], was: Any, view: Callable[[], Any]) -> Any:
    handlers = scope.handlers
    try:
        try:
            content = _called(handlers.get("before_request"), was)
            if content:
                return content
            content = run(inner, was, view)
        except FAILURES as error:
            content = _called(handlers.get("failed_request"), was, sys.exc_info())
            if content is None or isinstance(error.__cause__, ArgumentError):
                raise
        else:
            _called(handlers.get("finish_request"), was)
    finally:
        _called(handlers.get("teardown_request"), was)
    return content


def _called(handler: Callable[..., Any] | None, was: Any, *arguments: Any) -> Any:
    return None if handler is None else result_of(was, handler, *arguments)


def result_of(was: Any, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    """Return what ``function(was, ...)`` gives, if it is a coroutine, too."""
    value = function(was, *arguments, **named)
    return was.wait_for(value) if iscoroutine(value) else value
