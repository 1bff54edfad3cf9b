"""The error page, the choice between HTML and JSON, and the debug page."""

import json
import re
from html import unescape

import pytest

from skitai.saddle.failures.pages import debug_page, error_page, wants_json
from skitai.saddle.outgoing.templates import Templates


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("application/json", True),
        ("application/json, text/javascript, */*; q=0.01", True),
        ("application/problem+json", True),
        ("application/json, text/plain, */*", True),
        ("application/problem+json;q=0.5, */*;q=0.5", True),
        ("text/*, application/json", True),
        ("text/plain, */*", False),
        ("*/*, application/json;q=0.9", False),
        ("text/html, application/json;q=0.9, */*;q=0.8", False),
        ("application/*", True),
        ("text/html;q=0.5, application/json", True),
        ("text/html, application/json;q=0.9", False),
        ("text/html, application/json", False),
        ("application/json;q=0", False),
        ("application/json;q=x;;,,=", False),
    ],
)
def test_json_is_for_clients_that_prefer_it(accept, wanted):
    """Only a client that likes JSON better than HTML gets it."""
    assert wants_json(accept) is wanted


def html(*arguments, **more):
    kind, body = error_page(*arguments, wants_json=False, **more)
    assert kind == "text/html; charset=utf-8"
    return body.decode()


def test_html_page():
    """The page shows status, message, request and time."""
    page = html(404, "No such user.", request_line="GET /u/1", at=0)
    for text in ("404", "Not Found", "No such user.", "GET /u/1", "Thu, 01 Jan 1970 00:00:00 GMT"):
        assert text in page
    assert "<pre>" not in page


def test_usual_messages():
    """Without a message the page has a sentence; unknown statuses have words, too."""
    assert "Nothing matches the given URI" in html(404, "")
    assert "The application failed" in html(500, "")
    assert "Error" in html(499, "")
    assert "Server Error" in html(501, "", phrase="Server Error")


def test_error_page_is_escaped():
    """Nothing that came from outside is markup; halves of surrogate pairs do no harm."""
    evil = "<script>\ud800"
    page = html(400, evil, request_line=evil, traceback=evil, phrase=evil)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5  # the phrase is also the title


def test_pages_load_nothing():
    """The pages need no other resource."""
    for page in (html(500, "", traceback="x"), debug_page(ValueError(), "GET /").decode()):
        assert not re.search(r"(src|href)=|url\(|@import|https?:", page)


def test_json_page():
    """JSON has the status, its phrase and the message, and a traceback only where one is given."""
    kind, body = error_page(404, "No é", wants_json=True, request_line="GET /")
    assert kind == "application/json"
    assert json.loads(body) == {"error": {"code": 404, "phrase": "Not Found", "message": "No é"}}
    _, body = error_page(500, "", wants_json=True, traceback="T")
    assert json.loads(body)["error"]["traceback"] == "T"


