"""CSRF tokens: bound to one visitor, masked anew on each page, and never forged."""

from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.saddle.visitor.cookies import Cookies
from skitai.saddle.visitor.csrf import COOKIE, Csrf, submitted_token
from skitai.saddle.visitor.seal import SecureBox
from skitai.saddle.visitor.session import Sessions

NOW = 1_800_000_000.0
BOX = SecureBox("key")


class InSession:
    """A visitor whose secret is in the session."""

    def __init__(self):
        self.sessions = Sessions(BOX, 60, seconds=lambda: NOW)
        self.next_request(None)

    def next_request(self, cookie):
        self.session = self.sessions.load(cookie, "::1")
        self.csrf = Csrf.in_session(self.session)

    def end_request(self):
        self.next_request(self.sessions.save(self.session))


class InCookie:
    """A visitor of an app without securekey."""

    def __init__(self):
        self.header = ""
        self.next_request()

    def next_request(self):
        self.cookies = Cookies(self.header, hidden=(COOKIE,))
        self.csrf = Csrf.in_cookie(self.cookies, BOX, NOW)

    def end_request(self):
        for _, field in self.cookies.headers():
            self.header = field.partition(";")[0]
        self.next_request()


@pytest.fixture(params=[InSession, InCookie])
def visitor(request):
    return request.param()


def test_a_token_is_good_in_the_next_requests(visitor):
    """What a page was given is accepted from its form, also after other pages."""
    token = visitor.csrf.token()
    assert visitor.csrf.check(token)
    for _ in range(2):
        visitor.end_request()
        assert visitor.csrf.check(token)
        visitor.csrf.token()


def test_no_two_pages_have_the_same_token(visitor):
    """Each token is masked anew, and all of them are good."""
    tokens = {visitor.csrf.token() for _ in range(20)}
    assert len(tokens) == 20
    assert all(visitor.csrf.check(token) for token in tokens)
    beginnings = {token[40:50] for token in tokens} | {token[-10:-2] for token in tokens}
    assert len(beginnings) == 40


def test_a_token_is_one_visitors(visitor):
    """Another visitor's token is refused."""
    visitor.csrf.token()
    stranger = type(visitor)()
    assert not visitor.csrf.check(stranger.csrf.token())


def test_without_a_secret_nothing_is_accepted(visitor):
    """A visitor who never got a token has none to show."""
    assert not visitor.csrf.check(type(visitor)().csrf.token())
    assert not visitor.csrf.check("")


@pytest.mark.parametrize("token", [None, "", "x", "ä", "A" * 88, "=" * 88])
def test_bad_tokens_are_refused(visitor, token):
    """Missing, short, undecodable and zero tokens are refused without an exception."""
    visitor.csrf.token()
    assert not visitor.csrf.check(token)


@settings(deadline=None)
@given(st.text() | st.binary(min_size=64, max_size=64).map(lambda raw: b64encode(raw).decode()))
def test_invented_tokens_are_refused(token):
    """No text but a token of this visitor's is accepted."""
    visitor = InCookie()
    visitor.csrf.token()
    assert not visitor.csrf.check(token)


@settings(deadline=None)
@given(st.integers(0, 87))
def test_cut_tokens_are_refused(length):
    """The beginning of a token is not enough."""
    visitor = InCookie()
    assert not visitor.csrf.check(visitor.csrf.token()[:length])


def test_clearing_the_session_ends_its_tokens():
    """After session.clear(), as at a login or logout, older tokens are worth nothing."""
    visitor = InSession()
    old = visitor.csrf.token()
    visitor.session.clear()
    assert not visitor.csrf.check(old)
    new = visitor.csrf.token()
    visitor.end_request()
    assert visitor.csrf.check(new)
    assert not visitor.csrf.check(old)


def test_a_forged_cookie_is_a_new_secret():
    """A cookie that the server has not sealed, such as one a neighbour domain sets, is not believed."""
    visitor = InCookie()
    visitor.header = f"{COOKIE}={'00' * 32}"
    visitor.next_request()
    token_of_the_forged_secret = b64encode(bytes(64)).decode()
    assert not visitor.csrf.check(token_of_the_forged_secret)
    assert visitor.csrf.check(visitor.csrf.token())
    assert not visitor.csrf.check(token_of_the_forged_secret)


def test_looking_at_a_named_session_keeps_the_token():
    """The secret is in the first session, whichever is mounted when the token is made."""
    visitor = InSession()
    visitor.session.mount("ADM")
    token = visitor.csrf.token()
    visitor.end_request()
    assert visitor.csrf.check(token)


@pytest.mark.parametrize(
    ("environ", "form", "token"),
    [
        ({"HTTP_X_CSRF_TOKEN": "a"}, {}, "a"),
        ({}, {"csrf_token": "b"}, "b"),
        ({"HTTP_X_CSRF_TOKEN": "a"}, {"csrf_token": "b"}, "a"),
        ({"HTTP_X_CSRF_TOKEN": ""}, {"csrf_token": "b"}, "b"),
        ({}, {"csrf_token": ["b", "c"]}, None),
        ({}, {}, None),
    ],
)
def test_where_a_token_is_looked_for(environ, form, token):
    """The header comes first, then the form field; several values are none."""
    assert submitted_token(environ, form) == token
