"""What a view is asked and what it answers: the README's chapters from Debugging to Building URL."""

import asyncio
import contextvars
import enum
import functools
import io
import json
import sys
import xmlrpc.client
from decimal import Decimal
from fractions import Fraction

import pytest
from browser import WSGIBrowser

from serving import eventually
from skitai.saddle import HTTPError, Saddle, Saddlery
from skitai.saddle.was import SaddleWas


@pytest.fixture
def app():
    """An app without views."""
    return Saddle("test_requests")


def test_request(app, browse):
    """was.request has what the client sent, in the forms that the README lists."""

    @app.route("/here/<path>")
    def look(was, path, **form):
        request = was.request
        return {
            "command": request.command,
            "version": request.version,
            "uri": request.uri,
            "split": request.split_uri(),
            "header": request.get_header("X-Name"),
            "lines": "X-Name: value" in request.get_headers(),
            "body": request.get_body().decode(),
            "scheme": request.get_scheme(),
            "address": request.get_remote_addr(),
            "agent": request.get_user_agent(),
            "type": [request.get_content_type(), request.get_main_type(), request.get_sub_type()],
            "args": request.args,
            "env": "REQUEST_METHOD" in was.env,
        }

    page = browse(app, "/m").post(
        "/here/a;p?q=1", body=b"text", kind="text/plain; charset=x", X_Name="value", User_Agent="tests"
    )
    assert json.loads(page.text) == {
        "command": "post",
        "version": "1.1",
        "uri": "/m/here/a;p?q=1",
        "split": ["/m/here/a", ";p", "?q=1", None],
        "header": "value",
        "lines": True,
        "body": "text",
        "scheme": "http",
        "address": "127.0.0.1",
        "agent": "tests",
        "type": ["text/plain", "text", "plain"],
        "args": {"path": "a;p", "q": "1"},
        "env": True,
    }


def test_three_ways_to_one_response(app, browse):
    """Status and fields may be set before, or come with the body: the answer is the same."""

    @app.route("/1")
    def one(was):
        return was.response("200 OK", "text", [("Cache-Control", "max-age=60")])

    @app.route("/2")
    def two(was):
        return was.response(body="text", headers=[("Cache-Control", "max-age=60")])

    @app.route("/3")
    def three(was):
        was.response.set_header("Cache-Control", "max-age=60")
        return "text"

    browser = browse(app)
    pages = [browser.get(f"/{number}") for number in (1, 2, 3)]
    assert {(page.status, page.body, tuple(page.all("Cache-Control"))) for page in pages} == {
        ("200 OK", b"text", ("max-age=60",))
    }


def test_status_with_and_without_a_body(app, browse):
    """A body of one's own, else the page for the status; with exc_info the traceback, debug or not."""

    @app.route("/own")
    def own(was):
        return was.response("404 Not Found", "nothing here")

    @app.route("/page")
    def page(was):
        return was.response("404 Not Found")

    @app.route("/raise_exception")
    def raise_exception(was):
        try:
            raise ValueError("Test Error")
        except ValueError:
            return was.response("500 Internal Server Error", exc_info=sys.exc_info())

    browser = browse(app)
    assert (browser.get("/own").code, browser.get("/own").text) == (404, "nothing here")
    generated = browser.get("/page")
    assert (generated.status, "Not Found" in generated.text) == ("404 Not Found", True)
    assert "ValueError: Test Error" in browser.get("/raise_exception").text


class More:
    """An object of the README's kind: asked for more until there is none; closed in the end."""

    def __init__(self, closed):
        self.left = [b"a", "b", b""]
        self.closed = closed

    def more(self):
        return self.left.pop(0)

    def close(self):
        self.closed.append("more")


