"""Sessions in a store on the server's side: a logout ends every copy of the cookie."""

import json
import threading

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from fixtureapps.sessionviews import session_app
from serving import eventually
from skitai.interfaces import ISessionStore
from skitai.saddle import Saddle
from skitai.saddle.visitor.session import COOKIE
from skitai.saddle.visitor.sessionstore import MemorySessions, StoredSessions


class Waiting:
    """A store whose methods are coroutines, as those of another machine."""

    def __init__(self):
        self.kept = MemorySessions()
        self.fails = False

    def __len__(self):
        return len(self.kept)

    async def load(self, key):
        if self.fails:
            raise ConnectionError("the store is away")
        return self.kept.load(key)

    async def create(self, key, data, seconds):
        self.kept.create(key, data, seconds)

    async def replace(self, key, data, seconds):
        return self.kept.replace(key, data, seconds)

    async def remove(self, key):
        self.kept.remove(key)


@pytest.fixture(params=[MemorySessions, Waiting])
def store(request):
    """Stores whose methods wait, and others."""
    return request.param()


@pytest.fixture
def app(store):
    """An app where visitors log in and out, and more."""
    app = session_app(store)

    @app.route("/large")
    def large(was):
        was.session["text"] = "x" * 20_000
        return "kept"

    @app.route("/part")
    def part(was, do="look"):
        was.session.mount("shop", path="/")
        if do == "set":
            was.session["cart"] = 1
        if do == "clear":
            was.session.clear()
        return str(was.session["cart"])

    @app.route("/fails")
    def fails(was):
        was.session["name"] = "thief"
        raise ValueError

    return app


def test_a_copy_of_the_cookie_ends_with_the_logout(app, store, browse):
    """The cookie is no session by itself: who has a copy has nothing after the logout (OWASP, sessions).

    Flask's sessions, and ours without a store, are good until they expire; Django's are in a store.
    """
    browser, thief = browse(app), browse(app)
    assert browser.get("/login/ann").text == "in"
    thief.cookies = dict(browser.cookies)
    assert [browser.get("/who").text, thief.get("/who").text] == ["ann", "ann"]
    assert browser.get("/logout").text == "out"
    assert browser.cookies == {}
    assert len(store) == 0
    assert thief.get("/who").text == "nobody"
    assert thief.cookies == {}


def test_a_login_begins_a_new_session(app, store, browse):
    """A cookie that was planted before the login is worth nothing after it (session fixation)."""
    browser, planted = browse(app), browse(app)
    browser.get("/login/mallory")
    planted.cookies = dict(browser.cookies)
    browser.get("/login/ann")
    assert [browser.get("/who").text, planted.get("/who").text] == ["ann", "nobody"]
    assert len(store) == 1


def test_coroutines_find_the_session(app, store, browse):
    """A coroutine runs in the reactor, where nothing may wait: the session is there before it begins."""
    browser = browse(app)
    assert browser.get("/async").text == "nobody"
    browser.get("/login/ann")
    assert [browser.get("/async").text, browser.get("/async").text] == ["ann", "ann"]
    assert len(store) == 1


def test_more_than_a_cookie_holds(app, browse):
    """What a session holds is not limited by the 4 KB of a cookie, which only has the ticket."""
    browser = browse(app)
    page = browser.get("/large")
    assert page.text == "kept"
    assert len(page["Set-Cookie"]) < 500


def test_named_sessions_end_by_themselves(app, store, browse):
    """Each session of a visitor has a ticket of its own."""
    browser = browse(app)
    browser.get("/login/ann")
    assert browser.get("/part?do=set").text == "1"
    copy = browse(app)
    copy.cookies = dict(browser.cookies)
    assert len(store) == 2
    browser.get("/part?do=clear")
    assert [copy.get("/part").text, copy.get("/who").text] == ["None", "ann"]


def test_a_view_that_fails_stores_nothing(app, store, browse):
    """As for cookies: what a failed view has changed is gone."""
    browser = browse(app)
    browser.get("/login/ann")
    assert browser.get("/fails").code == 500
    assert browser.get("/who").text == "ann"
    assert browse(app).get("/fails").code == 500
    assert len(store) == 1


def test_a_cookie_from_before_there_was_a_store(app, browse):
    """It is no ticket: a session that was taken over would come back after its logout."""
    app.session_store, store = None, app.session_store
    browser = browse(app)
    browser.get("/login/ann")
    app.session_store = store
    assert browser.get("/who").text == "nobody"


