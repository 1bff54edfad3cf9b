"""What caches are told of responses that depend on cookies, or that bring one visitor a cookie of his own."""

import pytest

from skitai.http.fields import split_list
from skitai.saddle import HTTPError, Saddle
from skitai.saddle.outgoing.caching import private, varying_by


@pytest.fixture
def app():
    """An app with a key, which knows its visitors."""
    app = Saddle("test_shared_caches")
    app.securekey = "a secret of 32 characters or more"

    @app.route("/plain")
    def plain(was):
        was.response["Vary"] = "Accept"
        return "the same for all"

    @app.route("/sets")
    def sets(was):
        was.cookie.set("tea", "green")
        return "the same for all"

    @app.route("/cookie")
    def cookie(was):
        was.response["Vary"] = "Accept"
        return was.cookie.get("tea") or "none"

    @app.route("/session")
    def session(was):
        was.response["Cache-Control"] = "public, max-age=60"
        was.session["seen"] = (was.session["seen"] or 0) + 1
        return str(was.session["seen"])

    @app.route("/message")
    def message(was):
        return [each.msg for each in was.mbox.get()]

    @app.route("/token")
    def token(was):
        return was.csrf_token()

    @app.route("/member")
    def member(was):
        if not was.session["name"]:
            raise HTTPError(403, "members only")
        return "welcome"

    @app.route("/fails")
    def fails(was):
        raise ValueError(was.session["name"])

    @app.route("/pieces")
    def pieces(was):
        yield str(was.session["seen"])
        yield "."

    return app


def varies(page):
    """The members of Vary."""
    return [member.lower() for field in page.all("Vary") for member in split_list(field)]


def test_what_was_read_of_cookies_stands_in_vary(app, browse):
    """A cache that many share must not give one visitor's page to another (RFC 9110, 12.5.5).

    Flask and Django add ``Vary: Cookie`` where the session was looked at; here it is also for cookies,
    messages and tokens, for errors that came of them, and for a body in pieces.
    """
    browser = browse(app)
    read = {
        path: "cookie" in varies(browser.get(path))
        for path in ("/cookie", "/session", "/message", "/token", "/member", "/fails", "/pieces")
    }
    assert read == dict.fromkeys(read, True)
    assert {"accept", "cookie"} <= set(varies(browser.get("/cookie")))
    for path in ("/plain", "/sets", "/nowhere"):
        assert "cookie" not in varies(browser.get(path)), path


def test_public_beside_a_cookie_is_made_private(app, browse):
    """Set-Cookie does not keep caches from storing a response (RFC 9111, 7.3): ``public`` would share it."""
    lines = []
    app.before_request(lambda was: setattr(was, "log", lambda text, category: lines.append((category, text))))
    browser = browse(app)
    pages = [browser.get("/session") for _ in range(2)]
    assert [page["Cache-Control"] for page in pages] == ["max-age=60, private"] * 2
    assert [page.text for page in pages] == ["1", "2"]
    assert all("SESSION=" in page["Set-Cookie"] for page in pages)
    ((category, line),) = lines  # once for each route
    assert category == "warning"
    assert line.startswith("GET /session: Cache-Control: public, max-age=60 beside Set-Cookie")


@pytest.mark.parametrize(
    ("written", "sent", "said"),
    [
        (["public"], "private", True),
        (["Public, MAX-AGE=5, must-revalidate"], "MAX-AGE=5, must-revalidate, private", True),
        (["max-age=5", "s-maxage=9"], "max-age=5, private", True),
        (['public, private="X-Name"'], "private", True),
        (["max-age=5"], "max-age=5, private", False),
        (["private, max-age=5"], "private, max-age=5", False),
        (["no-store"], "no-store", False),
        (["max-age=0"], "max-age=0", False),
        (["no-cache"], "no-cache", False),
    ],
)
def test_who_may_keep_a_response_with_a_cookie(written, sent, said):
    """Only what lets a shared cache keep it is changed; who said ``public`` or ``s-maxage`` is told."""
    fields, complaint = private([("X", "1"), *(("Cache-Control", value) for value in written)])
    assert ", ".join(value for name, value in fields if name == "Cache-Control") == sent
    assert bool(complaint) is said


def test_expires_alone_lets_caches_keep_a_response():
    """A time of expiry is enough for any cache (RFC 9111, section 3), unless max-age says more."""
    assert private([("Expires", "later")])[0] == [("Expires", "later"), ("Cache-Control", "private")]
    fields = [("Expires", "later"), ("Cache-Control", "max-age=0")]
    assert private(fields) == (fields, "")


def test_vary_is_one_field_without_repetition():
    """What is there stays, in one field; ``*`` says everything."""
    assert varying_by("Cookie", [("vary", "A, B"), ("Vary", "C")]) == [("Vary", "A, B, C, Cookie")]
    for value in ("*", "Accept, cookie"):
        assert varying_by("Cookie", [("Vary", value)]) == [("Vary", value)]
