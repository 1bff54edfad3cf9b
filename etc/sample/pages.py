"""What the plain WSGI apps of this directory share: templates, and how a page is sent."""

from pathlib import Path

import jinja2

_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters["ms"] = lambda seconds: f"{seconds * 1000:,.0f} ms"
_environment.filters["seconds"] = lambda seconds: f"{seconds:.2f} s"


def render(template, **values):
    """Return a page as text."""
    return _environment.get_template(template).render(values)


def answer(start_response, status, text, location=None):
    """Send a page, which leads to ``location`` if there is one, and return its body for the server."""
    body = text.encode()
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))]
    headers.append(("Location", location) if location else ("Cache-Control", "no-store"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