def caught(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def shown(error):
    page = debug_page(error, "GET /<x>").decode()
    return page, unescape(page)


def divide(shop, zero=0):
    return shop / zero  # the failing line


def test_debug_page_shows_line_and_variables():
    """The failing line is marked, with its neighbours, number, function and local variables."""
    page, text = shown(caught(divide, 8))
    number = divide.__code__.co_firstlineno + 1
    assert f'class="failing"><i>{number}</i>    return shop / zero  # the failing line</span>' in page
    assert "def divide(shop, zero=0):" in text
    assert f"{__file__}, line <b>{number}</b> in <b>divide</b>" in text
    assert "<td>shop</td><td>8</td>" in text
    assert "ZeroDivisionError: " in text
    assert "GET /&lt;x&gt;" in page


def test_debug_page_is_escaped():
    """Messages and values are text, whatever they hold."""

    def fail(value):
        raise ValueError("<script>alert(1)</script>\ud800")

    page, _ = shown(caught(fail, "<img onerror=x>"))
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;img onerror=x&gt;" in page


def test_secrets_are_masked():
    """Variables and dictionary keys with names of secrets do not show their values."""

    class Settings(dict):
        pass

    def fail():
        password = api_key = "hunt" + "er2"
        form = Settings(user="hans", passwd=password, deep=[{"HTTP_COOKIE": api_key}])
        raise ValueError(len(form))

    page, text = shown(caught(fail))
    assert "hunt" + "er2" not in page
    assert "<td>password</td><td>********</td>" in text
    assert "'user': 'hans'" in text


def test_hostile_reprs():
    """A repr that raises, a huge one and a huge value neither break the page nor blow it up."""

    class Hostile:
        def __repr__(self):
            raise RuntimeError("no")

    class Huge:
        def __repr__(self):
            return "x" * 1_000_000

    def fail(hostile, huge, numbers, table, digits):
        raise ValueError

    error = caught(fail, Hostile(), Huge(), list(range(10**6)), dict.fromkeys(range(10**5)), 10**5000)
    page, text = shown(error)
    assert len(page) < 50_000
    assert "Hostile" in text
    assert "[0, 1, 2, " in text


def test_locals_that_defy_being_shown():
    """Values that lie about their class, or whose repr ends the program, are told about like any other."""

    class Liar:
        @property
        def __class__(self):
            raise RuntimeError("no class")

    class Ending:
        def __init__(self, error):
            self.error = error

        def __repr__(self):
            raise self.error

    def fail(liar, leaving, interrupting):
        raise ValueError("the reason")

    page, text = shown(caught(fail, Liar(), Ending(SystemExit()), Ending(KeyboardInterrupt())))
    assert "the reason" in page
    assert [text.count(name) > 0 for name in ("<td>liar</td>", "SystemExit", "KeyboardInterrupt")] == [
        True
    ] * 3


def test_error_whose_text_fails():
    """An exception that cannot be turned into text is shown all the same."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert "<exception str() failed>" in shown(caught(lambda: (_ for _ in ()).throw(Mute())))[1]


def test_causes_are_shown():
    """Causes and contexts follow their exception; a context that is switched off does not."""

    def chain(how):
        try:
            divide(1)
        except ZeroDivisionError as error:
            if how == "while":
                raise KeyError("late")  # noqa: B904 - the context is what is tested
            raise KeyError("late") from (error if how == "cause" else None)

    for how, relation in [("cause", "Caused by"), ("while", "While this was handled")]:
        text = shown(caught(chain, how))[1]
        assert text.index("'late'") < text.index(relation) < text.index("<h2>ZeroDivisionError")
    assert "<h2>" not in shown(caught(chain, "none"))[0]


def test_circular_causes_end():
    """Two exceptions that cause each other are shown once each."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert shown(first)[0].count("<h2>") == 1


def test_groups_show_their_errors():
    """The errors of an exception group are shown."""
    text = shown(ExceptionGroup("two", [caught(divide, 1), KeyError("b")]))[1]
    assert text.count("One of the errors in the group") == 2
    assert "the failing line" in text


def test_endless_recursion_is_cut():
    """Of a thousand frames the first and the last are shown, and the page says how many are not."""

    def recurse():
        recurse()

    page, text = shown(caught(recurse))
    assert 900 < int(re.search(r"(\d+) frames are left out", text)[1]) < 1000
    assert page.count("<summary class") == 40


def test_broken_module_shows_its_line(tmp_path):
    """A syntax error shows the file that could not be compiled."""
    path = tmp_path / "app.py"
    path.write_text("ok = 1\ndef view(was:\n    pass\n")
    page, text = shown(caught(lambda: compile(path.read_text(), str(path), "exec")))
    assert 'class="failing"><i>2</i>def view(was:</span>' in page
    assert f"{path}, line <b>2</b>" in text


@pytest.mark.parametrize(
    ("source", "line", "variable"),
    [("one\n{{ 1 / zero }}\n", 2, "<td>zero</td><td>0</td>"), ("one\n\n{% if %}\n", 3, "")],
    ids=["while it renders", "syntax"],
)
def test_template_errors_show_template_and_line(tmp_path, source, line, variable):
    """An error in a template shows the template's file, line and variables."""
    path = tmp_path / "bad.html"
    path.write_text(source)
    templates = Templates(tmp_path, autoescape=False, debug=True)
    page, text = shown(caught(templates.render, "bad.html", {"zero": 0}))
    assert f"{path}, line <b>{line}</b>" in text
    failing = source.splitlines()[line - 1]
    assert f'class="failing"><i>{line}</i>{failing}</span>' in page
    assert variable in text


def test_library_frames_are_folded():
    """Frames of the app are open, those of libraries are not, unless the error is there."""
    page, _ = shown(caught(json.loads, "{"))
    summaries = re.findall(r'<details class="(\w+)"( open)?>', page)
    assert summaries[0] == ("app", " open")
    assert summaries[1] == ("library", "")
    assert summaries[-1] == ("library", " open")
