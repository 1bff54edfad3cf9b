"""What a proxy is, and which hosts are asked without one."""

from base64 import b64encode

import pytest

from skitai.net.proxies import DirectHosts, parse_proxy

TOKEN = b64encode(b"me:a b").decode()


@pytest.mark.parametrize(
    ("host", "direct"),
    [
        ("one.test", True),
        ("one.test.", True),
        ("x.one.test", True),
        ("xone.test", False),
        ("x.two.test", True),
        ("two.test", False),
        ("xtwo.test", False),
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::1", True),
        ("fd00::7", True),
        ("::2", False),
    ],
)
def test_direct_hosts(host, direct):
    """A name counts with all names in it, .domains for those only, networks for addresses."""
    assert (host in DirectHosts(["One.test", ".two.test", "10.0.0.0/8", "::1", "fd00::/8"])) is direct


@pytest.mark.parametrize(
    ("items", "hosts"),
    [
        (["*"], [True, True, True, True]),
        (["*.corp"], [False, True, False, False]),
        (["*.Corp."], [False, True, False, False]),
        (["b\u00fccher.example"], [False, False, True, False]),
    ],
)
def test_patterns_of_direct_hosts(items, hosts):
    """A star is every host, and before a domain it says no more than the dot does."""
    asked = ("corp", "x.corp", "xn--bcher-kva.example", "10.0.0.1")
    assert [host in DirectHosts(items) for host in asked] == hosts


@pytest.mark.parametrize(
    "item",
    ["one.test:80", "10.0.0.0/99", ".", "http://x/", "a b", "!!", "**", "*corp", "x.*", "10.0.0.256", ""],
)
def test_senseless_direct_hosts(item):
    """What is no host, domain or network is refused by name."""
    with pytest.raises(ValueError, match=r"is not a host, a \.domain, an address or a network"):
        DirectHosts([item])


@pytest.mark.parametrize("url", ["proxy:3128", "https://proxy", "socks5://proxy", "http://", "http://a:x"])
def test_senseless_proxies(url):
    """A proxy is an http URL with a host."""
    with pytest.raises(ValueError, match=r"proxy|host|port"):
        parse_proxy(url)


def test_proxy_keeps_its_secret():
    """The password is neither in the repr nor in the error of a wrong URL."""
    assert TOKEN not in repr(parse_proxy("http://me:a%20b@proxy:3128"))
    with pytest.raises(ValueError, match="not a port") as caught:
        parse_proxy("http://me:secret@proxy:0")
    assert "secret" not in str(caught.value)
