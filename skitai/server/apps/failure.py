"""What a developer sees in the browser while an app cannot be loaded, and where it raises."""

from __future__ import annotations

import traceback
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skitai.server.request.request import Request

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  body {{ margin: 2rem auto; padding: 0 1rem; max-width: 72rem; font: 16px/1.5 system-ui, sans-serif; }}
  h1 {{ font-size: 1.3rem; color: #c2410c; overflow-wrap: anywhere; }}
  pre {{ padding: 1rem; border: 1px solid #8886; overflow-x: auto; font-size: .9rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<pre>{trace}</pre>
<p>{sentence} Save a file that mends it, and load this page again. It is shown because the server reloads
(<code>--reload</code>, <code>reloader = yes</code>).</p>
</body>
</html>
"""


def answer_with_failure(request: Request, code: int, error: BaseException) -> None:
    """Answer with what keeps the app from being loaded: the traceback of its own code. Reactor thread."""
    _answer(request, code, error.__cause__ or error, f"{error}.")


def answer_with_error(request: Request, error: BaseException) -> None:
    """Answer with 500 and what the app has raised. Called in the reactor thread.

    Most frameworks catch what views raise. What comes here is raised beside them, as by modules that are
    imported late: Django's of its URLs.
    """
    _answer(request, 500, error, "The app has raised this.")


def _answer(request: Request, code: int, error: BaseException, sentence: str) -> None:
    request.identified()
    page = _PAGE.format(
        title=escape(traceback.format_exception_only(error)[-1].strip()),
        trace=escape("".join(traceback.format_exception(error)).rstrip()),
        sentence=escape(sentence),
    )
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
    request.respond(f"{code} {HTTPStatus(code).phrase}", headers, page.encode(errors="backslashreplace"))
