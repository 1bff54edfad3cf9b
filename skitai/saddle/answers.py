"""The answer that is handed to the WSGI server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from skitai.saddle.outgoing.bodies import Streamed, body_of, stream_of
from skitai.saddle.outgoing.response import Response, ResponseBody

if TYPE_CHECKING:
    from skitai.saddle.was import SaddleWas

#: The statuses whose answers have no body.
_BODYLESS = (204, 304)


@attrs.frozen
class WSGIResponse:
    """What is handed to the WSGI server."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


def make_response(was: SaddleWas, value: Any, *, keep: bool) -> WSGIResponse:
    """Return the answer with the body that ``value`` stands for, and with ``keep`` what the browser keeps.

    What has no body (RFC 9110, 6.4.1) has none here, whether or not the server would cut it off.
    """
    body, kind = body_of(content_of(value))
    is_head = was.env["REQUEST_METHOD"] == "HEAD"
    if isinstance(body, Streamed):
        was.streams += (body,)
        if not is_head:
            body.begin()
    # Only now: what makes the first piece may say what goes before it.
    response: Response = was.response
    headers = response.get_headers()
    bodyless = response.code in _BODYLESS
    if bodyless:
        headers = [field for field in headers if field[0].lower() != "content-length"]
    else:
        if "content-type" not in response:
            headers.append(("Content-Type", kind))
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
    """Return what a view gave as the body, whether or not it said more with it."""
    return value.body if isinstance(value, ResponseBody) else value


def begin_body(was: SaddleWas, value: Any) -> Any:
    """Return what a view gave; of what comes in pieces the first is made.

    So a generator that fails before it has given anything fails among the events, as any view.
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
    """Return what makes the pieces of what a view gave, if it comes in pieces; it is closed, sent or not."""
    stream = stream_of(content_of(value))
    if stream is not None:
        was.streams += (stream,)
    return stream