def test_return_types(app, browse):
    """Everything that the README lists may be returned, and is closed when it was sent."""
    closed = []

    class File(io.BytesIO):
        def close(self):
            closed.append("file")
            super().close()

    def generate():
        try:
            yield "x"
            yield b"y"
        finally:
            closed.append("generator")

    values = {
        "str": lambda: "\u00e9",
        "bytes": lambda: b"\x00\xff",
        "int": lambda: 8,
        "float": lambda: 1.5,
        "decimal": lambda: Decimal("1.50"),
        "fraction": lambda: Fraction(1, 3),
        "none": lambda: None,
        "dict": lambda: {"a": [1, None]},
        "numbers": lambda: [1, 2],
        "texts": lambda: ["a", b"b"],
        "file": lambda: File(b"file"),
        "generator": generate,
        "more": lambda: More(closed),
        "mixed": lambda: ["1", File(b"2"), generate(), More(closed)],
    }

    @app.route("/<name>")
    def view(was, name):
        return values[name]()

    browser = browse(app)
    bodies = {name: browser.get(f"/{name}").body for name in values}
    assert bodies == {
        "str": "\u00e9".encode(),
        "bytes": b"\x00\xff",
        "int": b"8",
        "float": b"1.5",
        "decimal": b"1.50",
        "fraction": b"1/3",
        "none": b"",
        "dict": b'{"a":[1,null]}',
        "numbers": b"[1,2]",
        "texts": b"ab",
        "file": b"file",
        "generator": b"xy",
        "more": b"ab",
        "mixed": b"12xyab",
    }
    everything = ["file", "file", "generator", "generator", "more", "more"]
    eventually(lambda: sorted(closed) == everything, "the closing, after the last byte")
    assert browser.get("/dict")["Content-Type"] == "application/json"
    assert browser.get("/none").code == 200


def test_answers_without_a_body(app):
    """HEAD has the head of GET, and 204 and 304 have no body, whatever the server does with one."""
    told = []

    @app.route("/text")
    def text(was):
        return "text"

    @app.route("/stream")
    def stream(was):
        told.append("made")
        yield "piece"

    @app.route("/more")
    def more(was):
        return More(told)

    @app.route("/status/<int:code>")
    def status(was, code):
        return was.response(f"{code} Nothing", "body", {"Content-Length": "4"})

    browser = WSGIBrowser(app)
    heads = {path: browser.get(path, "HEAD") for path in ("/text", "/stream", "/more", "/nowhere")}
    assert {page.body for page in heads.values()} == {b""}
    assert heads["/text"]["Content-Length"] == "4"
    assert int(heads["/nowhere"]["Content-Length"]) > 1000
    assert told == ["more"]
    for code in (204, 304):
        page = browser.get(f"/status/{code}")
        assert (page.code, page.body, page["Content-Length"], page["Content-Type"]) == (code, b"", None, None)


def test_the_head_is_complete_when_the_first_piece_is(app, browse):
    """What a generator sets before its first piece is in the answer; what fails there is for the events."""

    @app.failed_request
    def failed(was, exc_info):
        return f"instead of {exc_info[1]}"

    @app.route("/generator")
    def generator(was):
        was.response.set_status("202 Accepted")
        was.response["X-Pieces"] = "two"
        was.cookie["tea"] = "green"
        yield "1"
        yield "2"

    @app.route("/dry")
    def dry(was):
        raise ValueError("dry")
        yield "never"

    browser = browse(app)
    page = browser.get("/generator")
    assert (page.status, page.text, page["X-Pieces"]) == ("202 Accepted", "12", "two")
    assert browser.cookies == {"tea": "green"}
    assert browser.get("/dry").text == "instead of dry"


def test_what_no_body_can_be_made_of(app, browse):
    """A request whose view returns any other value is answered with 500."""

    @app.route("/")
    def view(was):
        return object()

    assert browse(app).get("/").code == 500