@pytest.mark.parametrize("threads", [4, 0])
def test_a_slow_request_does_not_bring_a_session_back(app, store, serve, threads):
    """A request that began before the logout and ends after it must not undo it."""
    began, ended = threading.Event(), threading.Event()

    @app.route("/slow")
    def slow(was):
        was.session["seen"] = True
        began.set()
        assert ended.wait(60)
        return "slow"

    if threads == 0:  # a greenlet that blocks would hold up the logout: its end is made by hand
        keep = StoredSessions.save

        def save(self, cookie, ticket, held):
            if ticket is not None and "seen" in held["values"]:
                self.end(cookie, ticket)
            return keep(self, cookie, ticket, held)

        ended.set()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StoredSessions, "save", save)
            server = serve(app, threads=threads)
            cookie = server.ask("/login/ann")["Set-Cookie"].partition(";")[0]
            page = server.ask("/slow", fields=[("Cookie", cookie)])
    else:
        server = serve(app, threads=threads)
        cookie = server.ask("/login/ann")["Set-Cookie"].partition(";")[0]
        pages = []
        asking = threading.Thread(
            target=lambda: pages.append(server.ask("/slow", fields=[("Cookie", cookie)]))
        )
        asking.start()
        assert began.wait(60)
        server.ask("/logout", fields=[("Cookie", cookie)])
        ended.set()
        asking.join()
        (page,) = pages
    assert (page.body, "max-age=0" in page["Set-Cookie"]) == (b"slow", True)
    assert len(store) == 0
    assert server.ask("/who", fields=[("Cookie", cookie)]).body == b"nobody"


def test_a_store_that_is_away_fails_the_request(browse):
    """A session that cannot be read is no empty one: the request fails, and the cookie stays."""
    store = Waiting()
    app = Saddle("test_session_store")
    app.securekey, app.session_store = "a secret of 32 characters or more", store
    app.route("/set")(lambda was: was.session.set("a", 1) or "set")

    @app.route("/async")
    async def waits(was):
        return "done"

    browser = browse(app)
    browser.get("/set")
    store.fails = True
    for path in ("/set", "/async"):
        page = browser.get(path)
        assert (page.code, page["Set-Cookie"]) == (500, None)
    assert COOKIE in browser.cookies


def test_the_memory_of_one_worker():
    """Where other workers serve, too, a visitor would be logged out by chance: the log says so once."""
    app, said = session_app(MemorySessions()), []

    @app.before_request
    def listen(was):
        was.log = lambda text, category: said.append((category, text))

    for several in (False, True, True):
        app.test_client().get("/login/ann", environ_overrides={"wsgi.multiprocess": several})
    ((category, text),) = said
    assert category == "warning"
    assert "several" in text


def test_a_store_that_no_plugin_brings(browse):
    """The name of a store is looked up among what plugins give; the log says what is missing."""
    app = Saddle("test_session_store")
    app.securekey, app.session_store = "a secret of 32 characters or more", "papyrus"
    app.route("/")(lambda was: was.session["a"])
    found = []
    app.failed_request(lambda was, exc_info: found.append(str(exc_info[1])))
    assert browse(app).get("/").code == 500
    assert "app.session_store is 'papyrus', and no plugin brings such a store" in found[0]


def test_the_contract():
    """What any store must do, here that in memory."""
    clock = Clock()
    store = MemorySessions(seconds=clock.seconds)
    verifyObject(ISessionStore, store)
    assert store.load("a") is None
    assert store.replace("a", b"1", 10) is False
    store.create("a", b"1", 10)
    clock.advance(9)
    assert (store.load("a"), store.replace("a", b"2", 10)) == (b"1", True)
    clock.advance(9)
    assert store.load("a") == b"2"
    clock.advance(1)
    assert (store.load("a"), store.replace("a", b"3", 10)) == (None, False)
    store.create("b", b"1", 10)
    store.remove("b")
    store.remove("b")
    assert store.load("b") is None


def test_memory_is_bounded():
    """Expired sessions go from time to time, and beyond the maximum those that would expire first."""
    clock = Clock()
    store = MemorySessions(10, seconds=clock.seconds)
    for number in range(10):
        store.create(str(number), b"", 10 + number)
    store.create("new", b"", 100)
    assert (store.load("0"), store.load("9"), len(store)) == (None, b"", 10)
    clock.advance(50)
    store.create("newer", b"", 100)
    assert (len(store), store.load("new")) == (2, b"")
    large = MemorySessions(seconds=clock.seconds)
    for number in range(2500):
        large.create(str(number), b"", 1)
        clock.advance(1)
    assert len(large) < 1001


def test_tickets_are_not_in_the_store():
    """Who can read the store has no ticket: keys are hashes."""
    store = MemorySessions()
    stored = StoredSessions(store, 60, wait_for=None)
    ticket = stored.save(COOKIE, None, {"values": {"a": 1}})
    ((key, (data, _)),) = store._kept.items()
    assert ticket not in key
    assert json.loads(data) == {"values": {"a": 1}}
    assert stored.load("OTHER", ticket) is None
    stored.end(COOKIE, ticket)
    assert stored.save(COOKIE, ticket, {}) is None
    eventually(lambda: len(store) == 0)
