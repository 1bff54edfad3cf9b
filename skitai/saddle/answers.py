"""Makes the response for the WSGI server from what a view returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from skitai.http.statuses import BODYLESS
from skitai.saddle.incoming.arguments import place_of
from skitai.saddle.outgoing.bodies import Streamed, body_of, stream_of
from skitai.saddle.outgoing.caching import private, varying_by
from skitai.saddle.outgoing.response import Response, ResponseBody
from skitai.saddle.outgoing.tuples import parts_of

if TYPE_CHECKING:
    from skitai.saddle.was import SaddleWas


@attrs.frozen
class WSGIResponse:
    """A response in the form of WSGI: the arguments of ``start_response``, and the app's return value."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


def make_response(was: SaddleWas, value: Any, *, keep: bool) -> WSGIResponse:
    """Return the response whose body ``value`` stands for.

    With ``keep`` it also sets the cookies of the session, the messages and the app. A response that must have
    no body has none here: not every server would cut it off.
    """
    body, kind = body_of(content_of(unpacked(was, value)))
    is_head = was.env["REQUEST_METHOD"] == "HEAD"
    if isinstance(body, Streamed):
        was.streams += (body,)
        if not is_head:
            body.begin()
    # Only now: the code that makes the first piece may still set header fields.
    response: Response = was.response
    headers = response.get_headers()
    bodyless = response.code in BODYLESS
    if bodyless:
        headers = [field for field in headers if field[0].lower() != "content-length"]
    else:
        wanted = {"Content-Type": kind, **(body.headers if isinstance(body, Streamed) else {})}
        headers += [(name, field) for name, field in wanted.items() if name not in response]
        if not isinstance(body, Streamed) and "content-length" not in response:
            headers.append(("Content-Length", str(len(body))))
    pieces: Iterable[bytes] = body if isinstance(body, Streamed) else [body]
    if bodyless or is_head:
        pieces = ()
        if isinstance(body, Streamed):
            body.close()
    return WSGIResponse(response.get_status(), _for_caches(was, headers, keep=keep), pieces)


def _for_caches(was: SaddleWas, headers: list[tuple[str, str]], *, keep: bool) -> list[tuple[str, str]]:
    """Return ``headers`` with the cookies to ``keep``, and with what caches must know of them."""
    if keep:
        headers = headers + was.kept_by_browser()
    if any(name.lower() == "set-cookie" for name, _ in headers):
        headers, said = private(headers)
        if said:
            _warn_once(
                was, f"Cache-Control: {said} beside Set-Cookie would give others the cookie: made private"
            )
    return varying_by("Cookie", headers) if was.depends_on_cookies else headers


def _warn_once(was: SaddleWas, text: str) -> None:
    """Log ``text`` at the first request of each route."""
    route = was.env.get("skitai.route", "")
    if route not in was.app.warned:
        was.app.warned.add(route)
        was.log(f"{was.request.line}: {text}", "warning")


def unpacked(was: SaddleWas, value: Any) -> Any:
    """Return the body of what a view or a handler has returned; set the status and fields that come with it.

    These are the tuples of Flask: see ``parts_of``.
    """
    parts = parts_of(value)
    if parts is None:
        return value
    if parts.status is not None:
        was.response.set_status(parts.status)
    was.response.set_headers(parts.headers)
    return ResponseBody(content_of(parts.body))


def warn_of_nothing(was: SaddleWas, function: Callable[..., Any]) -> None:
    """In debug mode, log that ``function`` has returned None where a body is expected: Flask refuses that."""
    if was.app.debug and was.response.code not in BODYLESS:
        text = "returned None, so the response is empty: return its body, or '' if that is meant"
        was.log(f"{was.request.line} {text} {place_of(function)}", "warning")


def content_of(value: Any) -> Any:
    """Return the body that a view returned, directly or by ``was.response()``."""
    return value.body if isinstance(value, ResponseBody) else value


def begin_body(was: SaddleWas, value: Any) -> Any:
    """Return the value of a view. If it comes in pieces, the first one has been made.

    A generator that fails before its first piece then fails like any view, among the events of the request.
    """
    if isinstance(value, str):
        return value
    value = unpacked(was, value)
    stream = note_stream(was, value)
    if stream is None:
        return value
    if was.env["REQUEST_METHOD"] != "HEAD":
        stream.begin()
    return ResponseBody(stream)


def note_stream(was: SaddleWas, value: Any) -> Streamed | None:
    """Return the stream that ``value`` stands for, and let the request close it; None for a whole body."""
    stream = stream_of(content_of(value))
    if stream is not None:
        was.streams += (stream,)
    return stream