def test_response_methods(app, browse):
    """Fields are replaced in any case of their names, Set-Cookie added; a bad status or field is refused."""

    @app.route("/")
    def view(was):
        response = was.response
        response.set_headers([("X-A", "1"), ("x-a", "2"), ("X-B", "3")])
        response["X-C"] = "4"
        response.del_header("X-B")
        with pytest.raises(AssertionError, match="a status must be a number and its phrase"):
            response.set_status("OK")
        with pytest.raises(ValueError, match="line break"):
            response.set_header("X-D", "a\r\nSet-Cookie: b")
        with pytest.raises(KeyError):
            response["X-B"]
        response.set_status("201 Made")
        return [response.get_status(), response.get_header("X-A"), "X-C" in response, response.get_headers()]

    page = browse(app).get("/")
    assert page.status == "201 Made"
    assert json.loads(page.text) == ["201 Made", "2", True, [["x-a", "2"], ["X-C", "4"]]]


class Text(str, enum.Enum):  # noqa: UP042 - a StrEnum is no trap
    """Text whose name is not its value."""

    NAME = "X-Kind"
    KIND = "text"


def test_members_of_text_enums_are_their_values(app):
    """A member of a (str, Enum) leaves as the text that it equals: in fields, cookies and URLs."""

    @app.route("/<kind>")
    def index(was, kind):
        was.response.set_header(Text.NAME, Text.KIND)
        was.cookie.set("kind", Text.KIND)
        return was.redirect(Text.KIND, headers=[("X-URL", app.build_url(index, Text.KIND))])

    response = app.test_client().get("/any")
    assert [response.headers[name] for name in ("X-Kind", "Location", "X-URL")] == ["text", "text", "/text"]
    assert response.headers["Set-Cookie"].startswith("kind=text;")


def test_arguments(app, browse, capfd, caplog):
    """URL, query and form become arguments; what is missing or too much is a 400 that names it."""

    @app.route("/hello")
    def query(was, num=8):
        return num

    @app.route("/hello/<int:num>")
    def hello(was, num=8):
        return str(num)

    @app.route("/form")
    def form(was, userid, **form):
        return f"Post {userid} {form.get('comment', '')}"

    @app.route("/download/<int:major_ver>/<path>")
    def download(was, major_ver, path):
        return f"{major_ver} {path}"

    browser = browse(app)
    assert [browser.get(path).text for path in ("/hello", "/hello?num=100", "/hello/100")] == [
        "8",
        "100",
        "100",
    ]
    assert browser.get("/hello/abc").code == 404
    assert browser.post("/form", {"userid": "a", "comment": "b"}).text == "Post a b"
    assert browser.get("/form?userid=a").text == "Post a "
    assert browser.get("/download/1/version/1.1/win32").text == "1 version/1.1/win32"
    missing, unexpected = browser.get("/form"), browser.get("/hello?t=1")
    assert (missing.code, "userid" in missing.text, "/form" in missing.text) == (400, True, True)
    assert (unexpected.code, "&#39;t&#39;" in unexpected.text) == (400, True)
    assert browser.get("/hello?int:num=ten").code == 400
    logged = caplog.text + capfd.readouterr().err
    for words in ("'userid' (route /form)", "'t' (route /hello)", "'int:num' cannot be 'ten'"):
        assert words in logged
    assert browser.post("/form", body=b'{"userid": "j"}', kind="application/json").text == "Post j "


def test_methods_and_slashes(app, browse):
    """405 names what is allowed; HEAD and OPTIONS go by themselves; slashes are redirected with the query."""

    @app.route("/only", methods=["POST"])
    def only(was):
        return "posted"

    @app.route("/both/")
    def both(was, **form):
        return "both"

    browser = browse(app, "/m")
    refused = browser.get("/only")
    assert (refused.code, "POST" in refused["Allow"]) == (405, True)
    assert (browser.get("/both/", "HEAD").code, browser.get("/both/", "OPTIONS").code) == (200, 200)
    moved = browser.get("/both?a=1")
    assert (moved.code, moved["Location"]) == (301, "/m/both/?a=1")
    assert browser.follow(moved).text == "both"
    again = browser.post("/only/", {})
    assert (again.code, again["Location"]) == (308, "/m/only")


