"""was.session: what is remembered, for how long, and whom it believes."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.seal import SealedTooLargeError, SecureBox
from skitai.saddle.visitor.session import HIDDEN, Sessions

TIMEOUT = 1200
HOME, AWAY = "192.0.2.1", "198.51.100.7"
BOX = SecureBox("ds8fdsflksdjf9879dsf;?<>Asda")


class Visitor:
    """A browser and the app's sessions; ``lines`` are what was logged."""

    def __init__(self, box=BOX, timeout=TIMEOUT):
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.lines = []
        self.sessions = Sessions(box, timeout, seconds=self.clock.seconds, warn=self.lines.append)

    def load(self, cookie, remote_addr=HOME):
        return self.sessions.load(cookie, remote_addr)

    def cookie_with(self, **values):
        """The cookie of a session that holds ``values``."""
        session = self.load(None)
        session.update(values)
        return self.sessions.save(session)

    def request(self, header, remote_addr=HOME):
        """The cookies and the session of a request with this Cookie field."""
        cookies = Cookies(header, hidden=HIDDEN, seconds=self.clock.seconds)
        read = cookies.read_hidden
        return cookies, self.sessions.load(read("SESSION"), remote_addr, read=read)


@pytest.fixture
def visitor():
    return Visitor()


def test_what_is_set_is_there_in_the_next_request(visitor):
    """README's example: set by method or item, read in the next request."""
    session = visitor.load(None)
    if "login" not in session:
        session.set("user_id", "hansroh")
        session["cart"] = [{"id": 1}]
    session = visitor.load(visitor.sessions.save(session))
    assert session["user_id"] == session.get("user_id") == "hansroh"
    assert session["cart"] == [{"id": 1}]
    assert visitor.lines == []


def test_a_missing_key_is_none(visitor):
    """Item access to what is not there is None, as in 0.15."""
    assert visitor.load(None)["nobody"] is None


def test_the_cookie_is_encrypted(visitor):
    """Neither names nor values can be read in the browser."""
    cookie = visitor.cookie_with(user_id="hansroh")
    raw = base64.urlsafe_b64decode(cookie + "==")
    assert b"hansroh" not in raw
    assert b"user_id" not in raw


def test_a_session_nobody_looked_at_is_left_alone(visitor):
    """Without a look at the session no cookie is set."""
    assert visitor.sessions.save(visitor.load(visitor.cookie_with(a=1))) is None
    assert visitor.sessions.save(visitor.load(None)) is None


@pytest.mark.parametrize(
    "look",
    [
        lambda session: session["a"],
        lambda session: session.get("a"),
        lambda session: "b" in session,
        list,
        lambda session: session.getv("a"),
        lambda session: session.a,
    ],
)
def test_every_look_makes_it_last(visitor, look):
    """Reading, by whatever method, starts the timeout anew."""
    cookie = visitor.cookie_with(a=1)
    for _ in range(3):
        visitor.clock.advance(TIMEOUT - 1)
        session = visitor.load(cookie)
        look(session)
        cookie = visitor.sessions.save(session)
    assert visitor.load(cookie)["a"] == 1


def test_it_expires(visitor):
    """After session_timeout the session is empty, the cookie is removed, and one line is logged."""
    cookie = visitor.cookie_with(a=1)
    visitor.clock.advance(TIMEOUT)
    session = visitor.load(cookie)
    assert len(session) == 0
    assert visitor.sessions.save(session) == ""
    assert visitor.lines == [f"the cookie SESSION from {HOME} is no session: expired; it starts empty"]


def test_a_shorter_timeout_holds_for_old_cookies_too():
    """A stamp further ahead than session_timeout allows is refused; a small difference of clocks is not."""
    cookie = Visitor(timeout=TIMEOUT).cookie_with(a=1)
    assert Visitor(timeout=TIMEOUT - 60).load(cookie)["a"] == 1
    short = Visitor(timeout=60)
    assert short.load(cookie)["a"] is None
    assert "later than session_timeout allows" in short.lines[0]


def test_an_emptied_session_is_removed(visitor):
    """Nothing left, by clear or key by key: the cookie goes."""
    for empty in (lambda session: session.clear(), lambda session: session.remove("a")):
        session = visitor.load(visitor.cookie_with(a=1))
        empty(session)
        assert visitor.sessions.save(session) == ""


