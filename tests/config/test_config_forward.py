"""The keys of the forward proxy: what is needed beside ``enable_proxy``, and what is shown."""

import pytest

from skitai.config import describe
from skitai.config.forward import UserList, users
from skitai.errors import ConfigError

ON = "[server]\nenable_proxy = yes\n"
LISTS = "proxy_clients = 10.0.0.0/8\nproxy_destinations = *.example.org:443, 10.1.0.0/16, 127.0.0.1\n"


def test_values(site):
    """The spellings of the issue."""
    server = site.load(ON + LISTS + "proxy_users = anna:secret, bert:s:x\n").server
    assert [str(item) for item in server.proxy_destinations] == [
        "*.example.org:443",
        "10.1.0.0/16",
        "127.0.0.1",
    ]
    assert server.proxy_users.passwords == {"anna": "secret", "bert": "s:x"}
    assert (
        [str(each) for each in server.proxy_ports],
        [str(each) for each in server.proxy_connect_ports],
    ) == (
        ["80", "1024-65535"],
        ["443"],
    )


def test_shown_without_passwords(site):
    """--check shows all that can be read again, but no password; nor does any repr."""
    config = site.load(ON + LISTS + "proxy_users = anna:secret, bert:s:x\nproxy_ports = 80, 8000-8100")
    shown = describe(config)
    assert "secret" not in shown + repr(config) + repr(config.server.proxy_users)
    assert "proxy_users = anna:****, bert:****\n" in shown
    assert "proxy_destinations = *.example.org:443, 10.1.0.0/16, 127.0.0.1\n" in shown
    assert "proxy_ports = 80, 8000-8100\n" in shown
    (site.folder / "users").touch()
    assert f"proxy_users = {site.folder}/users\n" in describe(site.load(ON + LISTS + "proxy_users = users"))


@pytest.mark.parametrize(
    "place", ["", "ip = 10.0.0.1", "listen = 127.0.0.1:80, 81", "unix_socket = s", "ip = ::", "ip = 0.0.0.0"]
)
@pytest.mark.parametrize(
    ("lists", "missing"),
    [
        ("", "proxy_clients"),
        ("proxy_clients = 10.0.0.1\n", "proxy_destinations"),
        ("proxy_destinations = *\n", "proxy_clients"),
        ("proxy_clients = none\nproxy_destinations = *\n", "proxy_clients"),
    ],
)
def test_lists_are_needed(site, place, lists, missing):
    """Where others reach the server, both lists are needed: ``enable_proxy = yes`` alone is refused."""
    with pytest.raises(ConfigError, match=rf"conf:2: \[server\] enable_proxy: needs {missing}, the"):
        site.load(f"{ON}{lists}{place}\n")


@pytest.mark.parametrize("place", ["ip = 127.0.0.1", "ip = ::1", "listen = 127.0.0.1:80, [::1]:81"])
def test_loopback_needs_none(site, place):
    assert site.load(f"{ON}{place}\n").warnings == ()


@pytest.mark.parametrize("wide", ["0.0.0.0/0", "0.0.0.0/1", "::/0", "2000::/3"])
def test_everybody_needs_passwords(site, wide):
    """A list of clients that is none is an open relay."""
    lists = f"proxy_clients = 10.0.0.0/8, {wide}\nproxy_destinations = *\n"
    with pytest.raises(ConfigError, match=r"proxy_clients: .* is half of the world: that needs proxy_users"):
        site.load(ON + lists)
    assert site.load(ON + lists + "proxy_users = a:b").warnings == ()


@pytest.mark.parametrize("own", ["10.0.0.0/8", "fc00::/7", "fe80::/10", "2001:db8::/32", "unix"])
def test_own_networks_need_none(site, own):
    """Networks of one's own may be wide."""
    assert site.load(f"{ON}proxy_clients = {own}\nproxy_destinations = *\n").warnings == ()


@pytest.mark.parametrize("key", ["proxy_clients = 10.0.0.1", "proxy_destinations = *", "proxy_users = a:b"])
def test_without_the_proxy(site, key):
    (warning,) = site.load(f"[server]\n{key}\n").warnings
    assert warning.endswith("has no effect without enable_proxy = yes")


def test_http2(site):
    """Browsers would choose HTTP/2, in which nothing is forwarded."""
    (site.folder / "a.pem").touch()
    text = ON + LISTS + "ssl = yes\ncertfile = a.pem\n"
    (warning,) = site.load(text).warnings
    assert "set http2 = no" in warning
    assert site.load(text + "http2 = no\n").warnings == ()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("anna:secret, bert:", "item 2 is not name:password; a password with a comma needs a file"),
        (":secret", "item 1 is not name:password"),
        ("a:secret, a:other", "item 2 names a user that was named before"),
        ("a:secret,secret", "item 2 is not name:password"),
    ],
)
def test_wrong_users(value, message):
    """What is wrong is told without the password."""
    with pytest.raises(ValueError, match=message) as caught:
        users(value)
    assert "secret" not in str(caught.value)


def test_users():
    assert users("") is None
    assert users("a:b") == UserList({"a": "b"})


@pytest.mark.parametrize(
    "line",
    ["proxy_ports =", "proxy_ports = x", "proxy_connect_ports = 0", "proxy_destinations = a b",
     "proxy_clients = 10.0.0.1/8", "proxy_tunnels_max = 0", "proxy_idle_timeout = 0"],
)  # fmt: skip
def test_wrong_values(site, line):
    with pytest.raises(ConfigError, match=line.split()[0]):
        site.load(f"{ON}{LISTS if 'clients' not in line and 'destinations' not in line else ''}{line}\n")
