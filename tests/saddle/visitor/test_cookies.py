"""was.cookie: what a request brought, and the Set-Cookie fields of its answer."""

from http.cookies import SimpleCookie

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from skitai.errors import SkitaiError
from skitai.saddle.visitor.cookies import Cookies, CookieTooLargeError, parse_cookies


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(1_800_000_000)
    return clock


def fields(cookies):
    """The values of the Set-Cookie fields."""
    assert {name for name, _ in cookies.headers()} <= {"Set-Cookie"}
    return [value for _, value in cookies.headers()]


def test_a_request_without_cookies_sets_none():
    """Reading leaves the answer alone."""
    cookies = Cookies("")
    assert cookies.get("a") is None
    assert cookies.headers() == []


def test_cookies_of_a_request_are_seen():
    """Names and values come from the Cookie field, percent-encoded; a plus is a plus (RFC 6265, 4.1.1)."""
    assert dict(Cookies("user_id=han%20sroh; sum=1+1; lang=%ED%95%9C; empty=")) == {
        "user_id": "han sroh",
        "sum": "1+1",
        "lang": "한",
        "empty": "",
    }


def test_a_missing_cookie_is_a_key_error():
    """Item access says which cookie is missing."""
    with pytest.raises(KeyError, match="user_id"):
        Cookies("")["user_id"]


def test_a_cookie_set_is_seen_at_once_and_sent():
    """README's example: set where missing, in the form that ``encodeURIComponent`` of a page writes."""
    cookies = Cookies("")
    if "user_id" not in cookies:
        cookies.set("user_id", "han sroh")
    assert cookies["user_id"] == "han sroh"
    assert fields(cookies) == ["user_id=han%20sroh; path=/; SameSite=Lax"]


def test_a_browser_brings_back_what_was_set():
    """Set-Cookie's name=value, returned as it is, reads as what was set; the second request sets nothing."""
    first = Cookies("")
    first["user_id"] = "hans; roh=+한%\r\n"
    second = Cookies(fields(first)[0].partition(";")[0])
    assert second["user_id"] == first["user_id"]
    assert second.headers() == []


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_any_text_travels(value):
    """Every text comes back as it was, and the field has neither controls nor a second attribute."""
    cookies = Cookies("")
    cookies.set("k", value)
    (field,) = fields(cookies)
    assert field.isascii()
    assert field.isprintable()
    assert field.count(";") == 2
    assert Cookies(field.partition(";")[0])["k"] == value


@settings(deadline=None)
@given(st.text())
def test_any_header_is_readable(header):
    """No Cookie field raises, and everything read from one can be removed again."""
    cookies = Cookies(header)
    count = len(cookies)
    cookies.clear()
    assert not cookies
    assert len(cookies.headers()) == count


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=1;b=2 ;c = 3", {"a": "1", "b": "2", "c": "3"}),
        ('a="quoted"; b="', {"a": "quoted", "b": '"'}),
        ("novalue; =noname; a[b]=c; ok=1;;", {"ok": "1"}),
        ("a=x=y", {"a": "x=y"}),
        ("a=special; a=general", {"a": "special"}),
        ("a=%zz%4; b=%ff", {"a": "%zz%4", "b": "\ufffd"}),
        ("a=\xed\x95\x9c", {"a": "한"}),
    ],
)
def test_odd_cookie_fields(header, expected):
    """Spaces, quotes, broken pairs, repeated names, bad escapes and raw UTF-8 each have one reading."""
    assert parse_cookies(header) == expected


def test_expires_in_seconds(clock):
    """Seconds become a date and Max-Age."""
    cookies = Cookies("", seconds=clock.seconds)
    cookies.set("a", "1", 60, same_site=None)
    assert fields(cookies) == ["a=1; path=/; expires=Fri, 15 Jan 2027 08:01:00 GMT; max-age=60"]


def test_expires_never(clock):
    """ "never" is a hundred years."""
    cookies = Cookies("", seconds=clock.seconds)
    cookies.set("a", "1", "never", same_site=None)
    assert fields(cookies) == ["a=1; path=/; expires=Sun, 22 Dec 2126 08:00:00 GMT; max-age=3153600000"]


@pytest.mark.parametrize("expires", ["now", 0, -5])
def test_expires_now_removes(expires):
    """ "now", 0 and the past remove a cookie, at once for the app too."""
    cookies = Cookies("a=1")
    cookies.set("a", "1", expires)
    assert "a" not in cookies
    assert fields(cookies) == ["a=1; path=/; expires=Thu, 01 Jan 1970 00:00:00 GMT; max-age=0; SameSite=Lax"]


@pytest.mark.parametrize("expires", ["soon", float("nan"), True, [1]])
def test_another_expires_is_refused(expires):
    """A value of expires that means nothing is named."""
    with pytest.raises(ValueError, match="expires of the cookie a"):
        Cookies("").set("a", "1", expires)