def test_a_mount_point_beyond_ascii(app, browse):
    """A mount point of any characters is encoded once, wherever it stands in a URL; the query stays."""

    @app.route("/both/")
    def both(was):
        return f"{was.ab('both')} {app.build_url('/x.css')} {was.mount_point}"

    browser = browse(app, "/m%C3%BCll%20x")
    moved = browser.get("/both?a=%C3%BC&b=1")
    assert (moved.code, moved["Location"]) == (301, "/m%C3%BCll%20x/both/?a=%C3%BC&b=1")
    assert browser.get("/both/").text == "/m%C3%BCll%20x/both/ /m%C3%BCll%20x/x.css /m%C3%BCll%20x"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("/suche?q=\u00fc&x=1#f", "/suche?q=%C3%BC&x=1#f"),
        ("/a b\r\nc?d=%20\u20ac&e[]=1", "/a%20b%0D%0Ac?d=%20%E2%82%AC&e[]=1"),
        ("https://b\u00fccher.example:8443/\u00fc", "https://xn--bcher-kva.example:8443/%C3%BC"),
        ("//me@b\u00fccher.example", "//me@xn--bcher-kva.example"),
        ("//" + "\u00fc" * 70, "//" + "%C3%BC" * 70),
        ("/plain%2F?a=b;c|d#{e}", "/plain%2F?a=b;c|d#{e}"),
    ],
)
def test_redirects_to_any_address(app, url, location):
    """Non-ASCII and invisible characters are encoded, and all others stay as the app wrote them."""
    app.route("/")(lambda was: was.redirect(url))
    assert WSGIBrowser(app).get("/")["Location"] == location


@pytest.mark.parametrize("path", ["/u/a%3Fb", "/u/caf%C3%A9%23%25;x", "/u/%FF"])
def test_the_uri_of_a_server_that_does_not_tell(app, path):
    """Without REQUEST_URI the target is made of the decoded path, so that it can be split."""
    app.route("/u/<name>")(lambda was, **_: was.request.uri + was.request.split_uri()[2])
    page = WSGIBrowser(app, "/m%20n").get(f"{path}?q=%3F")
    assert page.text == f"/m%20n{path}?q=%3F?q=%3F"


def test_building_urls(app, browse):
    """URLs begin with the mount point; arguments fill the path first and then the query."""

    @app.route("/add")
    def add(was, num1, num2):
        return int(num1) + int(num2)

    @app.route("/hello/<name>")
    def hello(was, name="Hans Roh"):
        return f"Hello, {name}"

    @app.route("/urls")
    def urls(was):
        with pytest.raises(LookupError, match="nobody"):
            was.ab("nobody")
        with pytest.raises(AssertionError, match="takes 2 arguments"):
            was.ab("add", 1, 2, 3)
        with pytest.raises(AssertionError, match="given twice"):
            was.ab("add", 1, num1=2)
        return {
            "urls": [
                was.ab("add", 10, 40),
                was.ab("add", 10, num2=60),
                was.app.build_url("hello", "Your Name"),
                was.ab("hello"),
                was.ab("/css/home.css"),
                was.buld_url(add, 1, 2),
            ]
        }

    browser = browse(app, "/math")
    built = json.loads(browser.get("/urls").text)["urls"]
    assert built == [
        "/math/add?num1=10&num2=40",
        "/math/add?num1=10&num2=60",
        "/math/hello/Your_Name",
        "/math/hello/Hans_Roh",
        "/math/css/home.css",
        "/math/add?num1=1&num2=2",
    ]
    assert browser.get(built[0].removeprefix("/math")).text == "50"
    assert browser.get("/hello/Your_Name").text == "Hello, Your Name"


