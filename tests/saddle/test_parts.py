"""Parts, events, templates and remote calls: how a larger app is put together."""

import json
import sys
import threading
import types
import xmlrpc.client
from functools import partial
from unittest.mock import ANY

import pytest

from skitai.context import registered
from skitai.saddle import HTTPError, Saddle, Saddlery
from skitai.saddle.registry import wasc
from skitai.testing import FakeWas


def noting(part, name, notes):
    """Have every request event of a part noted."""
    part.before_request(lambda was: notes.append(f"{name}.before"))
    part.finish_request(lambda was: notes.append(f"{name}.finish"))
    part.failed_request(lambda was, exc_info: notes.append(f"{name}.failed {exc_info[0].__name__}"))
    part.teardown_request(lambda was: notes.append(f"{name}.teardown"))


@pytest.fixture
def nested():
    """An app with a part, all of whose events are noted: (app, notes)."""
    notes = []
    app, part = Saddle("test_parts"), Saddlery("test_parts")
    noting(app, "app", notes)
    noting(part, "part", notes)
    app.mount("/part", part)

    @part.route("/ok")
    def ok(was):
        notes.append("view")
        return "ok"

    @part.route("/fail")
    def fail(was):
        raise KeyError("x")

    return app, notes


def test_order_of_events(nested, browse):
    """The app's events are around the part's, and the part's around the view."""
    app, notes = nested
    assert browse(app).get("/part/ok").text == "ok"
    assert notes == [
        *("app.before", "part.before", "view", "part.finish", "part.teardown"),
        *("app.finish", "app.teardown"),
    ]


def test_order_of_events_when_a_view_fails(nested, browse):
    """A failure goes outwards through the failed_request handlers, and teardown is always called."""
    app, notes = nested
    assert browse(app).get("/part/fail").code == 500
    assert notes == [
        *("app.before", "part.before", "part.failed KeyError", "part.teardown"),
        *("app.failed KeyError", "app.teardown"),
    ]


def test_a_handled_failure_is_a_success_outside(nested, browse):
    """What failed_request returns is the answer, with the status that it sets."""
    app, notes = nested
    app._mounts[0][0].failed_request(lambda was, exc_info: was.response("501 Server Error", "sorry"))
    page = browse(app).get("/part/fail")
    assert (page.status, page.text) == ("501 Server Error", "sorry")
    assert notes[-2:] == ["app.finish", "app.teardown"]


def test_before_request_answers(nested, browse):
    """An answer of before_request keeps the view and finish_request from being called."""
    app, notes = nested
    app._mounts[0][0].before_request(lambda was: "Not Authorized")
    assert browse(app).get("/part/ok").text == "Not Authorized"
    assert notes == ["app.before", "part.teardown", "app.finish", "app.teardown"]


@pytest.mark.parametrize("nothing", [None, False, 0, "", b"", [], {}])
def test_before_request_without_an_answer(browse, nothing):
    """Only a true value is an answer: with any other the view is called."""
    app = Saddle("test_parts")
    app.before_request(lambda was: nothing)
    app.route("/")(lambda was: "view")
    assert browse(app).get("/").text == "view"


def test_before_request_may_answer_nothing(browse):
    """was.response(...) is an answer, though its body may be empty."""
    app = Saddle("test_parts")
    app.before_request(lambda was: was.response("403 Forbidden", ""))
    app.route("/")(lambda was: "view")
    page = browse(app).get("/")
    assert (page.code, page.text) == (403, "")


def test_wrong_arguments_stay_the_client_s_mistake(browse):
    """failed_request hears of wrong arguments, but they are a 400 whatever it answers."""
    app, heard = Saddle("test_parts"), []

    @app.failed_request
    def failed(was, exc_info):
        heard.append(exc_info[1].code)
        return was.response("501 Server Error", "sorry")

    @app.route("/add")
    def add(was, num):
        return num

    page = browse(app).get("/add")
    assert (page.code, "num" in page.text, heard) == (400, True, [400])


def test_handlers_of_the_parts_around(browse):
    """A part is within the error handlers and template events of the one that it is mounted in."""
    app, outer, inner = Saddle("test_parts"), Saddlery(), Saddlery()
    app.mount("/outer", outer)
    outer.mount("/outer/inner", inner)
    app.error(ValueError)(lambda was, error: "app")
    outer.error(ValueError)(lambda was, error: "outer")
    app.error(KeyError)(lambda was, error: "app")

    @inner.route("/value")
    def value(was):
        raise ValueError

    @inner.route("/key")
    def key(was):
        raise KeyError

    browser = browse(app)
    assert [browser.get(f"/outer/inner/{name}").text for name in ("value", "key")] == ["outer", "app"]


