"""From an environ to a response: authentication, routing, arguments, events and the view."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from skitai.context import current_view
from skitai.formats.jsontext import NumberError, read_json
from skitai.loop.contexts import current_context, run_in
from skitai.saddle import events, websockets
from skitai.saddle.answers import (
    WSGIResponse,
    begin_body,
    content_of,
    make_response,
    note_stream,
    unpacked,
    warn_of_nothing,
)
from skitai.saddle.errors import FAILURES, HTTPError, status_line
from skitai.saddle.failing import answer_to
from skitai.saddle.incoming.arguments import ArgumentError, bind, merge, place_of
from skitai.saddle.incoming.forms import Form, FormError, parse_form
from skitai.saddle.incoming.request import path_info
from skitai.saddle.outgoing.bodies import Streamed
from skitai.saddle.outgoing.locations import query_as_uri
from skitai.saddle.part import Endpoint
from skitai.saddle.remote import rpc
from skitai.saddle.routes.router import Match, MethodNotAllowed, NotFound, SlashRedirect
from skitai.saddle.routes.sockets import HANDSHAKE
from skitai.saddle.was import SaddleWas
from skitai.websocket.closing import WebSocketClosed

if TYPE_CHECKING:
    from skitai.saddle.app import Saddle

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")
_ASKS_METHOD = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"

T = TypeVar("T")


def answer(app: Saddle, env: dict[str, Any]) -> WSGIResponse:
    """Return the response to one request, whatever the app raises. Called in the app's thread.

    All parts of the request run in one context, also the pieces of its body and their end. Under Skitai this
    is the context of the request. Other servers have none for each request, so there it is a copy of theirs,
    which has what middleware has set.
    """
    was = SaddleWas(app, env)
    if "skitai.was" in env:
        # Without the detour of ``run_in``: of each step of that kind a greenlet that waits keeps half a KB.
        token = current_view.set(was)
        try:
            return _answer(was, current_context())
        finally:
            current_view.reset(token)
    context = copy_context()
    return _in_request(context, was, _answer, was, context)


def _in_request(context: Context, was: SaddleWas, function: Callable[..., T], *arguments: Any) -> T:
    """Return what ``function(*arguments)`` returns, called as a part of the request of ``was``."""
    return run_in(context, _with_current, was, function, *arguments)


def _with_current(was: SaddleWas, function: Callable[..., T], *arguments: Any) -> T:
    token = current_view.set(was)
    try:
        return function(*arguments)
    finally:
        current_view.reset(token)


def _answer(was: SaddleWas, context: Context) -> WSGIResponse:
    kept: Streamed | None = None
    try:
        try:
            made = make_response(was, _serve(was.app, was), keep=True)
        except FAILURES as error:  # an app may raise anything, and the response is then an error
            if isinstance(error, WebSocketClosed) and _has_left(was):
                raise  # the server knows: nobody gets a response
            made = answer_to(was, error)
        if isinstance(made.body, Streamed):
            kept = made.body
            # The request lasts as long as pieces are made: they may come from an uploaded file.
            kept.outlive(partial(_in_request, context, was), was.request.form)
        return made
    finally:
        if was.streams:
            _close_unsent(was, kept)
        if kept is None and was.request.form is not None:
            _close(was, was.request.form)


def _has_left(was: SaddleWas) -> bool:
    """Return whether the websocket that the view was called for is closed."""
    websocket = was.env.get("websocket")
    return websocket is not None and bool(websocket.closed)


def _close_unsent(was: SaddleWas, sent: Streamed | None) -> None:
    for stream in was.streams:
        if stream is not sent and (sent is None or not stream.shares_with(sent)):
            _close(was, stream)


def _close(was: SaddleWas, thing: Streamed | Form) -> None:
    try:
        thing.close()
    except FAILURES:  # the response is ready, and the others must be closed, too
        was.traceback(f"{was.request.line} closing")


# -- success -----------------------------------------------------------------------------------------------


def _serve(app: Saddle, was: SaddleWas) -> Any:
    request = was.request
    challenge = None if _is_preflight(was.env) else app.authenticate(was)
    if challenge is not None:
        raise HTTPError(HTTPStatus.UNAUTHORIZED, headers=challenge.headers)
    if request.method == "POST" and request.get_content_type() in rpc.TYPES:
        found = rpc.answer(
            request.get_content_type() or "",
            request.get_body(),
            partial(_remote_call, app, was),
            app.remote_methods,
            debug=app.debug,
        )
        if found is not None:
            return was.response(status_line(found.status), found.body, [("Content-Type", found.content_type)])
    return _route(app, was)


def _is_preflight(env: dict[str, Any]) -> bool:
    """Whether a browser asks if a page of another site may send a request (Fetch standard, section 3.2.2).

    It never sends credentials with that. Only views that list OPTIONS among their methods can be reached.
    """
    return env["REQUEST_METHOD"] == "OPTIONS" and "HTTP_ORIGIN" in env and _ASKS_METHOD in env


def _route(app: Saddle, was: SaddleWas) -> Any:
    try:
        match = _match(app, was)
    except NotFound:
        raise HTTPError(HTTPStatus.NOT_FOUND) from None
    except MethodNotAllowed as error:
        allowed = _without_handshake(error.allowed)
        allow = ("Allow", ", ".join(allowed))
        raise HTTPError(HTTPStatus.METHOD_NOT_ALLOWED, headers=[allow]) from None
    except SlashRedirect as error:
        return _redirect(was, error.path)  # percent-encoded already
    if match.endpoint is None:  # OPTIONS, and no view takes it
        return was.response("200 OK", "", [("Allow", ", ".join(_without_handshake(match.allowed)))])
    endpoint: Endpoint = match.endpoint
    was.env["skitai.route"] = endpoint.full_rule  # for traces
    was.scopes = endpoint.scopes
    _take_arguments(was, endpoint, match.arguments)
    return events.run(was.scopes, was, lambda: _call_view(was, endpoint))


def _match(app: Saddle, was: SaddleWas) -> Match:
    path = path_info(was.env)
    if websockets.is_handshake(was.env):
        with suppress(MethodNotAllowed):  # a view that takes GET may handle websockets, too
            return app.router.match(path, HANDSHAKE)
    return app.router.match(path, was.request.method)


def _without_handshake(allowed: tuple[str, ...]) -> tuple[str, ...]:
    methods = tuple(method for method in allowed if method != HANDSHAKE)
    if len(methods) < len(allowed) and set(methods) <= {"OPTIONS"}:
        raise websockets.no_handshake()
    return methods


def _redirect(was: SaddleWas, path: str) -> Any:
    query = query_as_uri(was.env.get("QUERY_STRING", ""))
    url = f"{was.mount_point}{path}{f'?{query}' if query else ''}"
    # 308 keeps the method and the body (RFC 9110, section 15.4.9).
    code = HTTPStatus.MOVED_PERMANENTLY if was.request.method in _SAFE else HTTPStatus.PERMANENT_REDIRECT
    return was.redirect(url, status_line(code))


def _take_arguments(was: SaddleWas, endpoint: Endpoint, path_arguments: dict[str, Any]) -> None:
    """Read the form and collect the arguments, before the events and the view, which use them."""
    request = was.request
    try:
        if request.get_content_type() in _FORMS:
            app = was.app
            request.form = parse_form(was.env, app.form_limits, app.temporary_files, strict=app.strict_text)
        body = _json_object(was) if request.get_content_type() == "application/json" else None
        query = was.env.get("QUERY_STRING", "")
        arguments = merge(path_arguments, query, request.form, body, strict=was.app.strict_text)
        request.args.update(arguments)
    except ArgumentError as error:
        raise _bad_arguments(was, endpoint, error) from error
    except FormError as error:
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:  # not the client's mistake
            was.traceback(request.line)
        raise HTTPError(error.status, str(error)) from error
    if was.app.csrf and request.method not in _SAFE:
        was.require_csrf_token()


def _call_view(was: SaddleWas, endpoint: Endpoint) -> Any:
    view, options = endpoint.route.view, endpoint.route.websocket
    arguments = was.request.args if options is None else websockets.with_websocket(was.request.args)
    try:
        kwargs = bind(view, arguments, endpoint.full_rule)
    except ArgumentError as error:
        raise _bad_arguments(was, endpoint, error) from error
    if options is not None:
        if not websockets.is_handshake(was.env):
            raise websockets.no_handshake()
        return websockets.open_later(was, view, kwargs, options)
    value = events.value_of(was, view(was, **kwargs))
    if value is None and was.response.code < HTTPStatus.MULTIPLE_CHOICES:
        warn_of_nothing(was, view)
    return begin_body(was, value)


def _bad_arguments(was: SaddleWas, endpoint: Endpoint, error: ArgumentError) -> HTTPError:
    # The log has the TypeError that the call would have raised, and where the view is.
    was.log(f"{TypeError} {error} {place_of(endpoint.route.view)}", f"expt:{was.request.line}")
    return HTTPError(HTTPStatus.BAD_REQUEST, str(error))


def _json_object(was: SaddleWas) -> dict[str, Any] | None:
    """Return the JSON object in the body, whose members are arguments; None if there is no object.

    Raises ArgumentError for a number that Python reads, but JSON does not have (RFC 8259, section 6), or that
    is read as infinity: the view could not even send it back.
    """
    try:
        value = read_json(was.request.get_body() or b"null", finite=True)
    except NumberError as error:
        raise ArgumentError(f"the JSON cannot be read: {error}") from error
    except ValueError:
        return None  # the view can still read the body
    return value if isinstance(value, dict) else None


def _remote_call(
    app: Saddle, was: SaddleWas, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], encode: rpc.Encode
) -> tuple[Any, bytes]:
    """Call the view of a remote method, with the events of its part; return its value, plain and encoded."""
    endpoint: Endpoint | None = app.remote_endpoint(name)
    if endpoint is None:
        raise rpc.UnknownMethod(name)
    view = endpoint.route.view
    was.start_response_again()  # each of several calls in one request has a response of its own
    was.scopes = endpoint.scopes
    before = was.changes()

    def call_view() -> Any:
        value = unpacked(was, events.result_of(was, view, *args, **kwargs))
        note_stream(was, value)
        return value

    try:
        value = content_of(events.run(was.scopes, was, call_view))
        if was.response.code < 400:
            return value, encode(value)
    except FAILURES:
        was.traceback(f"{was.request.line} {name}")
        was.forget_changes(before)
        raise
    was.forget_changes(before)
    raise HTTPError(was.response.code)  # a browser would get the page for it