def test_all_attributes():
    """Path, domain, Secure, HttpOnly and SameSite are sent as asked; the standard library reads them."""
    cookies = Cookies("")
    cookies.set("a", "1", 60, "/shop", "example.com", secure=True, http_only=True, same_site="strict")
    morsel = SimpleCookie(fields(cookies)[0])["a"]
    assert (morsel["path"], morsel["domain"], morsel["samesite"]) == ("/shop", "example.com", "Strict")
    assert morsel["secure"]
    assert morsel["httponly"]
    assert morsel["max-age"] == "60"


def test_defaults_of_the_app():
    """Path and Secure come from the request unless a cookie says otherwise."""
    cookies = Cookies("", path="/app", secure=True)
    cookies["a"] = "1"
    cookies.set("b", "2", path="/", secure=False)
    assert fields(cookies) == ["a=1; path=/app; Secure; SameSite=Lax", "b=2; path=/; SameSite=Lax"]


def test_the_last_word_counts():
    """A cookie set twice is sent once; the same name at another path is another cookie."""
    cookies = Cookies("")
    cookies["a"] = "1"
    cookies["a"] = "2"
    cookies.set("a", "3", path="/x")
    assert fields(cookies) == ["a=2; path=/; SameSite=Lax", "a=3; path=/x; SameSite=Lax"]


def test_removing_takes_back_what_this_request_set():
    """A cookie set at a path and then removed is not left behind there."""
    cookies = Cookies("")
    cookies.set("a", "1", path="/x")
    del cookies["a"]
    assert len(fields(cookies)) == 2
    assert all("max-age=0" in field for field in fields(cookies))


def test_removing_at_a_path():
    """A cookie of another path or domain is removed where it lives."""
    cookies = Cookies("a=1")
    cookies.remove("a", "/x", "example.com")
    (field,) = fields(cookies)
    assert field.startswith("a=; path=/x; domain=example.com; expires=Thu, 01 Jan 1970")


@pytest.mark.parametrize("name", ["", "a b", "a;b", "a=b", "a\r\nSet-Cookie: b", "a\x00", "ä", None, 5])
def test_bad_names_are_refused(name):
    """A name that is no token (RFC 6265, 4.1.1) is a clear error, and nothing is set."""
    cookies = Cookies("")
    with pytest.raises(ValueError, match="a cookie's name cannot be"):
        cookies.set(name, "1")
    assert cookies.headers() == []


@pytest.mark.parametrize(
    "attributes",
    [
        {"path": "/a; domain=evil.example"},
        {"path": "relative"},
        {"path": "/a\r\nX: y"},
        {"path": "/ä"},
        {"domain": "evil.example; secure"},
        {"domain": "a\nb"},
        {"domain": ""},
        {"same_site": "Sometimes"},
        {"same_site": "None"},
    ],
    ids=str,
)
def test_bad_attributes_are_refused(attributes):
    """An attribute that would break the header, or that browsers refuse, names the cookie."""
    cookies = Cookies("")
    with pytest.raises(ValueError, match="the cookie a"):
        cookies.set("a", "1", **attributes)
    assert "a" not in cookies
    assert cookies.headers() == []


def test_numbers_are_text():
    """A number is sent, and read back in the same request, as its text."""
    cookies = Cookies("")
    cookies["visits"] = 3
    assert cookies["visits"] == "3"


@pytest.mark.parametrize("value", [None, b"x", ["x"], True], ids=repr)
def test_other_values_are_refused(value):
    """What is neither text nor a number is a TypeError that names the cookie and the type."""
    with pytest.raises(TypeError, match=f"the cookie a is a {type(value).__name__}"):
        Cookies("")["a"] = value


def test_a_cookie_too_large_is_refused():
    """A field of more than 4096 bytes, escapes included, is an error with both figures."""
    cookies = Cookies("")
    cookies["a"] = "x" * 4000
    with pytest.raises(CookieTooLargeError, match=r"the cookie b takes 9\d+ bytes, browsers keep 4096"):
        cookies["b"] = "한" * 1000
    assert list(cookies) == ["a"]
    assert issubclass(CookieTooLargeError, SkitaiError)


def test_hidden_cookies_are_not_there():
    """Names of Saddle's own, by name or by pattern, are neither seen nor cleared nor set by the app."""
    cookies = Cookies("SESSION=s; SESSION_ADM=t; a=1", hidden=("SESSION", "SESSION_*"))
    assert dict(cookies) == {"a": "1"}
    cookies.clear()
    assert len(fields(cookies)) == 1
    with pytest.raises(ValueError, match="'SESSION_ADM' is kept by Saddle itself"):
        cookies["SESSION_ADM"] = "mine"
    assert cookies.read_hidden("SESSION_ADM") == "t"
    assert cookies.read_hidden("a") is None


def test_hidden_cookies_are_for_saddle():
    """A hidden cookie is written HttpOnly, read back in the same request, and removed with no value."""
    cookies = Cookies("", secure=True, hidden=("SESSION",))
    cookies.write_hidden("SESSION", "sealed", 60)
    assert cookies.read_hidden("SESSION") == "sealed"
    assert fields(cookies)[0].endswith("max-age=60; Secure; HttpOnly; SameSite=Lax")
    cookies.write_hidden("SESSION", "")
    assert cookies.read_hidden("SESSION") is None
    assert "max-age=0" in fields(cookies)[0]
