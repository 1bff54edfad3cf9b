"""Which texts are host names, and in what form they are kept."""

import pytest

from skitai.net.addresses import host_name, is_public


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("One.Test", "one.test"),
        ("one.test.", "one.test."),
        ("my_container-1", "my_container-1"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("::0001", "::1"),
        (f"{'x' * 63}.{'y' * 63}.test", f"{'x' * 63}.{'y' * 63}.test"),
    ],
)
def test_host_names(text, name):
    """A name or an address is kept in its one normal form."""
    assert host_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a\0",
        f"{'x' * 64}.test",
        f"x.{'y' * 64}",
        ".".join(["x" * 63] * 4),
    ],
)
def test_what_is_none(text):
    """Labels have 1 to 63 bytes and a name at most 253 (RFC 1035, section 2.3.4)."""
    with pytest.raises(ValueError, match="is not a host name"):
        host_name(text)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    """An address of the internet is public, in each of its forms."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "fec0::1", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    """Neither private ones nor those of groups, nor IPv6 that leads to such IPv4 (RFC 6890, RFC 6052)."""
    assert not is_public(address)