def test_building_urls_of_functions_with_one_name(app):
    """A function stands for itself, whatever others of its name are there; a name is the app's own first."""
    part = Saddlery()
    app.mount("/admin", part)

    @app.route("/")
    def index(was):
        """Never called."""

    own_index = index

    @part.route("/")
    def index(was):
        """Never called."""

    @functools.wraps(index)
    def wrapped(was):
        """Never called."""

    assert [app.build_url(each) for each in (own_index, index, "index")] == ["/", "/admin/", "/"]
    assert app.build_url(wrapped) == "/"


def test_building_urls_of_several_rules(app):
    """The first rule that takes the arguments is meant; where none does, the error says why."""

    @app.route("/hello/")
    @app.route("/hello/<name>")
    def hello(was, name=None):
        """Never called."""

    @app.route("/i/<name>")
    @app.route("/i/<int:name>")
    def item(was, name):
        """Never called."""

    @app.route("/fn")
    def function_of(was, function, self=0):
        """Never called."""

    assert [app.build_url("hello"), app.build_url("hello", "you")] == ["/hello/", "/hello/you"]
    assert [app.build_url("item", "abc"), app.build_url(item, 7)] == ["/i/abc", "/i/7"]
    with pytest.raises(ValueError, match=r"/i/<int:name>"):
        app.build_url("item", "a/b")
    with pytest.raises(AssertionError, match="item: the path needs name"):
        app.build_url("item")
    assert app.build_url("function_of", function="x") == "/fn?function=x"
    was = SaddleWas(app, {"SCRIPT_NAME": "/m"})
    assert was.ab("function_of", function="x") == "/m/fn?function=x"


def test_errors(app, browse):
    """An exception is a 500 without its traceback; with debug the page shows it; JSON for who wants JSON."""

    @app.route("/boom")
    def boom(was, password="hidden"):
        raise RuntimeError("on <purpose>")

    browser = browse(app)
    page = browser.get("/boom")
    assert (page.code, "RuntimeError" in page.text) == (500, False)
    asked = browser.get("/nowhere", Accept="application/json")
    assert json.loads(asked.text)["error"]["code"] == 404
    app.debug = True
    page = browser.get("/boom")
    assert (page.code, "RuntimeError" in page.text, "on &lt;purpose&gt;" in page.text) == (500, True, True)
    assert "&#39;hidden&#39;" not in page.text


class UnprintableError(Exception):
    """An exception that cannot say what it is."""

    def __str__(self):
        raise RuntimeError("no words")


def leave(was):
    sys.exit("left")


async def leave_later(was):
    sys.exit("left")


def dry(was):
    raise OSError("dry")
    yield "never"


def speechless(was):
    raise UnprintableError


def open_file(was):
    return open("/proc/self/mem", "rb")  # its first byte cannot be read


@pytest.mark.parametrize(
    ("view", "error"),
    [
        (leave, SystemExit),
        (leave_later, SystemExit),
        (dry, OSError),
        (speechless, UnprintableError),
        (open_file, OSError),
    ],
)
def test_whatever_ends_a_view(app, browse, view, error, capfd, caplog):
    """sys.exit(), a stream that fails before it begins, an error without words: all are the app's errors."""
    app.route("/")(view)
    app.debug = True
    browser = browse(app)
    page = browser.get("/")
    assert (page.code, error.__name__ in page.text) == (500, True)
    assert error.__name__ in caplog.text + capfd.readouterr().err
    app.error(error)(lambda was, error: was.response("503 Service Unavailable", "handled"))
    assert (browser.get("/").code, browser.get("/").text) == (503, "handled")


