"""Redirects and cookies of members that do not know where they are mounted."""

import pytest
from proxy_world import OK

MOUNTED = "/shop = @up rewrite=yes"


def reply(proxy, member, routes, *lines):
    """Return the response to a reply with these fields; MEMBER stands for the member's name."""
    with proxy(member, routes=routes).client() as client:
        client.send(b"GET /shop/ HTTP/1.1\r\nHost: www.shop.example:8080\r\n\r\n")
        fields = "".join(f"{line}\r\n" for line in lines).replace("MEMBER", f"127.0.0.1:{member.port}")
        member.accept().answer(OK.replace(b"\r\n\r\n", b"\r\n" + fields.encode() + b"\r\n"))
        return client.response()


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("/login?next=/a", "/shop/login?next=/a"),
        ("http://MEMBER/login#x", "http://www.shop.example:8080/shop/login#x"),
        ("http://MEMBER", "http://www.shop.example:8080/shop/"),
        ("http://MEMBER?x", "http://www.shop.example:8080/shop/?x"),
        ("https://www.shop.example:8080/a", "http://www.shop.example:8080/shop/a"),
        ("http://elsewhere.example/a", "http://elsewhere.example/a"),
        ("http://elsewhere.example:80/a", "http://elsewhere.example:80/a"),
        ("//elsewhere.example/a", "//elsewhere.example/a"),
        ("next", "next"),
        ("?x", "?x"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[bad", "http://[bad"),
    ],
)
@pytest.mark.parametrize("name", ["Location", "Content-Location"])
def test_locations(proxy, member, written, seen, name):
    """What leads to the member leads through the mount point; what leads elsewhere stays as it is."""
    assert reply(proxy, member, MOUNTED, f"{name}: {written}")[name] == seen


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("a=/b; Path=/; HttpOnly", "a=/b; Path=/shop; HttpOnly"),
        ("a=b; path=/x", "a=b; Path=/shop/x"),
        ("__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/shop; Secure"),
        # browsers refuse these with any other path
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        ("__host-a=b; Secure; path=/", "__host-a=b; Secure; Path=/"),
        ("a=b; Secure", "a=b; Secure"),
        ("a=b; Domain=127.0.0.1; Secure", "a=b; Secure"),
        ("a=b; Domain=.shop.example", "a=b; Domain=.shop.example"),
    ],
)
def test_cookies(proxy, member, written, seen):
    """The path of a cookie is below the mount point, and its domain is not the member's."""
    assert reply(proxy, member, MOUNTED, f"Set-Cookie: {written}")["Set-Cookie"] == seen


@pytest.mark.parametrize("options", ["", " rewrite=yes strip=no"])
def test_left_alone(proxy, member, options):
    """Without rewrite, and where the member knows the mount point, paths stay as they are."""
    response = reply(
        proxy, member, f"/shop = @up{options}", "Location: /shop/a", "Set-Cookie: a=b; Path=/shop"
    )
    assert (response["Location"], response["Set-Cookie"]) == ("/shop/a", "a=b; Path=/shop")


def test_location_without_a_host_for_a_client_without_one(proxy, member):
    """A URL with a scheme and no host is no address of the member's, also where the client has named none."""
    with proxy(member, routes=MOUNTED).client() as client:
        client.send(b"GET /shop/ HTTP/1.0\r\n\r\n")
        member.accept().answer(OK.replace(b"\r\n\r\n", b"\r\nLocation: http:foo\r\n\r\n"))
        assert client.response()["Location"] == "http:foo"
