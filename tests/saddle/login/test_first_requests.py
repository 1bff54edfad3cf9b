"""Requests that come without credentials: a browser's preflight, and what a client makes of the challenge."""

import threading
import urllib.request
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from skitai.saddle import Saddle

PREFLIGHT = {"Origin": "https://elsewhere.example", "Access_Control_Request_Method": "PUT"}


@pytest.fixture(params=["basic", "digest"])
def app(request):
    """An app for one user."""
    app = Saddle("test_first_requests")
    app.authorization, app.realm = request.param, "here"
    app.user, app.password = "ann", "hidden"

    @app.route("/any")
    def every(was):
        return f"for {was.request.user}"

    @app.route("/own", methods=["PUT", "OPTIONS"])
    def own(was):
        if was.request.method == "OPTIONS":
            return was.response("204 No Content", "", {"Access-Control-Allow-Methods": "PUT"})
        return f"for {was.request.user}"

    return app


def test_a_preflight_is_answered_before_authentication(app, browse):
    """A browser sends no credentials with it (Fetch standard, CORS preflight), so a 401 would shut pages out.

    Flask-HTTPAuth lets all OPTIONS pass, django-cors-headers and Starlette answer a preflight before the app.
    """
    browser = browse(app)
    page = browser.get("/own", "OPTIONS", **PREFLIGHT)
    assert (page.code, page["Access-Control-Allow-Methods"]) == (204, "PUT")
    page = browser.get("/any", "OPTIONS", **PREFLIGHT)
    assert (page.code, page.body, "PUT" in page["Allow"]) == (200, b"", True)


def test_nothing_else_passes_for_a_preflight(app, browse):
    """Any other method, and OPTIONS that no browser sends for CORS, need a login."""
    browser = browse(app)
    for method in ("GET", "PUT", "POST", "HEAD"):
        assert browser.get("/own", method, **PREFLIGHT).code == 401
        assert browser.get("/any", method, **PREFLIGHT).code == 401
    for field in PREFLIGHT:
        assert browser.get("/own", "OPTIONS", **{field: PREFLIGHT[field]}).code == 401
    assert browser.get("/own", "OPTIONS").code == 401


class Quiet(WSGIRequestHandler):
    """Logs nothing."""

    def log_message(self, *_arguments):
        """Say nothing."""


def urllib_opener(url):
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, url, "ann", "hidden")
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPDigestAuthHandler(passwords)
    )


def digest_app(**settings):
    app = Saddle("test_first_requests")
    app.authorization, app.realm = "digest", "here"
    app.user, app.password = "ann", "hidden"
    for name, value in settings.items():
        setattr(app, name, value)
    app.route("/")(lambda was: was.request.user)
    return app


@pytest.mark.parametrize("algorithms", [("MD5",), ("MD5", "SHA-256")])
def test_the_client_of_the_standard_library(serve, algorithms):
    """urllib looks at the first challenge and knows MD5 only (until Python 3.14): the order can be given."""
    server = serve(digest_app(digest_algorithms=algorithms))
    url = f"http://127.0.0.1:{server.address}/"
    with urllib_opener(url).open(url, timeout=30) as answer:
        assert answer.read() == b"ann"


def test_the_order_is_the_best_first(serve):
    """A client takes the first algorithm that it supports (RFC 7616, 3.7), so MD5 comes last unless asked."""
    page = serve(digest_app()).ask("/")
    assert [field.partition("algorithm=")[2].partition(",")[0] for field in page.all("WWW-Authenticate")] == [
        "SHA-256",
        "MD5",
    ]


@pytest.mark.parametrize("algorithms", [(), "MD5", ("SHA-1",)])
def test_algorithms_that_are_none(algorithms):
    """A setting that can serve nobody is an error that names what there is."""
    app = digest_app(digest_algorithms=algorithms)
    with pytest.raises(ValueError, match="algorithms of Digest must be some of"):
        _ = app._authenticator


def test_an_algorithm_that_is_not_offered_is_refused():
    """Credentials of MD5 do not count where only SHA-256 is offered."""
    app = digest_app(digest_algorithms=("SHA-256",))
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(ValueError, match=r"Unsupported digest|HTTP Error 401"):
            urllib_opener(url).open(url, timeout=30)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
