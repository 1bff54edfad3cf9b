"""Saddle's own pages: error pages, and the debug page with the traceback of an exception."""

from __future__ import annotations

import json
import time
import traceback as tracebacks
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

from skitai.http.fields import weighted_list
from skitai.saddle.failures.frames import describe

_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_UNWANTED = (0.0, 0)


def wants_json(accept: str | None) -> bool:
    """Return whether a client with this Accept field prefers JSON to HTML (RFC 9110, section 12.5.1).

    Of two types with the same weight, the one that is named counts: ``application/json, */*`` is JSON. The
    result is HTML for ``*/*`` alone, if both are named, and for a malformed or missing field.
    """
    qualities: dict[str, float] = {}
    for kind, quality in weighted_list(accept or ""):
        qualities[kind] = max(quality, qualities.get(kind, 0.0))
    kinds = [_JSON, *(kind for kind in qualities if kind.endswith("+json"))]
    return max(_preference(qualities, kind) for kind in kinds) > _preference(qualities, "text/html")


def _preference(qualities: dict[str, float], kind: str) -> tuple[float, int]:
    """Return the weight of a type, and how exactly it is named: each ``*`` makes it less exact."""
    for stars, name in enumerate((kind, f"{kind.partition('/')[0]}/*", "*/*")):
        if name in qualities:
            return (qualities[name], -stars) if qualities[name] else _UNWANTED
    return _UNWANTED


def error_page(
    code: int,
    message: str,
    *,
    wants_json: bool,
    request_line: str = "",
    traceback: str = "",
    phrase: str = "",
    at: float | None = None,
) -> tuple[str, bytes]:
    """Return the content type and the body of the page for the status ``code``.

    ``message`` is a sentence for people, or empty for the usual one. ``phrase`` replaces that of the status.
    ``at`` is the time in seconds since the epoch (default: now). All are plain text. As JSON the page is
    ``{"error": {"code": 404, "phrase": "Not Found", "message": "..."}}``, with ``"traceback"`` if given.
    """
    phrase = phrase or _phrase(code)
    message = message or _usual_message(code)
    if wants_json:
        error: dict[str, Any] = {"code": code, "phrase": phrase, "message": message}
        if traceback:
            error["traceback"] = traceback
        return _JSON, json.dumps({"error": error}).encode()
    page = _environment().get_template("error.html")
    text = page.render(
        code=code,
        phrase=phrase,
        message=message,
        request_line=request_line,
        traceback=traceback,
        time=formatdate(time.time() if at is None else at, usegmt=True),
    )
    return _HTML, _encoded(text)


def failure_page(exc: BaseException, request_line: str, accept: str | None) -> tuple[str, bytes]:
    """Return the content type and the body that show ``exc`` to a developer: JSON if ``accept`` prefers it.

    ``request_line`` is plain text, such as ``GET /add?num1=1``.
    """
    if not wants_json(accept):
        return _HTML, debug_page(exc, request_line)
    plain = "".join(tracebacks.format_exception(exc))
    return error_page(HTTPStatus.INTERNAL_SERVER_ERROR, "", wants_json=True, traceback=plain)


def debug_page(exc: BaseException, request_line: str) -> bytes:
    """Return an HTML page (UTF-8) with the tracebacks of ``exc`` and of its causes.

    It shows source lines and local variables: only developers may see it. ``request_line`` is plain text,
    such as ``GET /add?num1=1``.
    """
    failures = describe(exc)
    plain = "".join(tracebacks.format_exception(exc))
    page = _environment().get_template("debug.html")
    return _encoded(page.render(failures=failures, request_line=request_line, plain=plain))


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Error"


def _usual_message(code: int) -> str:
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "The application failed while it answered this request."
    try:
        return HTTPStatus(code).description
    except ValueError:
        return ""


def _encoded(text: str) -> bytes:
    # Messages and source lines may have lone surrogates, which UTF-8 cannot encode.
    return text.encode(errors="backslashreplace")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).with_name("html")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