def test_a_list_changed_in_place_is_kept(visitor):
    """What a view appends to a list it got from the session is there next time."""
    session = visitor.load(visitor.cookie_with(cart=[1]))
    session["cart"].append(2)
    assert visitor.load(visitor.sessions.save(session))["cart"] == [1, 2]


def test_values_are_json(visitor):
    """A value that JSON cannot keep is a TypeError with key and type; the session stays as it was."""
    session = visitor.load(None)
    session["a"] = 1
    with pytest.raises(TypeError, match=r"session\['a'\] is a set that JSON cannot keep"):
        session["a"] = {1}
    assert session["a"] == 1


def test_a_list_spoiled_in_place_is_named(visitor):
    """What was appended to a list and is no JSON is named when the session is saved."""
    session = visitor.load(visitor.cookie_with(cart=[1]))
    session["cart"].append(object())
    with pytest.raises(TypeError, match=r"session\['cart'\] is a list"):
        visitor.sessions.save(session)


def test_keys_are_text(visitor):
    """A key that is not a str is a TypeError that shows it."""
    with pytest.raises(TypeError, match=r"keys must be text, not int \(5\)"):
        visitor.load(None)[5] = 1


def test_too_much_is_an_error(visitor):
    """More than a cookie holds is an error that names the session."""
    session = visitor.load(None)
    session["a"] = "x" * 5000
    with pytest.raises(SealedTooLargeError, match="the session SESSION takes"):
        visitor.sessions.save(session)


def test_the_source_is_verified(visitor):
    """The address of the last access is compared with this one's; getv trusts only the same."""
    cookie = visitor.cookie_with(a=1)
    assert visitor.load(cookie, HOME).source_verified()
    assert visitor.load(cookie, HOME).getv("a") == 1
    elsewhere = visitor.load(cookie, AWAY)
    assert not elsewhere.source_verified()
    assert elsewhere.getv("a", "no") == "no"
    assert elsewhere.get("a") == 1
    assert visitor.load(visitor.sessions.save(elsewhere), AWAY).source_verified()


def test_a_new_session_is_its_own_source(visitor):
    """What this very request has set is to be trusted."""
    session = visitor.load(None)
    session["a"] = 1
    assert session.getv("a") == 1