def test_g(browse):
    """was.g is shared by the functions of one request, and fresh in the next."""
    app = Saddle("test_parts")

    @app.before_request
    def before(was):
        was.g.count = getattr(was.g, "count", 0) + 1

    @app.route("/")
    def index(was):
        return was.g.count

    browser = browse(app)
    assert [browser.get("/").text, browser.get("/").text] == ["1", "1"]


def test_mounting_and_building(browse):
    """A part answers below its path and nowhere else; both build URLs of each other, in both orders."""
    admin = types.ModuleType("admin")
    admin.part = Saddlery()
    sub = Saddlery()
    app = Saddle("test_parts")
    app.mount(admin, "part", "/admin")
    admin.part.mount("/admin/sub", sub)

    @app.route("/")
    def index(was, num1=0, num2=0):
        return was.ab("hello", "Hans Roh")

    @admin.part.route("/<name>")
    def hello(was, name):
        return [was.ab("index", 1, 2), was.app is app, was.subapp is admin.part]

    @sub.route("/deep")
    def deep(was):
        return "deep"

    browser = browse(app, "/math")
    assert browser.get("/").text == "/math/admin/Hans_Roh"
    assert json.loads(browser.get("/admin/Hans_Roh").text) == ["/math/?num1=1&num2=2", True, True]
    assert (browser.get("/elsewhere").code, browser.get("/administrator").code) == (404, 404)
    assert browser.get("/admin/sub/deep").text == "deep"


@pytest.mark.parametrize("arguments", [(), ("/x",), (Saddlery(),), (types, "part", "/x"), (1, "p", "/x")])
def test_mounting_what_is_no_part(arguments):
    """Arguments of no sense are refused at once."""
    with pytest.raises(TypeError):
        Saddle("test_parts").mount(*arguments)


@pytest.mark.parametrize("path", ["part", "admin/", "/<name>", "/a//b"])
def test_mounting_at_what_is_no_path(path):
    """A path is plain text that begins with a slash; a name that was taken for one is refused."""
    module = types.ModuleType("admin")
    module.part = Saddlery()
    for arguments in [(module, path), (module, "part", path), (module.part, path)]:
        with pytest.raises(ValueError, match=path):
            Saddle("test_parts").mount(*arguments)


def test_views_without_a_name(browse):
    """All that can be called is a view, by the name of the function in a partial one, or of its class."""
    app = Saddle("test_parts")

    class Greeter:
        def __call__(self, was, name):
            return f"Hello, {name}"

    def add(was, a, b):
        return int(a) + b

    app.route("/greet/<name>")(Greeter())
    app.route("/add/<a>")(partial(add, b=2))
    app.route("/urls")(lambda was: f"{was.ab('Greeter', 'you')} {was.ab('add', 1)}")
    browser = browse(app)
    assert browser.get("/urls").text == "/greet/you /add/1"
    assert [browser.get(path).text for path in ("/greet/you", "/add/1")] == ["Hello, you", "3"]
    with pytest.raises(TypeError, match="route '/none': None is not a function"):
        app.route("/none")(None)


def test_life(browse):
    """startup and shutdown run once each, of app and parts; what they register is on every was."""
    notes = []
    app, part = Saddle("test_parts"), Saddlery()
    app.mount("/part", part)

    @app.startup
    def startup(wasc):
        notes.append("startup")
        wasc.register("searcher", "found")
        with pytest.raises(KeyError):
            wasc.register("searcher", "other")
        with pytest.raises(ValueError, match="cannot be a name"):
            wasc.register("request", "x")

    @part.startup
    def part_startup(wasc):
        notes.append(f"part sees {wasc.searcher}")

    @app.onreload
    def onreload(wasc):
        notes.append("onreload")

    @app.shutdown
    def shutdown(wasc):
        notes.append("shutdown")
        assert wasc.unregister("searcher") == "found"

    @app.route("/")
    def index(was):
        return was.searcher

    browser = browse(app)
    try:
        assert [browser.get("/").text for _ in range(2)] == ["found", "found"]
        app.end()
        app.end()
    finally:
        registered().pop("searcher", None)
    assert notes == ["startup", "part sees found", "shutdown"]


