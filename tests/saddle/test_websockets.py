"""``@app.websocket``: the handshake through the app, and the call of the view, as a server does both."""

import pytest
from twisted.internet.defer import Deferred
from werkzeug.test import EnvironBuilder

import skitai
from skitai.context import current_view
from skitai.saddle import Saddle, Saddlery
from skitai.testing import FakeWas


class Socket:
    """A websocket whose peer has said all that it says."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.sent = []

    def send(self, message):
        self.sent.append(message)

    def __iter__(self):
        return iter(self.messages)

    async def __aiter__(self):
        for message in self.messages:
            yield message


@pytest.fixture(autouse=True)
def _no_view_is_left():
    """Views run in the thread of the tests, where a later test is in none of them."""
    token = current_view.set(None)
    yield
    current_view.reset(token)


@pytest.fixture
def app():
    return Saddle(__name__)


def handshake(app, path="/", **options):
    """Ask the app as the server does; return what it says and the status of its response."""
    environ = EnvironBuilder(path, **options).get_environ()
    environ["websocket_init"] = None
    answered = []
    body = app(environ, lambda *head: answered.extend(head))
    return environ["websocket_init"], answered[0], dict(answered[1]), b"".join(body)


def serve(init, ws):
    """Call the view as the server does."""
    with FakeWas():
        running = init.serve(ws)
        if running is not None:
            assert Deferred.fromCoroutine(running).called
    return ws.sent


def test_a_plain_function(app):
    """The view has ``was`` and the websocket, and runs until the peer has said all."""

    @app.websocket("/echo", keep_alive=60, subprotocols=["chat"])
    def echo(was, ws):
        for message in ws:
            ws.send(f"{was.request.get_scheme()} {message}")

    init, status, *_ = handshake(app, "/echo")
    assert status == "200 OK"
    assert (init.design, init.keep_alive, init.subprotocols) == (skitai.WEBSOCKET_DEDICATE, 60, ("chat",))
    assert serve(init, Socket("a", "b")) == ["http a", "http b"]


def test_a_coroutine_function(app):
    """A coroutine is run where coroutines run; it may await the services."""

    @app.websocket("/echo")
    async def echo(was, ws):
        async for message in ws:
            result = await was.get(f"http://dictionary/{message}")
            ws.send(result.text)

    init, *_ = handshake(app, "/echo")
    with FakeWas() as fake:
        fake.reply("get", "http://dictionary/a", b"alpha", delay=1)
        ws = Socket("a")
        running = Deferred.fromCoroutine(init.serve(ws))
        fake.clock.advance(1)
    assert running.called
    assert ws.sent == ["alpha"]


def test_arguments(app):
    """Path and query give arguments; no client can give the websocket."""

    @app.websocket("/rooms/<int:number>")
    def room(was, ws, number, name="?"):
        ws.send((number, name))

    init, *_ = handshake(app, "/rooms/7?name=a&ws=evil")
    assert serve(init, Socket()) == [(7, "a")]
    init, status, _, body = handshake(app, "/rooms/7?nmae=a", headers={"Accept": "application/json"})
    assert (init, status) == (None, "400 Bad Request")
    assert b"nmae" in body


def test_events_surround_the_handshake(app):
    """What they leave in ``was.g`` is there for the view; one that answers refuses the websocket."""

    @app.before_request
    def before(was):
        was.g.user = was.request.get_header("x-user")
        if was.g.user is None:
            return was.response("403 Forbidden", "who are you?")
        return None

    @app.teardown_request
    def after(was):
        was.g.torn_down = True

    @app.websocket("/")
    def hello(was, ws):
        ws.send((was.g.user, was.g.torn_down))

    assert handshake(app)[:2] == (None, "403 Forbidden")
    init, *_ = handshake(app, headers={"X-User": "ann"})
    assert serve(init, Socket()) == [("ann", True)]


def test_login(app):
    """Who is not logged in gets no websocket, but a challenge."""
    app.authorization, app.realm, app.user, app.password = "basic", "sockets", "ann", "secret"
    seen = []

    @app.websocket("/")
    def hello(was, ws):
        seen.append(was.request.user)

    init, status, headers, _ = handshake(app)
    assert (init, status) == (None, "401 Unauthorized")
    assert headers["WWW-Authenticate"].startswith("Basic")
    init, *_ = handshake(app, auth=("ann", "secret"))
    serve(init, Socket())
    assert seen == ["ann"]


def test_session_and_cookies_leave_with_the_handshake(app):
    """The fields of the app's answer are those of the handshake."""
    app.securekey = "k"

    @app.before_request
    def before(was):
        was.session.set("n", 1)

    @app.websocket("/")
    def hello(was, ws):
        ws.send(was.session.get("n"))

    init, _, headers, _ = handshake(app)
    assert "SESSION" in headers["Set-Cookie"]
    assert serve(init, Socket()) == [1]


def test_a_page_at_the_same_path(app):
    """A view of requests and one of websockets may share a path."""

    @app.route("/chat")
    def page(was):
        return "page"

    @app.websocket("/chat")
    def chat(was, ws):
        pass

    assert app.test_client().get("/chat").text == "page"
    assert handshake(app, "/chat")[0] is not None


def test_a_view_that_handles_both(app):
    """The README's way works beside it, also where the route lists its methods."""

    @app.route("/echo", methods=["GET"])
    def echo(was):
        if "websocket_init" in was.env:
            was.env["websocket_init"] = (skitai.WEBSOCKET_REQDATA, 60, "message")
            return ""
        return "plain"

    assert handshake(app, "/echo")[0] == (1, 60, "message")
    assert app.test_client().get("/echo").text == "plain"


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "WEBSOCKET"])
def test_a_request_without_a_handshake(app, method):
    """A path for websockets alone has no page, whatever the method."""

    @app.websocket("/chat")
    def chat(was, ws):
        pass

    response = app.test_client().open("/chat", method=method)
    assert response.status_code == 400
    assert "takes websockets only" in response.text


def test_allow_does_not_name_it(app):
    """The Allow field lists methods of HTTP."""

    @app.route("/chat", methods=["GET"])
    def page(was):
        return "page"

    @app.websocket("/chat")
    def chat(was, ws):
        pass

    response = app.test_client().post("/chat")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert app.test_client().options("/chat").headers["Allow"] == "GET, HEAD, OPTIONS"


def test_no_remote_method(app):
    """A websocket cannot be called by XML-RPC or JSON-RPC."""

    @app.websocket("/chat")
    def chat(was, ws):
        pass

    assert app.remote_methods() == {}


def test_parts(app):
    """A part has websockets below its path, and URLs are built as for pages."""
    part = Saddlery(__name__)

    @part.websocket("/<name>")
    def talk(was, ws, name):
        ws.send(name)

    app.mount("/chat", part)
    assert app.build_url("talk", "ann") == "/chat/ann"
    assert serve(handshake(app, "/chat/ann")[0], Socket()) == ["ann"]


def test_views_without_a_websocket(app):
    """A view that has no place for the websocket is refused where it is written."""
    with pytest.raises(TypeError, match=r"websocket '/a': view\(\) needs a parameter ws"):

        @app.websocket("/a")
        def view(was, socket):
            pass

    with pytest.raises(TypeError, match="is not a function"):
        app.websocket("/a")(7)


def test_a_view_that_raises(app):
    """What the view raises is the server's to log: the app has answered already."""

    @app.websocket("/")
    def view(was, ws):
        raise KeyError("x")

    with pytest.raises(KeyError):
        serve(handshake(app)[0], Socket())
