"""The answer that is handed to the WSGI server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import attrs

from skitai.saddle.bodies import Streamed, body_of
from skitai.saddle.response import Reply, Response

if TYPE_CHECKING:
    from skitai.saddle.was import SaddleWas


@attrs.frozen
class Answer:
    """What is handed to the WSGI server."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


def completed(was: SaddleWas, value: Any, *, keep: bool) -> Answer:
    """Return the answer with the body that ``value`` stands for, and with ``keep`` what the browser keeps."""
    response: Response = was.response
    body, kind = body_of(value.body if isinstance(value, Reply) else value)
    headers = response.get_headers()
    if "content-type" not in response and response.code not in (204, 304):
        headers.append(("Content-Type", kind))
    if isinstance(body, Streamed):
        body.begin()
        pieces: Iterable[bytes] = body
    else:
        pieces = [body]
        if "content-length" not in response and response.code not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
    if keep:
        headers += was.kept_by_browser()
    return Answer(response.get_status(), headers, pieces)