@pytest.mark.parametrize(
    "name", ["get", "log", "gather", "ab", "mount_point", "scopes", "rcache", "_x", "a b"]
)
def test_names_that_cannot_be_registered(name):
    """What was has of its own, or of the server's services, is not taken from all other apps."""
    with FakeWas(), pytest.raises(ValueError, match=name):
        wasc.register(name, "mine")
    assert name not in registered()


def test_services_come_first(monkeypatch):
    """Whatever got into the register, it is in nobody's way to a service."""
    monkeypatch.setitem(registered(), "get", "mine")
    monkeypatch.setitem(registered(), "tea", "green")
    app = Saddle("test_parts")
    app.route("/")(lambda was: f"{was.get} {was.tea}")
    assert app.test_client().get("/").text == "mine green"
    with FakeWas() as fake:
        text = app.test_client().get("/", environ_overrides={"skitai.was": fake.was}).text
    assert "mine" not in text
    assert text.endswith(" green")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A module in a folder with templates: (name, folder)."""
    folder = tmp_path / "project"
    (folder / "templates").mkdir(parents=True)
    module = types.ModuleType("saddle_project")
    module.__file__ = str(folder / "app.py")
    monkeypatch.setitem(sys.modules, "saddle_project", module)
    return module.__name__, folder


def test_templates(package, browse):
    """Templates see was and the variables; the events around them are told; parts have their own."""
    name, folder = package
    (folder / "templates" / "index.html").write_text(
        "{{ was.cookie.username }} choices item {{ was.request.args.get('choice', 'N/A') }} {{ product }}"
        " {{ was.ab('index', 1) }} {{ token() }}{{ was.g.nothing }}"
    )
    app, part, told = Saddle(name), Saddlery(name), []
    app.jinja_env.globals["token"] = lambda: "<t>"
    app.got_template(lambda was, template, variables: told.append((template, sorted(variables))))
    app.template_rendered(lambda was, template, variables, text: told.append(len(text) > 0))
    app.mount("/part", part)

    @app.route("/")
    def index(was, choice=0):
        was.cookie["username"] = "me"
        return was.render("index.html", product="<b>")

    @app.route("/dict")
    def by_dict(was):
        with pytest.raises(AssertionError):
            was.render("index.html", {"product": 1}, product=2)
        return was.render("/index.html", {"product": "<b>"})

    @part.route("/own")
    def own(was):
        return part.render2("index.html", product=1) + was.render2("index.html", product=2)

    browser = browse(app)
    assert browser.get("/?choice=2").text == "me choices item 2 <b> /?choice=1 <t>"
    assert browser.get("/dict").text == "me choices item N/A <b> /?choice=1 <t>"
    assert browser.get("/part/own").text.count("choices item") == 2
    assert told[:2] == [("index.html", ["product", "was"]), True]


def test_templates_while_the_module_is_loaded_again(package, browse, monkeypatch):
    """Who still serves while the reloader has dropped the module finds its templates."""
    name, folder = package
    (folder / "templates" / "index.html").write_text("found")
    app, part = Saddle(name), Saddlery(name)
    app.mount("/part", part)
    app.route("/")(lambda was: was.render("index.html"))
    part.route("/")(lambda was: was.render2("index.html"))
    monkeypatch.delitem(sys.modules, name)
    browser = browse(app)
    assert [browser.get(path).text for path in ("/", "/part/")] == ["found", "found"]


def test_autoescape(package, browse):
    """An app may have what it shows escaped."""
    name, folder = package
    (folder / "templates" / "index.html").write_text("{{ text }}")
    app = Saddle(name)
    app.autoescape = True
    app.route("/")(lambda was: was.render("index.html", text="<b>"))
    assert browse(app).get("/").text == "&lt;b&gt;"


def test_template_events_of_the_parts_around(package, browse):
    """What is rendered for a part is told to the parts around it, from the app inwards and back."""
    name, folder = package
    (folder / "templates" / "index.html").write_text("text")
    parts = {"app": Saddle(name), "outer": Saddlery(name), "inner": Saddlery(name)}
    told = []
    for title, part in parts.items():
        part.got_template(lambda was, template, variables, title=title: told.append(title))
        part.template_rendered(lambda was, template, variables, text, title=title: told.append(title))
    parts["app"].mount("/outer", parts["outer"])
    parts["outer"].mount("/inner", parts["inner"])
    parts["inner"].route("/")(lambda was: was.render("index.html"))
    assert browse(parts["app"]).get("/inner/").text == "text"
    assert told == ["app", "outer", "inner", "inner", "outer", "app"]


def test_a_part_of_two_apps(package, browse):
    """A part takes each app's settings, even while the other is served in the middle of it."""
    name, folder = package
    (folder / "templates" / "outer.html").write_text("{{ text }}{{ other() }}{% include 'inner.html' %}")
    (folder / "templates" / "inner.html").write_text("{{ text }}")
    part, safe, plain = Saddlery(name), Saddle(name), Saddle(name)
    safe.autoescape = True

    @part.route("/<template>")
    def show(was, template):
        return was.render2(template, text="<", other=lambda: plain.test_client().get("/inner.html").text)

    safe.mount("/", part)
    plain.mount("/", part)
    assert browse(safe).get("/outer.html").text == "&lt;&lt;&lt;"
    assert plain.test_client().get("/inner.html").text == "<"


