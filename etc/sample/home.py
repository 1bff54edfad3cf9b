"""A plain WSGI app: no framework, a dictionary of paths."""

import importlib.util
import platform
from http import HTTPStatus
from urllib.parse import parse_qs

import pages
import report

from skitai import was

#: How many seconds the timeline may wait for its adverts.
PATIENCES = ("0.3", "1", "3")


def home(environ):
    """Say what Skitai is and what is mounted here."""
    facts = {
        "Server": environ.get("SERVER_SOFTWARE", "unknown"),
        "Python": platform.python_version(),
        "Apps run in": "threads" if environ["wsgi.multithread"] else "greenlets, one a request",
    }
    has_flask = importlib.util.find_spec("flask") is not None
    return HTTPStatus.OK, pages.render("home.html", facts=facts, has_flask=has_flask)


def timeline(environ):
    """Show the picture of a page that asks six machines."""
    query = parse_qs(environ.get("QUERY_STRING", ""))
    patience = query.get("patience", PATIENCES[:1])[-1]
    if patience not in PATIENCES:
        return complain(HTTPStatus.BAD_REQUEST, f"Patience is {' or '.join(PATIENCES)} seconds.")
    taken = report.gather(adverts_patience=float(patience))
    return HTTPStatus.OK, pages.render("timeline.html", report=taken, patience=patience, patiences=PATIENCES)


def complain(status, explanation):
    """Return a page that says what went wrong, in the words of a person."""
    values = {"code": status.value, "title": status.phrase, "explanation": explanation}
    return status, pages.render("message.html", **values)


def status(environ):
    """Show what the worker knows of itself."""
    return HTTPStatus.OK, was.status()


ROUTES = {"/": home, "/timeline": timeline, "/status": status}


def app(environ, start_response):
    """Find the view for the path, and send what it returns."""
    view = ROUTES.get(environ["PATH_INFO"].rstrip("/") or "/")
    headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
    if view is None:
        status, text = complain(HTTPStatus.NOT_FOUND, "Nothing is mounted at this address.")
    elif environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        status, text = complain(HTTPStatus.METHOD_NOT_ALLOWED, "This page can only be read.")
        headers.append(("Allow", "GET, HEAD"))
    else:
        status, text = view(environ)
    body = text.encode()
    start_response(f"{status.value} {status.phrase}", [*headers, ("Content-Length", str(len(body)))])
    return [body]
