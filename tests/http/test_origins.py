"""From which pages a websocket may come."""

import pytest

from skitai.http.origins import Origins, checked_origin


@pytest.mark.parametrize(
    ("origin", "authority", "secure", "allowed"),
    [
        (None, b"www.example.com", False, True),  # no browser
        (b"http://www.example.com", b"www.example.com", False, True),
        (b"https://WWW.example.com", b"www.EXAMPLE.com", True, True),
        (b"https://www.example.com", b"www.example.com", False, True),  # a proxy has ended TLS
        (b"https://www.example.com", b"www.example.com:443", True, True),
        (b"http://www.example.com:8080", b"www.example.com:8080", False, True),
        (b"http://www.example.com:8080", b"www.example.com", False, False),
        (b"http://www.example.com", b"www.example.com:8080", False, False),
        (b"http://evil.example", b"www.example.com", False, False),
        (b"http://www.example.com.evil.example", b"www.example.com", False, False),
        (b"http://example.com", b"www.example.com", False, False),
        (b"http://localhost:3000", b"127.0.0.1:5000", False, True),
        (b"http://[::1]:3000", b"localhost:5000", False, True),
        (b"http://127.0.0.1", b"[::1]:5000", False, True),
        (b"http://localhost:3000", b"www.example.com", False, False),  # the page of another program
        (b"http://evil.example", b"localhost", False, False),
        (b"http://localhost.evil.example", b"localhost", False, False),
        (b"null", b"www.example.com", False, False),
        (b"", b"www.example.com", False, False),
        (b"nonsense", b"nonsense", False, False),
        (b"http://www.example.com/path", b"www.example.com", False, False),
        (b"http://user@www.example.com", b"www.example.com", False, False),
        (b"http://www.example.com:99999999", b"www.example.com", False, False),
        (b"http://[::1", b"[::1", False, False),
        (b"http://\xff.example", b"\xff.example", False, True),
        (b"http://www.example.com, http://www.example.com", b"www.example.com", False, False),
        (b"http://www.example.com", b"", False, False),
    ],
)
def test_without_a_list(origin, authority, secure, allowed):
    """A program, the server's own pages, and this machine's pages to this machine."""
    assert Origins().allows(origin, authority, secure) is allowed


@pytest.mark.parametrize(
    ("items", "origin", "allowed"),
    [
        (["https://a.example"], b"https://a.example", True),
        (["https://a.example"], b"http://a.example", False),
        (["https://a.example/"], b"https://a.example:443", True),
        (["https://a.example:8443"], b"https://a.example", False),
        (["HTTPS://A.example"], b"https://a.EXAMPLE", True),
        (["*.a.example"], b"https://x.a.example", True),
        (["*.a.example"], b"http://x.y.a.example:8080", True),
        (["*.a.example"], b"https://a.example", False),
        (["*.a.example"], b"https://xa.example", False),
        (["*.a.example"], b"https://x.a.example.evil", False),
        (["null"], b"null", True),
        (["*"], b"null", True),
        (["*"], b"https://evil.example", True),
        (["https://b.example", "*.a.example"], b"https://b.example", True),
        (["chrome-extension://abcdef"], b"chrome-extension://abcdef", True),
        (["chrome-extension://abcdef"], b"https://abcdef", False),
    ],
)
def test_with_a_list(items, origin, allowed):
    """What the config names is allowed besides."""
    origins = Origins(items)
    assert origins.allows(origin, b"www.example.com", True) is allowed
    assert origins.allows(b"https://www.example.com", b"www.example.com", True)


@pytest.mark.parametrize(
    "item", ["", "a.example", "https://", "*.", "*a.example", "https://a.example/path", "**"]
)
def test_what_is_no_origin(item):
    """A mistake in the config is named, with what to write."""
    with pytest.raises(ValueError, match="is not an origin: write https://"):
        checked_origin(item)
