"""The error pages of the server."""

from __future__ import annotations

from functools import cache
from html import escape
from http import HTTPStatus

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{code} {phrase}</title>
<style>
  :root {{ color-scheme: light dark; --ink: #1c2430; --soft: #667085; --paper: #fbfaf8; --accent: #c2410c; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ink: #e8e6e1; --soft: #98a2b3; --paper: #14171c; --accent: #fb923c; }}
  }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper);
         color: var(--ink); font: 17px/1.6 system-ui, sans-serif; }}
  main {{ padding: 2rem; max-width: 34rem; }}
  .code {{ font-size: 5.5rem; line-height: 1; font-weight: 700; letter-spacing: -.04em;
          color: var(--accent); }}
  h1 {{ margin: .4em 0 .3em; font-size: 1.5rem; font-weight: 600; }}
  p {{ margin: 0; color: var(--soft); }}
  footer {{ margin-top: 2.5rem; font-size: .85rem; color: var(--soft); }}
</style>
</head>
<body>
<main>
<div class="code">{code}</div>
<h1>{phrase}</h1>
<p>{detail}</p>
<footer>Skitai</footer>
</main>
</body>
</html>
"""

_DETAILS = {
    400: "The server cannot understand this request.",
    404: "Nothing is served at this address.",
    408: "The request took too long to arrive.",
    413: "The body of this request is too large for this server.",
    414: "The address of this request is too long for this server.",
    431: "The header of this request is too large for this server.",
    500: "The application failed to answer this request. The server's log says why.",
    503: "The application at this address is not available at the moment.",
}


@cache
def error_answer(code: int) -> tuple[str, bytes]:
    """Return the status line and the page for a status, made once: a refusal under overload must be cheap."""
    return f"{code} {HTTPStatus(code).phrase}", error_page(code).encode()


def error_page(code: int, detail: str = "") -> str:
    """Return an HTML page for the status ``code``; ``detail`` (plain text) replaces the usual sentence."""
    status = HTTPStatus(code)
    text = detail or _DETAILS.get(code) or status.description or status.phrase
    return _PAGE.format(code=code, phrase=escape(status.phrase), detail=escape(text))