@pytest.mark.parametrize("room", [0, 100_000, 199_999])
def test_a_form_on_a_full_disk(app, browse, small_disk, tmp_path, monkeypatch, capfd, caplog, room):
    """The client is told that there is no room, the log why, and no file stays behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    @app.route("/")
    def form(was, a, b):
        return str(a.size + b.size)

    part = b'--x\r\nContent-Disposition: form-data; name="%b"; filename="f"\r\n\r\n%b\r\n'
    body = b"".join(part % (name, bytes(100_000)) for name in (b"a", b"b")) + b"--x--\r\n"
    post = functools.partial(browse(app).post, "/", body=body, kind="multipart/form-data; boundary=x")
    small_disk(room)
    assert post().code == 507
    assert "No space left" in caplog.text + capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
    small_disk(200_000)
    assert post().text == "200000"
    assert list(tmp_path.iterdir()) == []


def test_a_debug_page_that_cannot_be_made(app, browse, monkeypatch, capfd, caplog):
    """Where the debug page itself fails, the answer is the plain page and the log has both reasons."""
    app.debug = True
    app.route("/")(speechless)
    monkeypatch.setattr("skitai.saddle.failures.pages.debug_page", lambda exc, line: 1 / 0)
    page = browse(app).get("/")
    assert (page.code, "Internal Server Error" in page.text) == (500, True)
    logged = caplog.text + capfd.readouterr().err
    assert "UnprintableError" in logged
    assert "ZeroDivisionError" in logged


def test_events_around_an_exit(app, browse):
    """An event handler may answer for a view that left, and the last event is never left out."""
    told = []
    app.route("/")(leave)
    app.failed_request(lambda was, exc_info: f"instead of {exc_info[0].__name__}")
    app.teardown_request(lambda was: told.append("teardown"))
    assert browse(app).get("/").text == "instead of SystemExit"
    assert told == ["teardown"]


def test_error_handlers(app, browse):
    """Handlers by status and by class, the nearest class first; one that fails is a plain 500."""

    @app.error(404)
    def nothing(was, code):
        return f"nothing at {was.request.path} ({code})"

    @app.error(LookupError)
    def lookup(was, error):
        return was.response("410 Gone", f"gone: {error}")

    @app.error(ValueError)
    def failing(was, error):
        raise TypeError("the handler")

    @app.route("/key")
    def key(was):
        raise KeyError("k")

    @app.route("/value")
    def value(was):
        raise ValueError("v")

    @app.route("/teapot")
    def teapot(was):
        raise HTTPError(418, "short and stout", [("X-Pot", "tea")])

    browser = browse(app)
    assert (browser.get("/x").code, browser.get("/x").text) == (404, "nothing at /x (404)")
    assert (browser.get("/key").status, browser.get("/key").text) == ("410 Gone", "gone: 'k'")
    assert browser.get("/value").code == 500
    pot = browser.get("/teapot")
    assert (pot.code, pot["X-Pot"], "short and stout" in pot.text) == (418, "tea", True)


def test_handlers_by_status_come_before_classes(app, browse):
    """The handler of a status is for what ends a request with it; one of a class is for all else it fits."""

    @app.error(Exception)
    def anything(was, error):
        return f"class {type(error).__name__}"

    @app.error(404)
    def nothing(was, code):
        return f"status {code}"

    @app.error(500)
    def failed(was, code):
        return f"status {code}"

    @app.route("/value")
    def value(was):
        raise ValueError

    @app.route("/abort/<int:code>")
    def abort(was, code):
        raise HTTPError(code)

    browser = browse(app)
    assert browser.get("/nowhere").text == "status 404"
    assert browser.get("/abort/500").text == "status 500"
    assert browser.get("/abort/403").text == "class HTTPError"
    assert browser.get("/value").text == "class ValueError"


def test_what_a_failed_view_kept_is_forgotten(app, browse):
    """Session, cookies and messages of a view that fails are not stored; those of the handler are."""
    app.securekey = "a secret of 32 characters or more"

    @app.route("/seen")
    def seen(was):
        return [was.session.get("who"), was.cookie.get("tea"), [message.msg for message in was.mbox.get()]]

    @app.route("/set/<who>")
    def put(was, who):
        was.session["who"] = who
        was.cookie["tea"] = who
        return "set"

    @app.route("/fail/<int:code>")
    def fail(was, code):
        was.session["who"] = was.cookie["tea"] = "thief"
        was.mbox.send("You are in.")
        raise HTTPError(code) if code else ValueError("no")

    @app.error(403)
    @app.error(ValueError)
    def denied(was, error):
        was.mbox.send(f"Denied, {was.session['who']} with {was.cookie['tea']}.")
        return "denied"

    browser = browse(app)
    browser.get("/set/ann")
    for code in (0, 403):
        assert browser.get(f"/fail/{code}").text == "denied"
        assert json.loads(browser.get("/seen").text) == ["ann", "ann", ["Denied, ann with ann."]]


def test_what_a_failed_remote_call_kept_is_forgotten(app):
    """A remote call is a view like any other: what it kept before it failed is not stored."""
    app.securekey = "a secret of 32 characters or more"

    @app.route("/enter")
    def enter(was, how):
        was.session["who"] = how
        if how == "status":
            return was.response("403 Forbidden")
        if how == "fault":
            raise ValueError(how)
        return how

    @app.route("/who")
    def who(was):
        return was.session.get("who", "nobody")

    client = app.test_client()
    for how, seen in (("fault", "nobody"), ("status", "nobody"), ("well", "well")):
        question = xmlrpc.client.dumps((how,), "enter")
        client.post("/", data=question, content_type="text/xml")
        assert client.get("/who").text == seen


def test_one_of_several_remote_calls_that_fails(app):
    """It takes back what it kept itself; what the calls before and after it kept stays."""
    app.securekey = "a secret of 32 characters or more"

    @app.route("/enter")
    def enter(was, name, fails=False):
        was.session[name] = "in"
        was.cookie[name] = "in"
        if fails:
            raise ValueError(name)
        return name

    @app.route("/who")
    def who(was):
        return [[name for name in "abc" if was.session[name]], sorted(was.cookie.keys())]

    client = app.test_client()
    calls = [
        {"jsonrpc": "2.0", "id": name, "method": "enter", "params": {"name": name, "fails": name == "b"}}
        for name in "abc"
    ]
    assert ["error" in answer for answer in client.post("/", json=calls).json] == [False, True, False]
    assert client.get("/who").json == [["a", "c"], ["a", "c"]]


class Pieces:
    """A body in pieces that notes its end."""

    def __init__(self):
        self.left = [b"one", b"two"]
        self.closed = False

    def more(self):
        return self.left.pop(0) if self.left else b""

    def close(self):
        self.closed = True


@pytest.mark.parametrize("failing", ["finish_request", "teardown_request", "storing", "remote", ""])
@pytest.mark.parametrize("method", ["get", "head"])
def test_pieces_are_closed_in_any_case(app, method, failing):
    """What comes in pieces is closed, whatever keeps it from being sent."""
    app.securekey = "a secret of 32 characters or more"
    given = []

    @app.route("/")
    @app.route("/view")
    def view(was):
        given.append(Pieces())
        if failing == "storing":
            was.session["much"] = "x" * 5000
        return given[0]

    def fail(_was):
        raise ValueError(failing)

    if failing.endswith("_request"):
        getattr(app, failing)(fail)
    client = app.test_client()
    if failing == "remote":
        answer = client.post("/", data=xmlrpc.client.dumps((), "view"), content_type="text/xml")
    else:
        answer = getattr(client, method)("/")
        assert answer.status_code == (500 if failing else 200)
    answer.close()
    assert [pieces.closed for pieces in given] == [True]


def test_an_error_handler_may_send_the_pieces_of_the_view(app):
    """What is sent is closed when it is sent, though it was the view's that failed afterwards."""
    seen = []

    @app.route("/")
    def view(was):
        was.g.pieces = Pieces()
        return was.g.pieces

    @app.finish_request
    def fail(_was):
        raise ValueError

    @app.error(ValueError)
    def handle(was, _error):
        seen.append(was.g.pieces)
        return was.g.pieces

    answer = app.test_client().get("/", buffered=False)
    assert not seen[0].closed
    answer.close()
    assert seen[0].closed