def test_a_broken_template_on_the_debug_page(package, browse):
    """The developer sees the template's file and line."""
    name, folder = package
    (folder / "templates" / "index.html").write_text("fine\n{{ 1 / nothing }}")
    app = Saddle(name)
    app.debug = True
    app.route("/")(lambda was: was.render("index.html", nothing=0))
    page = browse(app).get("/")
    assert (page.code, "index.html" in page.text, "ZeroDivisionError" in page.text) == (500, True, True)


class Transport(xmlrpc.client.Transport):
    """Sends XML-RPC calls through a browser of these tests."""

    def __init__(self, browser):
        super().__init__()
        self.browser = browser

    def request(self, host, handler, request_body, verbose=False):
        page = self.browser.post("/", body=request_body, kind="text/xml")
        assert page.code == 200
        parser, unmarshaller = self.getparser()
        parser.feed(page.body)
        parser.close()
        return unmarshaller.close()


def test_remote_calls(browse):
    """The functions of routes are also remote methods, in XML-RPC and JSON-RPC, with their events."""
    app, notes = Saddle("test_parts"), []
    app.before_request(lambda was: notes.append("before"))

    @app.route("/add")
    def index(was, num1, num2):
        """Return the sum."""
        return num1 + num2

    @app.route("/deep/er")
    def deeper(was):
        return {"a": [1, None]}

    browser = browse(app)
    server = xmlrpc.client.ServerProxy("http://x/", transport=Transport(browser), allow_none=True)
    assert server.add(10000, 5000) == 15000
    assert server.deep.er() == {"a": [1, None]}
    assert notes == ["before", "before"]
    multi = xmlrpc.client.MultiCall(server)
    multi.add(1, 2)
    multi.add(3, 4)
    assert list(multi()) == [3, 7]
    with pytest.raises(xmlrpc.client.Fault, match="nothing"):
        server.nothing()
    with pytest.raises(xmlrpc.client.Fault):
        server.add(1)
    assert {"add", "deep.er"} <= set(server.system.listMethods())
    assert server.system.methodHelp("add") == "Return the sum."
    assert browser.get("/add?num1=1&num2=2").text == "12"
    call = {"jsonrpc": "2.0", "method": "add", "params": {"num1": 1, "num2": 2}, "id": 7}
    page = browser.post("/", body=json.dumps(call).encode(), kind="application/json")
    assert json.loads(page.text) == {"jsonrpc": "2.0", "result": 3, "id": 7}


@pytest.mark.parametrize("debug", [False, True])
def test_what_a_remote_caller_is_told(browse, caplog, capfd, debug):
    """What an exception says is for the log, and for the caller in debug mode or if it is meant for him."""
    app = Saddle("test_parts")
    app.debug = debug

    @app.route("/secret")
    def secret(was):
        raise RuntimeError("password=hunter2")

    @app.route("/unsayable")
    def unsayable(was):
        return [object]

    @app.route("/fault")
    def fault(was):
        raise xmlrpc.client.Fault(42, "sold out")

    @app.route("/locked")
    def locked(was):
        raise HTTPError(403, "members only")

    @app.route("/one")
    def one(was, number):
        return number

    browser = browse(app)
    server = xmlrpc.client.ServerProxy("http://x/", transport=Transport(browser))

    def told(method):
        with pytest.raises(xmlrpc.client.Fault) as caught:
            getattr(server, method)()
        call = json.dumps({"jsonrpc": "2.0", "method": method, "id": 7}).encode()
        page = browser.post("/", body=call, kind="application/json")
        return caught.value.faultCode, caught.value.faultString, json.loads(page.text)["error"]

    hidden = (1, "Internal error", {"code": -32603, "message": "Internal error"})
    if debug:
        assert told("secret") == (1, "RuntimeError: password=hunter2", hidden[2] | {"data": ANY})
        assert told("unsayable")[0] == 1
        assert "TypeError" in told("unsayable")[1]
    else:
        assert told("secret") == told("unsayable") == hidden
        multi = xmlrpc.client.MultiCall(server)
        multi.secret()
        with pytest.raises(xmlrpc.client.Fault, match="1: 'Internal error'"):
            list(multi())
    assert told("fault") == (42, "sold out", {"code": 42, "message": "sold out"})
    assert told("locked")[:2] == (1, "HTTPError: members only")
    assert (told("one")[0], "'number'" in told("one")[1]) == (-32602, True)
    logged = caplog.text + capfd.readouterr().err
    assert all(words in logged for words in ("hunter2", "POST / unsayable", "one() missing 1 required"))


