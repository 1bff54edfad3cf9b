"""All parts of a request to a Saddle app run in one context, under every server."""

import asyncio
from contextvars import ContextVar, copy_context
from wsgiref.util import setup_testing_defaults

import pytest

from serving import eventually
from skitai.saddle import Saddle

NUMBER = ContextVar("number")


@pytest.fixture
def app():
    return Saddle(__name__)


def number():
    return NUMBER.get(None)


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_handlers_view_and_body_share_a_context(app, browse, kind):
    """What one part sets the next one sees, and a token of one is reset in another, plain or async."""
    seen = []

    def part(name):
        """Return a handler that resets the token of the part before, and sets its own number."""

        def run(was, *_):
            seen.append((name, number()))
            if hasattr(was.g, "token"):
                NUMBER.reset(was.g.token)
            was.g.token = NUMBER.set(len(seen))

        async def run_async(was, *_):
            run(was)

        return run if kind == "plain" else run_async

    app.before_request(part("before"))
    app.finish_request(part("finish"))
    app.teardown_request(part("teardown"))
    view = part("view")

    @app.route("/plain")
    def plain(was):
        view(was)
        return pieces(was)

    @app.route("/async")
    async def coroutine(was):
        await view(was)
        return pieces(was)

    def pieces(was):
        note = part("piece")
        for _ in range(3):
            was.wait_for(note(was)) if kind == "async" else note(was)
            yield "piece "

    assert browse(app).get(f"/{kind}").text == "piece piece piece "
    names = ["before", "view", "piece", "finish", "teardown", "piece", "piece"]
    assert seen == [(name, count or None) for count, name in enumerate(names)]


def test_an_object_with_more_and_close(app, browse):
    """``more`` and ``close`` of an object that a view returned are in the request's context, with its app."""
    closed = []

    class Source:
        def __init__(self, token):
            self._token = token
            self._left = 3

        def more(self):
            NUMBER.reset(self._token)
            self._token = NUMBER.set(self._left)
            self._left -= 1
            return app.build_url("view") if self._left else ""

        def close(self):
            closed.append((number(), app.build_url("view")))
            NUMBER.reset(self._token)

    @app.route("/view")
    def view(was):
        return Source(NUMBER.set(0))

    page = browse(app, "/at").get("/view")
    assert page.text == "/at/view" * 2
    eventually(lambda: closed == [(1, "/at/view")], "the end of the object")  # it follows the last byte


def test_coroutines_after_a_wait(app, browse):
    """After an ``await`` a coroutine is still in the context, and its tokens are good there."""

    async def steps():
        token = NUMBER.set(1)
        await nothing()
        NUMBER.reset(token)
        return NUMBER.set(2)

    @app.route("/")
    async def view(was):
        return str(number())

    @app.before_request
    def before(was):
        NUMBER.reset(was.wait_for(steps()))
        NUMBER.set(3)

    assert browse(app).get("/").text == "3"


async def nothing():
    pass


def test_failures_and_handlers_of_errors(app, browse):
    """A handler of an error sees what the view has set, and so does ``failed_request``."""
    seen = []

    @app.failed_request
    async def failed(was, exc_info):
        seen.append(number())

    @app.error(KeyError)
    def handle(was, error):
        return str(number())

    @app.route("/")
    async def view(was):
        NUMBER.set(1)
        raise KeyError("k")

    assert browse(app).get("/").text == "1"
    assert seen == [1]


def test_functions_that_know_the_users(app, browse):
    """What an ``async def`` function of ``app.users`` sets is seen by the view."""

    async def check(name, password):
        NUMBER.set(name)
        return True

    app.authorization, app.realm, app.users = "basic", "Tea", check

    @app.route("/")
    def view(was):
        return number()

    assert browse(app).get("/", Authorization="Basic aGFuczpzZWNyZXQ=").text == "hans"


@pytest.mark.parametrize("kind", ["plain", "async", "streamed"])
def test_nothing_is_left_for_the_next_request(app, browse, kind):
    """The next request of the same thread sees no variable of this one, and neither does its server."""

    def use():
        found = number()
        NUMBER.set(1)
        return str(found)

    @app.route("/plain")
    def plain(was):
        return use()

    @app.route("/async")
    async def coroutine(was):
        return use()

    @app.route("/streamed")
    def streamed(was):
        yield " "
        yield use()

    browser = browse(app)
    assert [browser.get(f"/{kind}").text.strip() for _ in range(6)] == ["None"] * 6
    assert number() is None


def test_middleware_under_another_server(app):
    """Under a server without contexts of its own, the app sees what middleware has set."""

    @app.route("/")
    def view(was):
        yield f"{number()} "
        yield str(number())

    environ = {}
    setup_testing_defaults(environ)
    NUMBER.set(7)
    try:
        assert b"".join(app(environ, lambda *_: None)) == b"7 7"
    finally:
        NUMBER.set(None)


def test_a_view_in_a_context_that_is_entered(app):
    """Coroutines run under a server that calls the app by ``Context.run``, or in a loop, as tests may."""

    @app.route("/")
    async def view(was):
        await asyncio.sleep(0)
        NUMBER.set(number() + 1)
        return str(number())

    async def test():
        NUMBER.set(7)
        return copy_context().run(app.test_client().get, "/").text, number()

    assert asyncio.run(test()) == ("8", 7)
    context = copy_context()
    context.run(NUMBER.set, 1)
    assert context.run(app.test_client().get, "/").text == "2"


def test_an_app_within_an_app(app, browse):
    """An app that a view calls leaves the caller its own request, also while both send their pieces."""
    inner = Saddle("inner")

    @inner.route("/inner")
    def within(was):
        yield inner.build_url("within")
        yield inner.build_url("within")

    @app.route("/outer")
    def outer(was):
        environ = {**was.env, "SCRIPT_NAME": "/other", "PATH_INFO": "/inner"}
        for piece in inner(environ, lambda *_: None):
            yield piece + app.build_url("outer").encode() + b" "

    assert browse(app, "/at").get("/outer").text == "/other/inner/at/outer " * 2