def test_pieces_that_are_not_sent_end_within_their_request(app):
    """A generator that is not sent may still look at its request while it ends."""
    seen = []

    @app.route("/here")
    def view(was):
        def pieces():
            try:
                yield "piece"
                yield "another"
            finally:
                seen.append(app.build_url("view"))

        return pieces()

    @app.finish_request
    def fail(_was):
        raise ValueError

    assert app.test_client().get("/here", base_url="http://x/mounted").status_code == 500
    assert seen == ["/mounted/here"]


def test_views_as_coroutines(app, browse):
    """A view may be a coroutine, wherever it runs."""

    @app.route("/<name>")
    async def view(was, name):
        return f"Hello, {name}"

    @app.route("/fail")
    async def fail(was):
        raise KeyError("k")

    browser = browse(app)
    assert browser.get("/you").text == "Hello, you"
    assert browser.get("/fail").code == 500


def test_a_coroutine_view_in_a_test_that_is_a_coroutine(app):
    """A test client may be used where a loop runs already: what the view raises and sees is the same."""
    number = contextvars.ContextVar("number")

    @app.route("/<name>")
    async def view(was, name):
        await asyncio.sleep(0)
        return f"Hello, {name} {number.get()} {was.ab('view', 'me')}"

    @app.route("/leave")
    async def leaving(was):
        sys.exit()

    async def test():
        number.set(7)
        client = app.test_client()
        return client.get("/you").text, client.get("/leave").status_code

    assert asyncio.run(test()) == ("Hello, you 7 /me", 500)


