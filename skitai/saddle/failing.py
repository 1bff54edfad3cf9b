"""The response to a request that failed: from a handler of the app, or an error page."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from skitai.saddle.answers import WSGIResponse, make_response, warn_of_nothing
from skitai.saddle.errors import FAILURES, HTTPError, status_line
from skitai.saddle.events import result_of
from skitai.saddle.failures import pages
from skitai.saddle.part import Handler

if TYPE_CHECKING:
    from skitai.saddle.was import SaddleWas


def answer_to(was: SaddleWas, error: BaseException) -> WSGIResponse:
    """Return the response of the app's handler for ``error``, or the error page.

    A handler starts anew: header fields are gone, and session, cookies and messages are as they came with the
    request. What it changes is kept.
    """
    was.start_response_again()
    was.forget_changes()
    code = error.code if isinstance(error, HTTPError) else HTTPStatus.INTERNAL_SERVER_ERROR
    was.response.set_status(status_line(code))
    try:
        if isinstance(error, HTTPError):
            was.response.add_headers(error.headers)
        else:
            was.traceback(was.request.line)
        found = _handler(was, error, int(code))
        if found is not None:
            handler, argument = found
            value = result_of(was, handler, argument)
            if value is None:
                warn_of_nothing(was, handler)
            return make_response(was, value, keep=True)
    except FAILURES as another:  # the handler failed, too
        was.start_response_again()
        was.response.set_status(status_line(500))
        was.traceback(was.request.line)
        error = another
    return make_response(was, _page(was, error), keep=False)


def _handler(was: SaddleWas, error: BaseException, code: int) -> tuple[Handler, Any] | None:
    """Return the handler for ``error`` and its argument. The innermost part is asked first, the app last.

    In each of them, an HTTPError goes to the handler of its status before those of classes. Any other
    exception goes to the handler of the nearest class, and then to that of status 500.
    """
    for scope in reversed(was.scopes):
        handlers = scope.error_handlers
        kinds = (kind for kind in type(error).__mro__ if kind in handlers)
        kind = next(kinds, None)
        if code in handlers and (kind is None or isinstance(error, HTTPError)):
            return handlers[code], code
        if kind is not None:
            return handlers[kind], error
    return None


def _page(was: SaddleWas, error: BaseException) -> Any:
    shown = _debug_page(was, error) if was.app.debug and not isinstance(error, HTTPError) else None
    if shown is None:
        shown = pages.error_page(
            was.response.code,
            error.message if isinstance(error, HTTPError) else "",
            wants_json=pages.wants_json(was.request.get_header("accept")),
            request_line=was.request.line,
        )
    kind, body = shown
    was.response.set_header("Content-Type", kind)
    return body


def _debug_page(was: SaddleWas, error: BaseException) -> tuple[str, bytes] | None:
    """Return the page for the developer, or None if it cannot be made."""
    try:
        return pages.failure_page(error, was.request.line, was.request.get_header("accept"))
    except FAILURES:
        was.traceback(f"debug page of {was.request.line}")
        return None
