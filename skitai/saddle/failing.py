"""What is answered when a request fails: by the app's own handlers, else with a page."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from skitai.saddle import pages
from skitai.saddle.answers import Answer, completed
from skitai.saddle.errors import FAILURES, HTTPError, status_line
from skitai.saddle.events import result_of
from skitai.saddle.part import Handler

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle
    from skitai.saddle.was import SaddleWas


def answer_to(app: Saddle, was: SaddleWas, error: BaseException) -> Answer:
    """Return the app's own answer to ``error``, or the page for it."""
    was.start_response_again()
    code = error.code if isinstance(error, HTTPError) else HTTPStatus.INTERNAL_SERVER_ERROR
    was.response.set_status(status_line(code))
    try:
        if isinstance(error, HTTPError):
            was.response.add_headers(error.headers)
        else:
            was.traceback(was.request.line)
        for handler, argument in _handlers(app, was, error, int(code)):
            return completed(was, result_of(was, handler, argument), keep=True)
    except FAILURES as another:  # a handler may fail, too
        was.start_response_again()
        was.response.set_status(status_line(500))
        was.traceback(was.request.line)
        error = another
    return completed(was, _page(app, was, error), keep=False)


def _handlers(app: Saddle, was: SaddleWas, error: BaseException, code: int) -> Iterator[tuple[Handler, Any]]:
    """Yield the handler to call with its argument: the part's before the app's, the nearest class first."""
    for scope in dict.fromkeys((was.subapp, app)):
        for kind in type(error).__mro__:
            if kind in scope.error_handlers:
                yield scope.error_handlers[kind], error
        if code in scope.error_handlers:
            yield scope.error_handlers[code], code


def _page(app: Saddle, was: SaddleWas, error: BaseException) -> Any:
    line, accept = was.request.line, was.request.get_header("accept")
    if app.debug and not isinstance(error, HTTPError):
        kind, body = pages.failure_page(error, line, accept)
    else:
        message = error.message if isinstance(error, HTTPError) else ""
        kind, body = pages.error_page(
            was.response.code, message, wants_json=pages.wants_json(accept), request_line=line
        )
    was.response.set_header("Content-Type", kind)
    return body