def test_json_has_no_nan_and_an_empty_list_is_json(app, browse):
    """A list API answers JSON without rows, too; a number that JSON lacks is an error of the app."""

    @app.route("/rows")
    def rows(was):
        return []

    @app.route("/nan")
    def nan(was):
        return {"a": float("nan")}

    browser = browse(app)
    page = browser.get("/rows")
    assert (page.text, page["Content-Type"]) == ("[]", "application/json")
    assert browser.get("/nan").code == 500


def test_json_without_an_end(app, browse):
    """JSON that is nested too deep is no object with arguments, and no failure of the app."""

    @app.route("/strict", methods=["POST"])
    def strict(was):
        return "no arguments"

    assert browse(app).post("/strict", body=b"[" * 100_000, kind="application/json").text == "no arguments"


def test_a_stream_is_still_at_its_request(app, browse):
    """What a generator builds while it is sent has the mount point and the request in it."""

    @app.route("/stream")
    def stream(was):
        def pieces():
            yield was.ab("stream")
            yield " " + app.build_url("stream")

        return pieces()

    assert browse(app, "/m").get("/stream").text == "/m/stream /m/stream"


def test_handlers_may_be_coroutines(app, browse):
    """Handlers of a request's events and of errors may be coroutines; those of the app's life may not."""

    @app.before_request
    async def before(was):
        was.g.seen = ["before"]

    @app.error(KeyError)
    async def missing(was, error):
        return f"handled {error}"

    @app.route("/seen")
    def seen(was):
        return was.g.seen[0]

    @app.route("/missing")
    def fails(was):
        raise KeyError("x")

    browser = browse(app)
    assert [browser.get("/seen").text, browser.get("/missing").text] == ["before", "handled 'x'"]
    with pytest.raises(TypeError, match=r"startup: .* is a coroutine"):

        @app.startup
        async def start(wasc):
            """Never waited for."""


def test_the_traceback_as_json(app, browse):
    """In debug mode a client that likes JSON gets the traceback as JSON."""
    app.debug = True

    @app.route("/fails")
    def fails(was):
        return 1 / 0

    page = browse(app).get("/fails", Accept="application/json")
    assert page["Content-Type"] == "application/json"
    assert "ZeroDivisionError" in json.loads(page.text)["error"]["traceback"]


def test_a_status_that_is_none():
    """HTTPError takes what ends a request."""
    for code in (42, 200, 1000):
        with pytest.raises(ValueError, match="300 to 599"):
            HTTPError(code, "text")