def test_wrong_arguments_tell_nothing_else(browse):
    """With arguments that do not fit, a caller reads that, and not what an event raised before the call."""
    app = Saddle("test_parts")

    @app.before_request
    def fail(was):
        raise TypeError("hunter2")

    @app.route("/one")
    def one(was, number):
        return number

    call = json.dumps({"jsonrpc": "2.0", "method": "one", "id": 7}).encode()
    error = json.loads(browse(app).post("/", body=call, kind="application/json").text)["error"]
    assert error == {"code": -32602, "message": "one: missing a required argument: 'number'"}


def test_remote_calls_and_pages_mean_the_same(browse):
    """An exact route comes before a pattern, and an answer of 400 and more is a Fault."""
    app = Saddle("test_parts")

    @app.route("/users/<int:number>")
    def user(was, number=0):
        return f"user {number}"

    @app.route("/users")
    def users(was):
        return "all users"

    @app.route("/locked")
    def locked(was):
        return was.response("403 Forbidden", "denied")

    browser = browse(app)

    def call(method):
        body = xmlrpc.client.dumps((), method).encode()
        return xmlrpc.client.loads(browser.post("/", body=body, kind="text/xml").body)[0][0]

    assert call("users") == "all users"
    with pytest.raises(xmlrpc.client.Fault, match="Forbidden"):
        call("locked")


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_failing_startup_stops_nobody_else(browse, caplog, capfd, error):
    """A startup handler that raises is in the log by name; the others are called and the app serves."""
    app, part, called = Saddle("the_app"), Saddlery("the_part"), []
    app.mount("/part", part)

    @app.startup
    def start(wasc):
        raise error("no database")

    @part.startup
    def start_part(wasc):
        called.append("part")

    @app.route("/")
    def index(was):
        return "served"

    assert browse(app).get("/").text == "served"
    assert called == ["part"]
    logged = caplog.text + capfd.readouterr().err
    assert "startup of the_app" in logged
    assert "no database" in logged
    assert "NoServerError" not in logged


def test_a_request_waits_for_the_startup():
    """A second request is not served before the startup handlers are done; what these ask is."""
    app, order = Saddle("the_app"), []
    starting, go_on = threading.Event(), threading.Event()

    @app.startup
    def start(wasc):
        order.append(app.test_client().get("/own").text + app.build_url("serve", "x"))
        starting.set()
        assert go_on.wait(20)
        order.append("started")

    @app.route("/<name>")
    def serve(was, name):
        order.append(name)
        return name

    first, second = (
        threading.Thread(target=lambda name=name: app.test_client().get(f"/{name}"))
        for name in ("1st", "2nd")
    )
    first.start()
    assert starting.wait(20)
    second.start()
    second.join(0.1)  # as long as a request could take
    go_on.set()
    first.join()
    second.join()
    assert order[:3] == ["own", "own/x", "started"]
    assert sorted(order[3:]) == ["1st", "2nd"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"securekey": ["x", ""]}, "empty"),
        ({"securekey": "x", "session_timeout": -1}, "session_timeout is -1"),
        ({"authorization": "digest", "realm": "here"}, "app.users"),
        ({"authorization": "bearer", "realm": "here", "users": {}}, "not 'bearer'"),
    ],
)
def test_wrong_settings_are_logged_at_the_start(settings, words, caplog):
    """Who starts a server reads what is wrong then, not when the first visitor comes."""
    app = Saddle("the_app")
    for name, value in settings.items():
        setattr(app, name, value)
    app.begin()
    assert "expt:settings" in caplog.text
    assert words in caplog.text
    assert "NoServerError" not in caplog.text