@pytest.mark.parametrize(
    "forge",
    [
        lambda cookie: cookie[:-1],
        lambda cookie: cookie[: len(cookie) // 2],
        lambda cookie: cookie * 100,
        lambda cookie: "x" + cookie[1:],
        lambda cookie: "gASVBAAAAAAAAABLAS4=?a=gARLAS4=",
        lambda cookie: Visitor(SecureBox("another key")).cookie_with(a=1),
        lambda cookie: BOX.seal("the messages NOTIS", [], expires=None, now=0),
    ],
    ids=["cut", "half", "oversized", "tampered", "of-0.15", "foreign", "other-purpose"],
)
def test_a_bad_cookie_is_an_empty_session_and_one_line(visitor, forge):
    """Whatever is wrong with a cookie: empty session, one log line; it may be another app's and stays."""
    session = visitor.load(forge(visitor.cookie_with(a=1)))
    assert dict(session) == {}
    assert visitor.sessions.save(session) is None
    assert len(visitor.lines) == 1
    assert "\n" not in visitor.lines[0]


@settings(deadline=None)
@given(st.text())
def test_no_invented_cookie_is_a_session(text):
    """No text that the app has not sealed holds anything."""
    assert dict(Visitor().load(text)) == {}


def test_a_good_session_replaces_a_bad_one(visitor):
    """A view may fill the session that began empty because its cookie was bad."""
    session = visitor.load("bad")
    session["a"] = 1
    assert visitor.load(visitor.sessions.save(session))["a"] == 1


def test_store_writes_the_cookie(visitor):
    """The session's cookie lasts as long as the session, is HttpOnly and SameSite=Lax."""
    cookies, session = visitor.request("")
    session["a"] = 1
    visitor.sessions.store(session, cookies)
    ((_, field),) = cookies.headers()
    assert field.startswith("SESSION=")
    assert field.endswith("GMT; max-age=1200; HttpOnly; SameSite=Lax")
    _, session = visitor.request(field.partition(";")[0])
    assert session["a"] == 1


def test_named_sessions_are_apart(visitor):
    """After mount the session stands for the named one; each has a cookie of its own."""
    cookies, session = visitor.request("")
    session["who"] = "visitor"
    assert not session.exists("ADM")
    session.mount("ADM", path="/admin")["who"] = "admin"
    assert session.exists("ADM")
    assert session.mount()["who"] == "visitor"
    visitor.sessions.store(session, cookies)
    fields = [field for _, field in cookies.headers()]
    assert [field.partition("=")[0] for field in fields] == ["SESSION", "SESSION_ADM"]
    assert "; path=/admin; " in fields[1]

    _, session = visitor.request("; ".join(field.partition(";")[0] for field in fields))
    assert session.exists("ADM")
    assert session.mount("ADM")["who"] == "admin"
    assert not session.exists("OTHER")


class Jar:
    """The cookies of a browser, by name and path; those of the longest path are sent first."""

    def __init__(self):
        self.held = {}

    def take(self, cookies):
        for _, field in cookies.headers():
            pair, *attributes = field.split("; ")
            name, _, value = pair.partition("=")
            path = next(each[5:] for each in attributes if each.startswith("path="))
            self.held.pop((name, path), None)
            if "max-age=0" not in attributes:
                self.held[name, path] = value

    def header(self, url):
        sent = [(path, name, value) for (name, path), value in self.held.items() if url.startswith(path)]
        return "; ".join(
            f"{name}={value}" for path, name, value in sorted(sent, key=lambda each: -len(each[0]))
        )


def test_a_named_session_keeps_its_path(visitor):
    """Once begun at a path, a session is the same one for views that do not name the path, to its end."""
    jar = Jar()

    def request(work, **mounting):
        cookies, session = visitor.request(jar.header("/named/page"))
        result = work(session.mount("shop", **mounting))
        visitor.sessions.store(session, cookies)
        jar.take(cookies)
        return result

    request(lambda session: session.set("a", 1), path="/named")
    assert list(jar.held) == [("SESSION_shop", "/named")]
    request(lambda session: session.set("a", 2))
    request(lambda session: session.set("b", 3), path="/")
    assert request(dict, path="/named") == request(dict) == {"a": 2, "b": 3}
    assert list(jar.held) == [("SESSION_shop", "/named")]
    request(lambda session: session.clear())
    assert jar.held == {}


def test_a_session_does_not_pass_for_another(visitor):
    """The cookie of one named session, renamed by a visitor, opens no other."""
    cookie = visitor.cookie_with(admin=True)
    _, session = visitor.request(f"SESSION_ADM={cookie}")
    assert not session.exists("ADM")
    assert len(visitor.lines) == 1


def test_asking_whether_it_exists_does_not_make_it_last(visitor):
    """exists() is no look at the session."""
    cookies, session = visitor.request(f"SESSION={visitor.cookie_with(a=1)}")
    assert session.exists()
    visitor.sessions.store(session, cookies)
    assert cookies.headers() == []


@pytest.mark.parametrize("name", ["", "a b", "a;b", "ä", "x" * 41, 5])
def test_bad_session_names_are_refused(visitor, name):
    """A name that could not be part of a cookie's is a ValueError."""
    with pytest.raises(ValueError, match="a session's name must be 1 to 40"):
        visitor.load(None).mount(name)


def test_what_saddle_keeps_is_not_the_apps(visitor):
    """Saddle's own entries are not among the keys, keep the cookie alive, and go with clear()."""
    session = visitor.load(None)
    session.saddle_private["csrf"] = "secret"
    assert len(session) == 0
    session = visitor.load(visitor.sessions.save(session))
    assert session.saddle_private == {"csrf": "secret"}
    session.clear()
    assert visitor.sessions.save(session) == ""


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_is_positive(timeout):
    """A session_timeout that would end sessions before they begin is refused when the app starts."""
    with pytest.raises(ValueError, match="session_timeout is"):
        Sessions(BOX, timeout)
