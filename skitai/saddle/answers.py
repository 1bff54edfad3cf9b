"""Makes the response for the WSGI server from what a view returns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from skitai.http.statuses import BODYLESS
from skitai.saddle.outgoing.bodies import Streamed, body_of, stream_of
from skitai.saddle.outgoing.response import Response, ResponseBody

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
    body, kind = body_of(content_of(value))
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
    if keep:
        headers += was.kept_by_browser()
    return WSGIResponse(response.get_status(), headers, pieces)


def content_of(value: Any) -> Any:
    """Return the body that a view returned, directly or by ``was.response()``."""
    return value.body if isinstance(value, ResponseBody) else value


def begin_body(was: SaddleWas, value: Any) -> Any:
    """Return the value of a view. If it comes in pieces, the first one has been made.

    A generator that fails before its first piece then fails like any view, among the events of the request.
    """
    if isinstance(value, str):
        return value
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
