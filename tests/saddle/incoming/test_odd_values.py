"""Values that are no text, and numbers that are no JSON: what a view gets, and what is refused."""

import json

import pytest

from skitai.saddle import Saddle

BOUNDARY = "xYzZY"


@pytest.fixture
def app():
    """An app whose view shows its argument, as text and as bytes."""
    app = Saddle("test_odd_values")

    @app.route("/show")
    def show(was, a):
        values = [value.hex() for value in was.request.get_bytes("a")]
        return {"a": a if isinstance(a, list) else str(getattr(a, "name", a)), "bytes": values}

    @app.route("/echo")
    def echo(was, **values):
        return values

    return app


def multipart(head, value):
    lines = [f"--{BOUNDARY}".encode(), b"Content-Disposition: form-data; " + head, b"", value]
    return b"\r\n".join([*lines, f"--{BOUNDARY}--".encode(), b""])


SENT = {
    "query": lambda browser: browser.get("/show?a=x%FF"),
    "form": lambda browser: browser.post("/show", body=b"a=x%FF"),
    "raw form": lambda browser: browser.post("/show", body=b"a=x\xff"),
    "multipart": lambda browser: browser.post(
        "/show", body=multipart(b"name=a", b"x\xff"), kind=f"multipart/form-data; boundary={BOUNDARY}"
    ),
}


@pytest.mark.parametrize("way", SENT)
def test_bytes_that_are_no_text(app, browse, way):
    """They become U+FFFD, as in Django and werkzeug (URL standard, 5.1), and the view can have the bytes.

    An app that would rather refuse them says so: ``strict_text``.
    """
    browser = browse(app)
    page = SENT[way](browser)
    assert json.loads(page.text) == {"a": "x\ufffd", "bytes": ["78ff"]}
    app.strict_text = True
    page = SENT[way](browser)
    assert page.code == 400
    assert "UTF-8" in page.text or "utf-8" in page.text


def test_names_of_files_that_are_no_text(app, browse):
    """Old programs send the name of a file in latin-1; that loses nothing but the character."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    body = multipart(b'name=a; filename="caf\xe9.txt"', b"data")
    browser = browse(app)
    assert json.loads(browser.post("/show", body=body, kind=kind).text)["a"] == "caf\ufffd.txt"
    app.strict_text = True
    assert browser.post("/show", body=body, kind=kind).code == 400


def test_bytes_of_what_is_text(app, browse):
    """``get_bytes`` also gives what is text, in its order, and a coding other than UTF-8 as it came."""
    browser = browse(app)
    page = browser.post("/show?a=1", {"a": "\u00e9"})
    assert json.loads(page.text) == {"a": ["1", "\u00e9"], "bytes": ["31", "c3a9"]}
    body = multipart(b"name=a\r\nContent-Type: text/plain; charset=iso-8859-1", b"\xe9")
    page = browser.post("/show", body=body, kind=f"multipart/form-data; boundary={BOUNDARY}")
    assert json.loads(page.text) == {"a": "\u00e9", "bytes": ["e9"]}


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        '{"b": [1, 1e400]}',
        pytest.param("9" * 5000, id="long"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda browser, number: browser.post("/echo", body=b'{"a": %b}' % number, kind="application/json"),
        lambda browser, number: browser.post("/echo", {"json:a": number.decode()}),
    ],
    ids=["body", "typed argument"],
)
def test_numbers_that_json_has_not(app, browse, ask, number):
    """NaN and Infinity are no JSON (RFC 8259, 6), and 1e999 would be infinity: the client's mistakes."""
    browser = browse(app)
    assert ask(browser, number.encode()).code == 400
    assert json.loads(ask(browser, b"1e300").text) == {"a": 1e300}


def test_a_remote_call_with_such_a_number(app, browse):
    """JSON-RPC tells the caller: what is no JSON cannot be parsed, and what no float holds is invalid."""
    browser = browse(app)
    codes = []
    for number in (b"NaN", b"1e999", b"9" * 5000):
        body = b'{"jsonrpc": "2.0", "id": 1, "method": "echo", "params": {"a": %b}}' % number
        codes.append(json.loads(browser.post("/", body=body, kind="application/json").text)["error"]["code"])
    assert codes == [-32700, -32600, -32700]


def test_half_of_a_surrogate_pair(app, browse):
    """JSON may have it, escaped, and UTF-8 may not: it goes out as it came (RFC 8259, 8.1 and 8.2)."""
    body = b'{"a": "\\ud800\\u00e9"}'
    page = browse(app).post("/echo", body=body, kind="application/json")
    assert json.loads(page.text) == {"a": "\ud800\u00e9"}
    assert page.text.isascii()
