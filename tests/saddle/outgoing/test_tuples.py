"""Views that return the tuples of Flask, and views that return nothing."""

import asyncio
import json
import xmlrpc.client
from http import HTTPStatus
from typing import NamedTuple

import pytest

from skitai.saddle import Saddle
from skitai.saddle.outgoing.tuples import parts_of


class Point(NamedTuple):
    """A value of two numbers."""

    x: object
    y: int


@pytest.fixture
def app():
    """An app without views."""
    return Saddle("test_tuples")


def test_tuples_of_flask(app, browse):
    """``body, status``, ``body, headers`` and ``body, status, headers`` mean what they mean in Flask."""
    values = {
        "number": lambda: ("made", 201),
        "member": lambda: ("made", HTTPStatus.CREATED),
        "line": lambda: ("made", "201 Created"),
        "own-line": lambda: ("made", "201 As You Wish", {}),
        "fields": lambda: ("made", {"X-A": "1"}),
        "pairs": lambda: ("made", [("X-A", "1")]),
        "all": lambda: ({"error": "none"}, 404, {"X-A": "1"}),
        "pieces": lambda: ((piece for piece in ("ma", "de")), 201),
        "nothing": lambda: (None, 204),
    }

    @app.route("/<name>")
    def view(was, name):
        return values[name]()

    @app.route("/async")
    async def waits(was):
        return "made", 201

    browser = browse(app)
    found = {}
    for name in (*values, "async"):
        page = browser.get(f"/{name}")
        found[name] = page.status, page.text, page["X-A"]
    made = ("201 Created", "made", None)
    assert found == {
        "number": made,
        "member": made,
        "line": made,
        "own-line": ("201 As You Wish", "made", None),
        "fields": ("200 OK", "made", "1"),
        "pairs": ("200 OK", "made", "1"),
        "all": ("404 Not Found", '{"error":"none"}', "1"),
        "pieces": made,
        "nothing": ("204 No Content", "", None),
        "async": made,
    }


def test_handlers_return_tuples_too(app, browse):
    """An error handler is where Flask's users write them most; an event's answer may be one, too."""
    app.error(404)(lambda was, code: ("no such page", 404, {"X-A": "handler"}))

    @app.before_request
    def before(was):
        return ("not now", 503) if was.request.path == "/closed" else None

    @app.route("/closed")
    def closed(was):
        return "open"

    browser = browse(app)
    page = browser.get("/nowhere")
    assert (page.code, page.text, page["X-A"]) == (404, "no such page", "handler")
    page = browser.get("/closed")
    assert (page.code, page.text) == (503, "not now")


def test_remote_callers_get_the_body_or_an_error(app, browse):
    """A remote call has no status: a tuple's is an error from 400 on, and its body is the value else."""

    @app.route("/find")
    def find(was, name):
        return ([name], 200) if name == "tea" else ("no such thing", 404)

    browser = browse(app)

    def call(name):
        body = xmlrpc.client.dumps((name,), "find").encode()
        return xmlrpc.client.loads(browser.post("/", body=body, kind="text/xml").body)[0][0]

    assert call("tea") == ["tea"]
    with pytest.raises(xmlrpc.client.Fault, match="Not Found"):
        call("coffee")


@pytest.mark.parametrize(
    "value",
    [
        "text", ["a", 201], ("a",), ("a", "b"), ("a", "200 items"), ("a", 42), ("a", 99), ("a", True),
        (200, 201), (1.5, 201), Point("x", 201), ("a", {"n": 1}), ("a", 201, 5), ("a", "x", {}),
        ("a", ["b"]), ("a", 201, {}, 1), ("a", None),
    ],
)  # fmt: skip
def test_other_tuples_are_values(value):
    """Whatever is no status or header fields leaves a tuple what it was: JSON, or pieces of a body."""
    assert parts_of(value) is None


def test_none_is_told_in_debug_mode(app, browse):
    """Flask refuses None, because a ``return`` is missing; here the response is empty, and that is logged."""
    lines = []
    app.before_request(lambda was: setattr(was, "log", lambda text, category: lines.append((category, text))))

    @app.route("/forgets")
    def forgets(was):
        was.render  # noqa: B018 - what a forgotten return leaves

    @app.route("/empty")
    def empty(was):
        was.response.set_status("204 No Content")

    @app.route("/moves")
    def moves(was):
        was.redirect("/empty")

    @app.error(404)
    def missing(was, code):
        """Answer nothing."""

    browser = browse(app)
    for app.debug in (False, True):
        assert [browser.get(path).text for path in ("/forgets", "/empty", "/moves")] == [""] * 3
    ((category, line),) = lines
    assert category == "warning"
    assert line.startswith("GET /forgets returned None, so the response is empty: return its body, or ''")
    assert line.rstrip("]").rpartition("|")[0].endswith("test_tuples.py|forgets")


def test_none_of_a_handler_is_told_too(app, caplog):
    """A handler of an error that answers nothing is named, too."""
    app.debug = True

    @app.error(404)
    def missing(was, code):
        """Answer nothing."""

    async def ask():
        return app.test_client().get("/nowhere")

    page = asyncio.run(ask())
    assert (page.status_code, page.text) == (404, "")
    assert "GET /nowhere returned None" in caplog.text


def test_a_body_is_no_tuple_of_flask_once_more(app, browse):
    """A pair within a tuple, and one that ``was.response`` has got, is a value: its number is no status."""

    @app.route("/within")
    def within(was):
        return ("anna", 250), 201

    @app.route("/given")
    def given(was):
        return was.response("200 OK", ("anna", 250))

    for path, code in (("/within", 201), ("/given", 200)):
        answer = browse(app).get(path)
        assert (answer.code, json.loads(answer.body)) == (code, ["anna", 250])
